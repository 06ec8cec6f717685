"""Texts in, embeddings out: one BERT, read with plain ``transformers``.

torch and transformers are imported by `load_encoder`, not by this module: what serves bundles never needs them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from recsys.config import TextConfig
from recsys.errors import ConfigError
from recsys.text.int8 import to_int8
from recsys.text.model_folder import Pooling, find_model, fingerprint, has_tokenizer, read_pooling
from recsys.text.plain_text import READING, plain_text
from recsys.threads import limit_threads
from recsys.types import Floats

if TYPE_CHECKING:
    import torch

Progress: TypeAlias = Callable[[int, int, str], None]
"""Told (done, total, what) whenever a part of a long step is finished."""

_CHARACTERS = 64
"""What is looked at of a text, per token wanted: far more than a token ever takes, so that a text of megabytes costs no seconds."""
_CACHED_TOKENS = {"float32": 1024, "bfloat16": 2048, "int8": 1024}
"""So many tokens are read at once by a processor, whose cache holds what a layer makes of them: quicker by a tenth than four times more."""


class TextEncoder:
    """A BERT that turns each text into one vector of unit length; `load_encoder` makes one.

    fingerprint: sha256 of all that decides what an embedding means: weights, tokenizer, pooling, max_tokens,
                 precision, and how HTML is read. Embeddings of equal fingerprint may be compared.
    arithmetic:  what the last bits depend on beside that: device, batch size, threads, torch and its instruction set.
    precision:   float32, bfloat16 or int8; what 'auto' came to.
    model, tokenizer, pooling: what reads; for whoever trains it further.
    """

    def __init__(
        self, model: Any, tokenizer: Any, pooling: Pooling, config: TextConfig, precision: str, n_threads: int, fingerprint: str
    ) -> None:
        import torch

        self.model, self.tokenizer, self.pooling = model, tokenizer, pooling
        self.fingerprint, self.precision = fingerprint, precision
        self._config, self._n_threads = config, n_threads
        self._most_tokens = _CACHED_TOKENS[precision] if model.device.type == "cpu" else config.batch_size * config.max_tokens
        instructions = torch.backends.cpu.get_cpu_capability()
        self.arithmetic = f"{model.device.type} {config.batch_size} {n_threads} {torch.__version__} {instructions}"

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return int(self.model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings of unit L2 norm, float32, shape (len(texts), dim); equal texts give equal rows, whatever their order.

        Any string will do. HTML is read as `plain_text` says, then cut at max_tokens. An empty text has an embedding too (that of no
        words at all), and so has one of which no word is known.

        Raises:
            ConfigError: the model gave a vector without a direction (not finite, or zero): its weights are broken.
        """
        import torch

        distinct = sorted(set(texts))
        if not distinct:
            return np.empty((0, self.dim), np.float32)
        with limit_threads(self._n_threads), torch.inference_mode():
            tokens = self.tokens(distinct)
            embeddings = np.empty((len(distinct), self.dim), np.float32)
            for batch in self._batches(np.array([len(ids) for ids in tokens])):
                embeddings[batch] = self._embed([tokens[row] for row in batch])
        is_unit = np.abs(np.linalg.norm(embeddings, axis=1) - 1) < 1e-3
        if not is_unit.all():
            text = distinct[int(np.argmin(is_unit))]
            raise ConfigError(
                f"text.trunk {self._config.trunk!r} turns {text[:40]!r} into a vector without a direction (not finite, or zero); "
                "its weights are broken, or overflow in this precision: train it again, or use text.precision = 'float32'"
            )
        rows = {text: row for row, text in enumerate(distinct)}
        return embeddings[[rows[text] for text in texts]]

    def tokens(self, texts: Sequence[str]) -> list[list[int]]:
        """Token numbers of each text, the first and last of them special; at most max_tokens."""
        longest = _CHARACTERS * self._config.max_tokens
        readable = [plain_text(text, longest) for text in texts]
        tokens: list[list[int]] = self.tokenizer(readable, truncation=True, max_length=self._config.max_tokens)["input_ids"]
        return tokens

    def _batches(self, lengths: NDArray[np.integer]) -> Iterator[NDArray[np.intp]]:
        """Rows read together: of like length, for little padding; at most batch_size, and so few that `_most_tokens` are not exceeded."""
        order = np.argsort(lengths, kind="stable")
        start = 0
        while start < len(order):
            ahead = lengths[order[start : start + self._config.batch_size]]  # rising: the last of a batch is its longest
            fits = ahead * np.arange(1, len(ahead) + 1) <= self._most_tokens
            end = start + max(1, int(np.count_nonzero(fits)))
            yield order[start:end]
            start = end

    def _embed(self, tokens: list[list[int]]) -> Floats:
        inputs = self.tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self.model.device)
        hidden = self.model(**inputs).last_hidden_state.float()  # (batch, length, dim)
        embeddings: torch.Tensor
        if self.pooling == "cls":
            embeddings = hidden[:, 0]
        else:
            mask = inputs["attention_mask"].unsqueeze(-1)  # (batch, length, 1)
            embeddings = (hidden * mask).sum(dim=1) / mask.sum(dim=1)  # (batch, dim)
        unit: Floats = (embeddings / embeddings.norm(dim=1, keepdim=True).clamp_min(1e-12)).cpu().numpy()
        return unit


