"""A BERT while it learns: texts in, embeddings with gradients out; what it has learnt is saved as a folder that any loader reads."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import TextConfig
from recsys.errors import ConfigError
from recsys.text.encoder import TextEncoder, load_encoder, resolve_precision
from recsys.types import Floats

if TYPE_CHECKING:
    import torch

Rows = NDArray[np.integer]

_MASKED = 0.15
"""Share of the tokens that masked-language modelling hides; of those 8 in 10 become the mask, 1 any token, 1 stays (Devlin et al. 2019)."""


class Trunk:
    """A trainable BERT and the texts it reads; `load_trunk` makes one.

    Reading is a function of weights, texts and seed alone: dropout is drawn anew from the seed, whatever was read before.
    """

    def __init__(self, model: Any, encoder: TextEncoder, is_bf16: bool, texts: Sequence[str]) -> None:
        self.model, self.pooling, self._is_bf16 = model, encoder.pooling, is_bf16
        self._tokenizer = encoder.tokenizer
        self._tokens = encoder.tokens(texts) if texts else []
        self._lengths = np.array([len(tokens) for tokens in self._tokens])
        self.dim: int = encoder.dim

    def parameters(self) -> dict[str, torch.nn.Parameter]:
        """What learns, by name."""
        return {name: weight for name, weight in self.model.named_parameters() if weight.requires_grad}

    def embed(self, rows: Rows, n_at_once: int) -> Floats:
        """Embeddings without dropout or gradients, unit norm; float32 (len(rows), dim)."""
        import torch

        self.model.eval()
        embeddings = np.empty((len(rows), self.dim), np.float32)
        with torch.inference_mode():
            for part in self._parts(rows, n_at_once):
                embeddings[part] = self._read(rows[part]).cpu().numpy()
        self.model.train()
        return embeddings

    def learn(self, rows: Rows, objective: Callable[[torch.Tensor], torch.Tensor], n_at_once: int, is_cached: bool, seed: int) -> float:
        """Add the gradients of objective(embeddings of the rows) to the weights, and say what the objective was.

        Args:
            objective: scalar of embeddings (len(rows), dim), each of unit norm.
            n_at_once: texts read at once. If is_cached, activations of more never lie in memory: embeddings are read without
                gradients first, and once more with them, part by part, against the gradient of the objective (Gao et al. 2021).
            seed: of dropout; the same in both readings.
        """
        import torch

        parts = list(self._parts(rows, n_at_once))
        place = torch.from_numpy(np.argsort(np.concatenate(parts)))
        is_cached = is_cached and len(parts) > 1
        with torch.no_grad() if is_cached else nullcontext():
            embeddings = torch.cat([self._read_dropping(rows[part], seed + at) for at, part in enumerate(parts)])
        if is_cached:
            embeddings.requires_grad_()
        loss = objective(embeddings[place.to(embeddings.device)])
        loss.backward()  # type: ignore[no-untyped-call]
        if is_cached and embeddings.grad is not None:
            gradients = torch.split(embeddings.grad, [len(part) for part in parts])
            for at, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
                self._read_dropping(rows[part], seed + at).backward(gradient)  # type: ignore[no-untyped-call]
        return float(loss.detach())

    def masked_words(self, rows: Rows, decode: Callable[[torch.Tensor], torch.Tensor], seed: int) -> torch.Tensor:
        """Cross entropy of guessing masked tokens of the rows. decode: hidden states (m, dim) -> logits (m, n_tokens)."""
        import torch

        inputs = self._inputs(rows)
        hidden_ids, wanted = self._mask(inputs["input_ids"], np.random.default_rng(seed))
        with self._dropout(seed), self._autocast():
            states = self.model(**{**inputs, "input_ids": hidden_ids}).last_hidden_state
        return torch.nn.functional.cross_entropy(decode(states[wanted >= 0].float()), wanted[wanted >= 0])

    def save(self, folder: Path) -> None:
        """A Hugging Face folder: weights (adapters merged), tokenizer, and the pooling as sentence-transformers writes it."""
        model = self.model.merge_and_unload() if hasattr(self.model, "merge_and_unload") else self.model
        with _without_bars():
            model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)
        (folder / "1_Pooling").mkdir(exist_ok=True)
        settings = {"word_embedding_dimension": self.dim, f"pooling_mode_{'cls_token' if self.pooling == 'cls' else 'mean_tokens'}": True}
        (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")

    def _parts(self, rows: Rows, n_at_once: int) -> Iterator[NDArray[np.intp]]:
        """Places of the rows, texts of like length together."""
        order = np.argsort(self._lengths[rows], kind="stable")
        yield from np.split(order, range(n_at_once, len(order), n_at_once))

    def _read(self, rows: Rows) -> torch.Tensor:
        import torch

        inputs = self._inputs(rows)
        with self._autocast():
            states = self.model(**inputs).last_hidden_state
        states = states.float()  # (batch, length, dim)
        if self.pooling == "cls":
            return torch.nn.functional.normalize(states[:, 0], dim=1)
        mask = inputs["attention_mask"].unsqueeze(-1)  # (batch, length, 1)
        return torch.nn.functional.normalize((states * mask).sum(dim=1) / mask.sum(dim=1), dim=1)  # (batch, dim)

    def _read_dropping(self, rows: Rows, seed: int) -> torch.Tensor:
        with self._dropout(seed):
            return self._read(rows)

    def _inputs(self, rows: Rows) -> Any:
        padded = self._tokenizer.pad({"input_ids": [self._tokens[row] for row in rows]}, return_tensors="pt")
        return padded.to(self.model.device)

    def _mask(self, ids: torch.Tensor, rng: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
        """Token ids with some hidden, and what was hidden (-1 elsewhere); special tokens are never hidden."""
        import torch

        known = ids.cpu().numpy()
        chance = np.where(np.isin(known, self._tokenizer.all_special_ids), 1.0, rng.random(known.shape))
        chance.ravel()[np.argmin(chance)] = 0.0  # a batch without one hidden token would have no loss
        wanted = np.where(chance < _MASKED, known, -1)
        shown = np.where(chance < 0.8 * _MASKED, self._tokenizer.mask_token_id, known)
        is_random = (chance >= 0.8 * _MASKED) & (chance < 0.9 * _MASKED)
        shown = np.where(is_random, rng.integers(0, len(self._tokenizer), known.shape), shown)
        return torch.from_numpy(shown).to(ids.device), torch.from_numpy(wanted).to(ids.device)

    def _autocast(self) -> AbstractContextManager[Any]:
        import torch

        return torch.autocast(self.model.device.type, torch.bfloat16) if self._is_bf16 else nullcontext()

    @contextmanager
    def _dropout(self, seed: int) -> Iterator[None]:
        import torch

        device = self.model.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            yield


@contextmanager
def _without_bars() -> Iterator[None]:
    """Progress is told by who trains."""
    import transformers

    shown = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            transformers.utils.logging.enable_progress_bar()


def load_trunk(config: TextConfig, n_threads: int, texts: Sequence[str], lora_rank: int | None, seed: int) -> Trunk:
    """The BERT that the configuration names, in float32, ready to learn from the texts; on the GPU where there is one.

    Matrix products run in bfloat16 where ``text.precision`` says so (int8 learns in float32). lora_rank: only low-rank adapters of all
    linear layers learn, which begin as the seed says.

    Raises:
        ConfigError: as `load_encoder`; or adapters are wanted, and peft is not installed or cannot adapt this model.
    """
    encoder = load_encoder(config.model_copy(update={"precision": "float32"}), n_threads)
    model = encoder.model
    is_bf16 = resolve_precision(config.precision, model.device.type) == "bfloat16"
    if lora_rank is not None:
        model = _adapted(model, lora_rank, config.trunk, seed)
    return Trunk(model.train(), encoder, is_bf16, texts)


def _adapted(model: Any, rank: int, trunk: str, seed: int) -> Any:
    if importlib.util.find_spec("peft") is None:
        raise ConfigError(f"finetune.lora_rank = {rank} needs the package peft; pip install peft, or leave it unset to train all weights")
    import peft
    import torch

    settings = peft.LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear", exclude_modules=".*pooler.*")
    try:
        with torch.random.fork_rng(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*is_gradient_checkpointing", FutureWarning)  # peft asks transformers by an old name
            torch.manual_seed(seed)
            return peft.get_peft_model(model, settings)
    except ValueError as error:
        raise ConfigError(f"text.trunk {trunk!r} cannot be adapted with finetune.lora_rank = {rank}: {error}") from error
