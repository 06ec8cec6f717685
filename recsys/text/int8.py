"""Matrix products in 8-bit integers, for processors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from recsys.errors import ConfigError

if TYPE_CHECKING:
    import torch

_LARGEST = 127
_SHIFT = 128
"""Added to activations where the processor multiplies unsigned by signed bytes exactly (VNNI): there oneDNN has no quick product of two
signed ones but with AMX, and without it takes its reference, which is three thousand times slower. The product takes it away again."""


def to_int8(model: Any) -> None:
    """Let every linear layer of the model multiply 8-bit integers: weights rounded per output, activations per token, when they come.

    A token's numbers depend on that token alone, not on its batch. Everything else stays in float32.

    Raises:
        ConfigError: this build of torch has no such products.
    """
    import torch

    try:
        _ = torch.ops.onednn.qlinear_prepack, torch.ops.onednn.qlinear_pointwise
    except AttributeError as error:
        raise ConfigError("text.precision = 'int8' needs a build of torch with oneDNN; use 'auto'") from error
    for parent in list(model.modules()):
        for name, layer in list(parent.named_children()):
            if isinstance(layer, torch.nn.Linear):
                setattr(parent, name, _int8_linear(layer))


def _int8_linear(layer: torch.nn.Linear) -> torch.nn.Module:
    import torch

    shift = _SHIFT if torch.cpu._is_vnni_supported() else 0  # elsewhere sums of two unsigned products may overflow

    class Int8Linear(torch.nn.Module):
        """x -> x @ weight.T + bias; x: float32 (..., n_in)."""

        def __init__(self) -> None:
            super().__init__()
            weight = layer.weight.detach().float()  # (n_out, n_in)
            self.scale = _scale(weight)[:, 0].contiguous()  # (n_out,)
            rounded = torch.round(weight / self.scale[:, None]).to(torch.int8)
            self.weight = torch.ops.onednn.qlinear_prepack(rounded, None)
            self.zeros = torch.zeros(len(weight), dtype=torch.int64)
            self.bias = None if layer.bias is None else layer.bias.detach().float()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            rows = x.reshape(-1, x.shape[-1])
            scale = _scale(rows)  # (n, 1)
            rounded = (rows / scale).round_().add_(shift).to(torch.uint8 if shift else torch.int8)
            products: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
                rounded, 1.0, shift, self.weight, self.scale, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
            )
            products.mul_(scale)
            if self.bias is not None:
                products.add_(self.bias)
            return products.reshape(*x.shape[:-1], -1)

    return Int8Linear()


def _scale(rows: torch.Tensor) -> torch.Tensor:
    """What one step of 8 bits is worth in each row; (n, 1). Two passes: aminmax takes ten times as long as both together."""
    import torch

    largest = torch.maximum(rows.amax(dim=1, keepdim=True), -rows.amin(dim=1, keepdim=True))
    return largest.clamp_min_(1e-12).div_(_LARGEST)
