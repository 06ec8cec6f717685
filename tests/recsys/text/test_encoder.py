"""Where a trunk comes from, how it is pooled, and how encoding survives a kill; with a tiny random BERT in a folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

import recsys.text.encoder as encoder_module
from recsys.config import TextConfig
from recsys.errors import ConfigError
from recsys.text.encoder import TextEncoder, encode_texts, load_encoder
from recsys.types import Floats

WORDS = ["red", "green", "blue", "hat", "coat", "shoe"]
TEXTS = [f"{one} {two}" for one in WORDS for two in WORDS]


@pytest.fixture(autouse=True)
def _without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a BERT of two layers, eight wide, that knows WORDS."""
    folder = tmp_path_factory.mktemp("trunk")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    transformers.BertTokenizer(vocab={word: row for row, word in enumerate(vocabulary)}).save_pretrained(folder)
    shape = {"hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16, "max_position_embeddings": 32}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), initializer_range=0.5, **shape)).save_pretrained(folder)
    return folder


@pytest.fixture
def copied(trunk: Path, tmp_path: Path) -> Path:
    """The trunk in a folder that a test may spoil."""
    for file in trunk.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    return tmp_path


def load(folder: Path | str, **settings: Any) -> TextEncoder:
    return load_encoder(
        TextConfig(**{"trunk": str(folder), "max_tokens": 16, "precision": "float32", "batch_size": 4, **settings}), n_threads=1
    )


def pool(folder: Path, settings: dict[str, Any]) -> None:
    (folder / "1_Pooling").mkdir(exist_ok=True)
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(settings), encoding="utf-8")


def hidden_states(folder: Path, text: str) -> Floats:
    """The last layer for one text, by the shortest way; shape (length, dim)."""
    words = ["[CLS]", *text.split(), "[SEP]"]
    vocabulary = (folder / "vocab.txt").read_text(encoding="utf-8").split()
    with torch.inference_mode():
        model = transformers.BertModel.from_pretrained(folder).eval()
        states: Floats = model(torch.tensor([[vocabulary.index(word) for word in words]])).last_hidden_state[0].numpy()
    return states


def unit(vector: Floats) -> Floats:
    scaled: Floats = vector / np.linalg.norm(vector)
    return scaled


def test_importing_the_encoder_imports_neither_torch_nor_transformers() -> None:
    command = "import sys, recsys.text.encoder; print({'torch', 'transformers'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_a_folder_is_mean_pooled(trunk: Path) -> None:
    for text, embedding in zip(TEXTS, load(trunk).encode(TEXTS), strict=True):
        np.testing.assert_allclose(embedding, unit(hidden_states(trunk, text).mean(axis=0)), atol=1e-5)


def test_padding_does_not_leak_into_the_mean(trunk: Path) -> None:
    texts = ["red", "red hat blue coat green shoe"]
    for text, embedding in zip(texts, load(trunk).encode(texts), strict=True):
        np.testing.assert_allclose(embedding, unit(hidden_states(trunk, text).mean(axis=0)), atol=1e-5)


@pytest.mark.parametrize("settings", [{"pooling_mode": "cls"}, {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}])
def test_a_folder_may_ask_for_the_first_token(copied: Path, settings: dict[str, Any]) -> None:
    mean = load(copied).fingerprint
    pool(copied, settings)
    encoder = load(copied)
    for text, embedding in zip(TEXTS[:5], encoder.encode(TEXTS[:5]), strict=True):
        np.testing.assert_allclose(embedding, unit(hidden_states(copied, text)[0]), atol=1e-5)
    assert encoder.fingerprint != mean


@pytest.mark.parametrize("settings", [{"pooling_mode": "max"}, {"pooling_mode_max_tokens": True}, {"pooling_mode": ["cls", "mean"]}])
def test_an_unknown_pooling_is_refused(copied: Path, settings: dict[str, Any]) -> None:
    pool(copied, settings)
    with pytest.raises(ConfigError, match=r"asks for pooling .*knows mean and cls"):
        load(copied)


def test_the_fingerprint_knows_the_weights_and_the_settings(trunk: Path, copied: Path) -> None:
    plain = load(trunk).fingerprint
    assert load(copied, batch_size=7).fingerprint == plain
    assert load(trunk, max_tokens=8).fingerprint != plain
    assert load(trunk, precision="bfloat16").fingerprint != plain
    model = transformers.BertModel.from_pretrained(copied)
    with torch.no_grad():
        model.embeddings.word_embeddings.weight[5] += 0.01
    model.save_pretrained(copied)
    assert load(copied).fingerprint != plain


@pytest.mark.parametrize(
    ("trunk_name", "message"),
    [
        ("package:no_such_package_here", "no package of this name is installed"),
        ("package:not/a/name", "no package of this name is installed"),
        ("package:json", "carries no config.json with weights"),
        ("/no/such/folder", "there is no such folder"),
        ("./no-such-folder", "there is no such folder"),
        ("nobody/no-such-model", "without a network use a local folder or 'package:NAME'"),
        ("not a name", "is no folder here"),
    ],
)
def test_a_trunk_that_is_nowhere_says_what_to_do(trunk_name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load(trunk_name)
    assert trunk_name in str(caught.value)


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds no model"):
        load(tmp_path)


def test_truncated_weights_are_refused(copied: Path) -> None:
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ConfigError, match="holds no model"):
        load(copied)


