"""What fine-tuning promises, on a world of meaningless words: only who bought what tells which words belong together."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp
import torch
import transformers
from trunks import write_trunk

from recsys.config import FinetuneConfig, TextConfig
from recsys.errors import BundleError, ConfigError, DataError
from recsys.text.contrast import hardest, info_nce
from recsys.text.encoder import load_encoder
from recsys.text.finetune import finetune
from recsys.text.heads import Head, Heads, load_reader
from recsys.text.lesson import Batch, Drawn, Labelled, Lesson, linked, linked_pairs
from recsys.text.trunk import load_trunk
from recsys.training.finetuning import Material, make_lesson
from recsys.types import Floats, Ints

N_WORDS, N_GROUPS = 120, 6
LATIN = [f"w{number}" for number in range(N_WORDS)]
CHINESE = [chr(0x4E00 + number) for number in range(N_WORDS)]


def quiet(done: int, total: int, what: str) -> None:
    """Progress that nobody watches."""


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trunk(tmp_path_factory.mktemp("trunk"), LATIN)


@pytest.fixture(scope="module")
def dropping(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The trunk with dropout."""
    return write_trunk(tmp_path_factory.mktemp("dropping"), LATIN, dropout=0.1)


def world(words: Sequence[str]) -> Material:
    """Documents of one word each; every customer wants words of one group, which is their position modulo N_GROUPS."""
    rng = np.random.default_rng(0)
    groups = [np.arange(group, N_WORDS, N_GROUPS, dtype=np.int32) for group in range(N_GROUPS)]
    histories = [rng.choice(groups[customer % N_GROUPS], 6, replace=False) for customer in range(300)]
    held_out = [(history[:-1], int(history[-1])) for history in histories[:60]]
    return Material(tuple(words), [history[:-1] for history in histories[:60]] + histories[60:], held_out)


SETTINGS = FinetuneConfig(
    n_steps=50,
    batch_texts=60,
    micro_batch=16,
    learning_rate=0.03,
    clip_norm=5,
    temperature=0.1,
    validate_every=10,
    hard_after=0.8,
    hard_negatives=1,
    patience=9,
)


def lesson_of(material: Material, config: FinetuneConfig = SETTINGS) -> Lesson:
    return make_lesson(material, config, np.random.default_rng(1))


def text_config(trunk: Path) -> TextConfig:
    return TextConfig(trunk=str(trunk), max_tokens=16, precision="float32", batch_size=32)


def tune(
    trunk: Path,
    folder: Path,
    lesson: Lesson,
    config: FinetuneConfig = SETTINGS,
    progress: Callable[[int, int, str], None] = quiet,
    seed: int = 3,
) -> dict[str, Any]:
    return finetune(lesson, text_config(trunk), config, folder / "work", folder / "out", seed=seed, n_threads=1, progress=progress)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = transformers.BertModel.from_pretrained(folder / "out").state_dict()
    return found