def load_encoder(config: TextConfig, n_threads: int) -> TextEncoder:
    """The encoder that the configuration names; on the GPU where there is one.

    Only a Hugging Face name may cause a download: 'package:NAME' and folders never leave the machine.

    Raises:
        ConfigError: the trunk does not exist, is no BERT-like model with a tokenizer that fits it, or cannot read max_tokens tokens;
            or the precision is not to be had on this device.
    """
    import torch

    folder = find_model(config.trunk)
    pooling = read_pooling(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = resolve_precision(config.precision, device)
    tokenizer, model = _load(folder, config, precision)
    model = model.to(device).eval()
    if precision == "int8":
        to_int8(model)
    known = fingerprint(folder, f"{READING} {pooling} {config.max_tokens} {precision}")
    encoder = TextEncoder(model, tokenizer, pooling, config, precision, n_threads, known)
    with limit_threads(n_threads):
        _try(encoder, config)
    return encoder


def resolve_precision(wanted: str, device: str) -> str:
    """What 'auto' means on the device, 'cpu' or 'cuda'; never int8.

    Raises:
        ConfigError: int8 is wanted on a GPU.
    """
    import torch

    if wanted == "int8" and device != "cpu":
        raise ConfigError("text.precision = 'int8' is for processors, and this machine has a GPU; use 'auto' (bfloat16 there)")
    if wanted != "auto":
        return wanted
    known = torch.cpu.get_capabilities()
    return "bfloat16" if device == "cuda" or known.get("avx512_bf16") or known.get("amx_bf16") else "float32"


def _load(folder: Path, config: TextConfig, precision: str) -> tuple[Any, Any]:
    """Tokenizer and model, checked to belong together."""
    import torch
    import transformers

    name = f"text.trunk {config.trunk!r}"
    if (folder / "config.json").is_file() and not has_tokenizer(folder):
        raise ConfigError(f"{name}: {folder} has no tokenizer; it needs the tokenizer.json or vocab.txt that the model was trained with")
    dtype = torch.float32 if precision == "int8" else getattr(torch, precision)
    show_progress = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = transformers.AutoModel.from_pretrained(folder, local_files_only=True, output_loading_info=True, dtype=dtype)
    except Exception as error:
        raise ConfigError(f"{name}: {folder} holds no model that transformers can load: {error}") from error
    finally:
        if show_progress:
            transformers.utils.logging.enable_progress_bar()
    missing = sorted(key for key in report["missing_keys"] if "pooler" not in key)
    if missing:
        raise ConfigError(f"{name}: the weights in {folder} lack {len(missing)} tensors, {missing[0]} for one")
    n_known = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > n_known:
        raise ConfigError(f"{name}: the tokenizer has {len(tokenizer)} tokens, the weights know {n_known}; they are not of one model")
    positions = getattr(model.config, "max_position_embeddings", config.max_tokens)
    if config.max_tokens > positions:
        raise ConfigError(f"text.max_tokens is {config.max_tokens}, but {config.trunk!r} reads at most {positions}")
    return tokenizer, model


def _try(encoder: TextEncoder, config: TextConfig) -> None:
    """Read a text as long as may be, beside an empty one: what cannot do this is no encoder, whatever else it is."""
    import torch

    try:
        with torch.inference_mode():
            encoder._embed(encoder.tokens(["", "a " * config.max_tokens]))
    except Exception as error:
        raise ConfigError(
            f"text.trunk {config.trunk!r} is no BERT-like encoder, or cannot read text.max_tokens = {config.max_tokens} tokens; "
            f"reading a text ended in {type(error).__name__}: {error}"
        ) from error