def test_weights_of_another_model_are_refused(copied: Path) -> None:
    config = copied / "config.json"
    config.write_text(config.read_text(encoding="utf-8").replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"lack 16 tensors, encoder\.layer\.2"):
        load(copied)


def test_more_tokens_than_the_model_has_positions_are_refused(trunk: Path) -> None:
    with pytest.raises(ConfigError, match=r"text\.max_tokens is 33, but .* reads at most 32"):
        load(trunk, max_tokens=33)


def test_auto_precision_follows_the_hardware(trunk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": False})
    plain = load(trunk, precision="auto").fingerprint
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "avx512_bf16": True})
    fast = load(trunk, precision="auto").fingerprint
    if not torch.cuda.is_available():
        assert plain == load(trunk, precision="float32").fingerprint
    assert fast == load(trunk, precision="bfloat16").fingerprint


class Steps:
    """Collects progress; raises KeyboardInterrupt once `limit` reports came."""

    def __init__(self, limit: int | None = None) -> None:
        self.limit, self.seen = limit, list[tuple[int, int, str]]()

    def __call__(self, done: int, total: int, what: str) -> None:
        self.seen.append((done, total, what))
        if len(self.seen) == self.limit:
            raise KeyboardInterrupt


@pytest.fixture
def small_shards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(encoder_module, "_SHARD", 8)


@pytest.fixture
def encoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that encoders really read from here on, in order."""
    read: list[str] = []
    encode = TextEncoder.encode

    def watched(self: TextEncoder, texts: Sequence[str]) -> Floats:
        read.extend(texts)
        return encode(self, texts)

    monkeypatch.setattr(TextEncoder, "encode", watched)
    return read


@pytest.mark.usefixtures("small_shards")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("killed_after", [1, 3])
def test_a_killed_run_goes_on_and_changes_no_bit(
    trunk: Path, tmp_path: Path, encoded: list[str], precision: str, killed_after: int
) -> None:
    encoder = load(trunk, precision=precision)
    undisturbed = encode_texts(encoder, TEXTS, tmp_path / "one", Steps())
    assert sorted(encoded) == sorted(TEXTS)

    with pytest.raises(KeyboardInterrupt):
        encode_texts(encoder, TEXTS, tmp_path / "two", steps := Steps(killed_after))
    encoded.clear()
    resumed = encode_texts(encoder, TEXTS[::-1], tmp_path / "two", Steps())
    np.testing.assert_array_equal(resumed[::-1], undisturbed)
    assert len(encoded) == len(TEXTS) - steps.seen[-1][0]


@pytest.mark.usefixtures("small_shards")
def test_a_second_run_reads_nothing_and_a_new_text_renews_one_shard(trunk: Path, tmp_path: Path, encoded: list[str]) -> None:
    encoder = load(trunk)
    first = encode_texts(encoder, TEXTS, tmp_path, Steps())
    encoded.clear()
    np.testing.assert_array_equal(encode_texts(encoder, TEXTS, tmp_path, Steps()), first)
    assert encoded == []
    encode_texts(encoder, [*TEXTS, "green blue hat"], tmp_path, Steps())
    assert "green blue hat" in encoded
    assert len(encoded) <= len(TEXTS) // 2


@pytest.mark.usefixtures("small_shards")
def test_repeats_are_encoded_once_and_progress_counts_distinct_texts(trunk: Path, tmp_path: Path, encoded: list[str]) -> None:
    encoder, steps = load(trunk), Steps()
    embeddings = encode_texts(encoder, TEXTS * 3, tmp_path, steps)
    assert sorted(encoded) == sorted(TEXTS)
    np.testing.assert_array_equal(embeddings[: len(TEXTS)], embeddings[len(TEXTS) : 2 * len(TEXTS)])
    np.testing.assert_allclose(embeddings[: len(TEXTS)], encoder.encode(TEXTS), atol=1e-5)
    assert steps.seen[-1] == (len(TEXTS), len(TEXTS), "texts encoded")
    assert [done for done, _, _ in steps.seen] == sorted(done for done, _, _ in steps.seen)


def test_a_shard_cut_off_on_disk_is_encoded_again(trunk: Path, tmp_path: Path) -> None:
    encoder = load(trunk)
    first = encode_texts(encoder, TEXTS, tmp_path, Steps())
    (shard,) = tmp_path.iterdir()
    for kept in (0, 7, 100, 400):
        shard.write_bytes(shard.read_bytes()[:kept])
        np.testing.assert_array_equal(encode_texts(encoder, TEXTS, tmp_path, Steps()), first)
    assert [file.name for file in tmp_path.iterdir()] == [shard.name]


def test_another_trunk_never_reads_the_shards_of_the_first(trunk: Path, tmp_path: Path, encoded: list[str]) -> None:
    encode_texts(load(trunk), TEXTS, tmp_path, Steps())
    encoded.clear()
    encode_texts(load(trunk, max_tokens=8), TEXTS, tmp_path, Steps())
    assert len(encoded) == len(TEXTS)


def test_no_texts_are_no_work(trunk: Path, tmp_path: Path) -> None:
    assert encode_texts(load(trunk), [], tmp_path / "new", Steps()).shape == (0, 8)