def metrics(folder: Path, name: str) -> dict[int, float]:
    lines = [json.loads(line) for line in (folder / "work" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [(line["step"], line[name]) for line in lines if name in line]
    assert len(dict(found)) == len(found)  # no step twice
    return dict(found)


def test_importing_it_imports_neither_torch_nor_transformers_nor_peft() -> None:
    command = (
        "import sys, recsys.text.finetune, recsys.training.finetuning, recsys.text.heads; "
        "print({'torch', 'transformers', 'peft', 'sentence_transformers'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


@pytest.mark.parametrize("words", [LATIN, CHINESE], ids=["latin", "chinese"])
def test_it_learns_which_texts_are_wanted_together(tmp_path: Path, words: list[str]) -> None:
    lesson = lesson_of(world(words))
    report = tune(write_trunk(tmp_path / "trunk", words), tmp_path, lesson)
    assert report["Recall@20"][0] < 0.5
    assert max(report["Recall@20"]) > 0.95
    assert len(report["Recall@20"]) == 6

    encoder = load_encoder(text_config(tmp_path / "out"), 1)
    assert lesson.validate is not None
    assert lesson.validate(encoder.encode(words)) == pytest.approx(max(report["Recall@20"]), abs=0.02)
    assert list(metrics(tmp_path, "Recall@20")) == [0, 10, 20, 30, 40, 50]
    assert list(metrics(tmp_path, "loss_history")) == list(range(1, 51))
    if importlib.util.find_spec("tensorboard") is not None:
        assert list((tmp_path / "work" / "tensorboard").glob("events.*"))


@pytest.mark.parametrize("killed_at", [4, 17, 30])
def test_a_killed_run_goes_on_bit_by_bit(dropping: Path, tmp_path: Path, killed_at: int) -> None:
    material = replace(world(LATIN), labels={"parity": [(word, "even" if at % 2 == 0 else "odd") for at, word in enumerate(LATIN)]})
    config = SETTINGS.model_copy(update={"n_steps": 30, "mlm_weight": 0.1})
    lesson = lesson_of(material, config)
    undisturbed = tune(dropping, tmp_path / "one", lesson, config)

    def kill(done: int, total: int, what: str) -> None:
        if done == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tune(dropping, tmp_path / "two", lesson, config, kill)
    steps: list[int] = []
    assert tune(dropping, tmp_path / "two", lesson, config, lambda done, total, what: steps.append(done)) == undisturbed
    assert steps[:1] == [killed_at // 10 * 10 + 1] if killed_at < 30 else steps == list(range(21, 31))
    for name, weight in weights(tmp_path / "one").items():
        assert torch.equal(weight, weights(tmp_path / "two")[name]), name
    for name in ("loss", "Recall@20", "loss_mlm", "loss_parity"):
        assert metrics(tmp_path / "one", name) == metrics(tmp_path / "two", name)


def test_a_checkpoint_of_another_training_is_not_gone_on_from(trunk: Path, tmp_path: Path) -> None:
    config = SETTINGS.model_copy(update={"n_steps": 10})
    lesson = lesson_of(world(LATIN))
    tune(trunk, tmp_path, lesson, config)
    steps: list[int] = []
    tune(trunk, tmp_path, lesson, config, lambda done, total, what: steps.append(done))
    assert steps == []
    tune(trunk, tmp_path, lesson, config, lambda done, total, what: steps.append(done), seed=4)
    assert steps == list(range(1, 11))


def test_cached_gradients_are_those_of_the_whole_batch(dropping: Path) -> None:
    """Dropout is on: both readings of a text must drop the same."""
    rows = np.arange(30)
    target = torch.nn.functional.normalize(torch.randn(30, 16, generator=torch.Generator().manual_seed(1)), dim=1)
    gradients = []
    for is_cached in (False, True):
        learner = load_trunk(text_config(dropping), 1, [f"{word} {LATIN[0]}" for word in LATIN[:30]], None, seed=0)
        learner.learn(rows, lambda embeddings: -torch.logsumexp(3 * embeddings @ target.T, 1).mean(), 8, is_cached, seed=5)
        gradients.append({name: weight.grad.clone() for name, weight in learner.parameters().items() if weight.grad is not None})
    assert gradients[0].keys() == gradients[1].keys()
    for name, plain in gradients[0].items():
        torch.testing.assert_close(gradients[1][name], plain, atol=1e-6, rtol=1e-4)
    assert max(float(plain.abs().max()) for plain in gradients[0].values()) > 1e-3


def test_low_rank_adapters_learn_and_leave_a_plain_model(trunk: Path, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    config = SETTINGS.model_copy(update={"lora_rank": 4})
    report = tune(trunk, tmp_path, lesson_of(world(LATIN)), config)
    assert max(report["Recall@20"]) > report["Recall@20"][0] + 0.1
    before = transformers.BertModel.from_pretrained(trunk).state_dict()
    changed = {name for name, weight in weights(tmp_path).items() if not torch.equal(weight, before[name])}
    assert changed
    assert all("dense" in name or "query" in name or "key" in name or "value" in name for name in changed)
    assert not [name for name in changed if name.endswith("bias") or "pooler" in name]


class Scripted:
    """A validation that says what it was told to."""

    def __init__(self, *recalls: float) -> None:
        self.recalls = list(recalls)

    def __call__(self, embeddings: Floats) -> float:
        return self.recalls.pop(0)


def test_it_stops_when_validation_no_longer_improves_and_keeps_the_best(trunk: Path, tmp_path: Path) -> None:
    config = SETTINGS.model_copy(update={"patience": 2, "validate_every": 5})
    lesson = replace(lesson_of(world(LATIN)), validate=Scripted(0.1, 0.3, 0.2, 0.3, 0.9))
    expected = {"Recall@20": [0.1, 0.3, 0.2, 0.3], "best_step": 5, "n_steps": 15, "heads": [], "known_until": None}
    assert tune(trunk, tmp_path, lesson, config) == expected


def test_a_trunk_that_tuning_only_makes_worse_is_kept_as_it_was(trunk: Path, tmp_path: Path) -> None:
    config = SETTINGS.model_copy(update={"n_steps": 10})
    assert tune(trunk, tmp_path, replace(lesson_of(world(LATIN)), validate=Scripted(0.5, 0.4)), config)["best_step"] == 0
    before = transformers.BertModel.from_pretrained(trunk).state_dict()
    for name, weight in weights(tmp_path).items():
        assert torch.equal(weight, before[name]), name


def test_without_a_validation_the_last_weights_are_kept(trunk: Path, tmp_path: Path) -> None:
    lesson = lesson_of(replace(world(LATIN), held_out=()))
    report = tune(trunk, tmp_path, lesson, SETTINGS.model_copy(update={"n_steps": 10}))
    assert report == {"Recall@20": [], "best_step": 10, "n_steps": 10, "heads": [], "known_until": None}


def test_heads_learn_with_the_trunk_and_are_read_beside_it(trunk: Path, tmp_path: Path) -> None:
    labels = [(f"{word} {LATIN[(at + N_GROUPS) % N_WORDS]}", "odd" if at % 2 else "even") for at, word in enumerate(LATIN)]
    tune(trunk, tmp_path, lesson_of(replace(world(LATIN), labels={"parity": labels[:90]})))
    reader = load_reader(text_config(tmp_path / "out"), 1)
    assert reader.heads.by_name["parity"].classes == ("even", "odd")
    found = reader.classify([text for text, _ in labels[90:]])["parity"]
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)
    is_right = (found[:, 1] > 0.5) == [name == "odd" for _, name in labels[90:]]
    assert is_right.mean() > 0.9


def test_a_text_that_tells_nothing_gets_the_frequencies_of_the_labels(trunk: Path, tmp_path: Path) -> None:
    """Common and rare texts are the same ones, so that nothing can be learnt of them but how many there are."""
    labels = [(word, "rare") for word in LATIN[:30]] + [(word, "common") for word in LATIN[:30]] * 4
    config = SETTINGS.model_copy(update={"n_steps": 10, "learning_rate": 1e-4})
    tune(trunk, tmp_path, lesson_of(Material(tuple(LATIN), labels={"kind": labels}), config), config)
    reader = load_reader(text_config(tmp_path / "out"), 1)
    assert reader.heads.by_name["kind"].classes == ("common", "rare")
    np.testing.assert_allclose(reader.classify(LATIN)["kind"], np.tile([0.8, 0.2], (N_WORDS, 1)), atol=0.05)


def test_heads_that_do_not_fit_are_refused(trunk: Path, tmp_path: Path) -> None:
    heads = Heads({"mood": Head(("bad", "good"), np.eye(3, 2, dtype=np.float32), np.zeros(2, np.float32))})
    assert heads.classify(np.array([[2, 0, 0]], np.float32))["mood"][0, 0] == pytest.approx(1 / (1 + np.exp(-2)))
    with pytest.raises(ValueError, match="reads embeddings of width 3"):
        heads.classify(np.zeros((1, 4), np.float32))
    with pytest.raises(ValueError, match="3 classes, but weights"):
        Head(("a", "b", "c"), np.zeros((3, 2), np.float32), np.zeros(2, np.float32))
    with pytest.raises(ConfigError, match="has no classification heads"):
        load_reader(text_config(trunk), 1)
    heads.save(tmp_path)
    np.testing.assert_array_equal(Heads.load(tmp_path).by_name["mood"].weights, heads.by_name["mood"].weights)
    (tmp_path / "0.npy").write_bytes((tmp_path / "0.npy").read_bytes()[:-9])
    with pytest.raises(BundleError, match="cannot be read"):
        Heads.load(tmp_path)


def test_a_head_needs_two_classes() -> None:
    with pytest.raises(DataError, match="two classes or more"):
        make_lesson(replace(world(LATIN), labels={"mood": [("a", "good"), ("b", "good")]}), SETTINGS, np.random.default_rng(0))


def test_nothing_to_learn_from_is_refused(trunk: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is nothing to fine-tune on"):
        tune(trunk, tmp_path, lesson_of(Material(tuple(LATIN))))


def test_masked_words_alone_are_something_to_learn_from(trunk: Path, tmp_path: Path) -> None:
    texts = tuple(f"{LATIN[at]} {LATIN[at + 1]} {LATIN[at]} {LATIN[at + 1]}" for at in range(0, N_WORDS, 2))
    config = SETTINGS.model_copy(update={"mlm_weight": 1.0, "n_steps": 60})
    tune(trunk, tmp_path, lesson_of(Material(texts), config), config)
    losses = list(metrics(tmp_path, "loss_mlm").values())
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.5


def test_the_loss_is_that_of_sentence_transformers_where_nothing_is_spared() -> None:
    losses = pytest.importorskip("sentence_transformers.sentence_transformer.losses.multiple_negatives_ranking")
    vectors = torch.nn.functional.normalize(torch.randn(12, 8, generator=torch.Generator().manual_seed(0)), dim=1)
    means = sp.csr_matrix(np.eye(6, 12, dtype=np.float32))
    ours = info_nce(vectors, means, np.arange(6, 12), np.arange(6), np.zeros((6, 6), np.bool_), temperature=0.05)
    theirs = losses.MultipleNegativesRankingLoss(model=None, scale=20.0)
    expected = theirs.compute_loss_from_embeddings([vectors[:6], vectors[6:]], None)
    assert float(ours) == pytest.approx(float(expected), rel=1e-5)


def test_what_is_spared_is_no_negative() -> None:
    vectors = torch.eye(4)
    means = sp.csr_matrix(np.array([[1, 0, 0, 0]], np.float32))
    spared = np.array([[False, True, False]])
    loss = info_nce(vectors, means, np.array([0, 1, 2]), np.array([0]), spared, temperature=1.0)
    assert float(loss) == pytest.approx(-np.log(np.e / (np.e + 1)))  # the query itself against one stranger


def test_the_hardest_are_the_nearest_without_links() -> None:
    angles = np.deg2rad([0, 10, 25, 90])
    embeddings = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    links = sp.csr_matrix((np.ones(2, np.bool_), ([0, 1], [1, 0])), (4, 4))
    assert hardest(embeddings, links).tolist() == [[2, 3, 2], [2, 3, 2], [1, 0, 3], [2, 1, 0]]
    with pytest.raises(ValueError, match="do not fit 3 embeddings"):
        hardest(embeddings[:3], links)


def nothing_mined(documents: Ints, rng: np.random.Generator) -> Ints:
    return np.empty(0, np.int32)


def test_no_negative_of_a_batch_was_wanted_with_its_query_beyond_chance() -> None:
    lesson = lesson_of(world(LATIN))
    together = lesson.links.toarray()
    often = together.sum(axis=1)
    batch = Batch.draw(lesson, SETTINGS, nothing_mined, [], np.random.default_rng(0))
    drawn = batch.drawn["history"]
    _, places, wanted, spared = batch.contrast(drawn, lesson, spare_linked=True)
    columns = batch.rows[places]
    assert len(np.unique(batch.rows)) == len(batch.rows)
    for row, query in enumerate(drawn.queries):
        assert columns[wanted[row]] == drawn.wanted[row]
        negatives = np.setdiff1d(columns[~spared[row]], drawn.wanted[row])
        assert len(negatives)
        about = list(drawn.about[row])
        by_chance = often[about].sum() * often[negatives] / often.sum()
        assert (together[np.ix_(about, negatives)].sum(axis=0) <= 2 * by_chance).all()
        assert not set(query) & set(negatives.tolist())
        assert drawn.wanted[row] not in query


def test_where_everything_is_wanted_with_everything_negatives_are_left() -> None:
    """Customers want anything but for words 0 and 1, which always go together."""
    rng = np.random.default_rng(0)
    histories = [np.append(rng.permutation(np.arange(2, 40))[:6], [0, 1] if customer % 4 == 0 else []) for customer in range(2000)]
    lesson = lesson_of(Material(tuple(LATIN[:40]), [history.astype(np.int32) for history in histories]))
    assert lesson.links.nnz > 0.9 * 40 * 39
    pairs = linked_pairs(lesson.links).toarray()
    assert pairs[0, 1]
    assert pairs[1, 0]
    assert pairs[2:, 2:].mean() < 0.05
    group = sp.csr_matrix(np.isin(np.arange(40), [2, 3, 4])[None].astype(np.float32))
    assert linked(group, lesson.links, np.arange(2, 40)).mean() < 0.05


def test_mined_negatives_are_read_in_the_batch() -> None:
    lesson = lesson_of(world(LATIN))
    batch = Batch.draw(lesson, SETTINGS, lambda documents, rng: (documents + 1) % N_WORDS, [], np.random.default_rng(0))
    wanted = np.unique(batch.drawn["history"].wanted)
    assert np.isin((wanted + 1) % N_WORDS, batch.rows).all()


def test_labels_are_drawn_evenly_however_rare() -> None:
    labelled = Labelled(np.arange(100, dtype=np.int32), np.array([0] * 98 + [1] * 2, np.int32), ("common", "rare"))
    rows, labels = labelled.draw(np.random.default_rng(0), 400)
    assert 150 < (labels == 1).sum() < 250
    assert set(rows[labels == 1].tolist()) == {98, 99}


def test_a_kind_of_pairs_that_draws_nothing_is_left_out() -> None:
    class Nothing:
        def draw(self, rng: np.random.Generator, n_texts: int) -> Drawn:
            return Drawn()

    lesson = lesson_of(world(LATIN))
    lesson = replace(lesson, pairs={**lesson.pairs, "nothing": (Nothing(), 0.5)})
    assert list(Batch.draw(lesson, SETTINGS, nothing_mined, [], np.random.default_rng(0)).drawn) == ["history"]
