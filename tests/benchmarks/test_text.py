"""The measures of the text benchmark, on vectors and classes worked by hand; and each command, on a few invented rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import transformers

from benchmarks.text.__main__ import RUNS, main
from benchmarks.text.classes import by_order, class_scores
from benchmarks.text.cold import _material, _questions
from benchmarks.text.instruments import _questions as questions_at
from benchmarks.text.retrieval import K, ranks, ranks_after, same_for_all, whitened
from benchmarks.text.shops import Shop, by_time

WORDS = [f"w{number}" for number in range(40)]


def test_whitening_takes_off_what_all_have_in_common_and_evens_the_axes() -> None:
    rng = np.random.default_rng(0)
    skewed = (rng.normal(size=(4000, 4)) * [10, 1, 0.1, 3] + [50, 0, 0, 0]).astype(np.float32)
    found = whitened(skewed)
    assert np.linalg.norm(found, axis=1) == pytest.approx(1, abs=1e-5)
    np.testing.assert_allclose(found.mean(axis=0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(found.T), np.eye(4) / 4, atol=0.03)


def test_equals_share_their_mean_rank_and_what_is_left_out_is_never_found() -> None:
    scores = np.zeros((3, 2 * K + 2), np.float32)
    scores[1, : K + 1] = 1
    left_out = np.zeros(scores.shape, np.bool_)
    left_out[2, 1] = True
    found = ranks(scores, np.array([0, 0, 1], np.int32), left_out)
    assert found.tolist() == [(2 * K + 3) / 2, (K + 2) / 2, np.inf]


def test_the_newest_item_weighs_most() -> None:
    """Two clouds of items; the customer came from the one to the other."""
    embeddings = np.repeat(np.eye(2, dtype=np.float32), 30, axis=0)
    embeddings[:, 1] += np.tile(np.linspace(0, 1e-3, 30), 2).astype(np.float32)
    past, wanted = [np.array([0, 1, 30], np.int32)], np.array([59], np.int32)
    assert ranks_after(embeddings, past, wanted, decay=0.4) <= K
    assert ranks_after(embeddings, past, wanted, decay=1.0) > K


def test_popularity_ranks_alike_for_everybody_without_what_they_had() -> None:
    pasts = [np.array([3], np.int32), np.array([0, 1], np.int32)]
    found = ranks_after(same_for_all(np.array([0.0, 9.0, 4.0, 0.0])), pasts, np.array([2, 2], np.int32), 1.0)
    assert found.tolist() == [2, 1]


def test_later_texts_that_were_written_before_are_left_out() -> None:
    early, late = by_time(pd.DataFrame({"text": ["a", "b", "c", "d", "a"] * 2}))
    assert (len(early), late.text.tolist()) == (8, [])
    early, late = by_time(pd.DataFrame({"text": [*"abcdefgh", "a", "z"]}))
    assert (len(early), late.text.tolist()) == (8, ["z"])


def test_scores_of_classes_are_those_worked_by_hand() -> None:
    truth, told = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    found = class_scores(truth, told, 2)
    assert found["macro-F1"] == pytest.approx((4 / 5 + 2 / 3) / 2)
    assert found["balanced accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert found["accuracy"] == 0.75
    assert class_scores(truth, told, 2, times=np.array([1, 1, 0, 1])) == {"macro-F1": 1, "balanced accuracy": 1, "accuracy": 1}


def test_an_order_is_judged_by_ranks_and_by_sign() -> None:
    score = by_order(np.array([-2.0, -1.0, 0.0, 3.0]), np.array([0.3, 0.1, 0.2, 0.9]))
    assert score(None)["AUC"] == 1  # what people find neither good nor bad does not count
    assert score(None)["Spearman"] == pytest.approx(0.4)


def test_hidden_items_are_neither_learnt_from_nor_asked_with() -> None:
    sequences = [np.array(line, np.int32) for line in ([0, 1, 2, 3, 9], [9, 4, 9, 9], [5, 9, 6, 7])]
    shop = Shop(tuple("abcdefghij"), tuple("abcdefghij"), ((),) * 10, sequences)
    is_hidden = np.arange(10) == 9
    material = _material(shop, is_hidden)
    assert [history.tolist() for history in material.histories] == [[0, 1, 2]]
    asked = _questions(shop, is_hidden, -1)
    assert [past.tolist() for past in asked.pasts] == [[0, 1, 2, 3], [4]]
    assert asked.wanted.tolist() == [9, 9]


def test_a_question_knows_nothing_of_what_came_after_the_cut() -> None:
    rows = pd.DataFrame(
        {
            "customer": ["a", "a", "a", "b", "a", "a"],
            "document": [1, 2, 3, 4, 2, 5],
            "days": [0.0, 1.0, 2.0, 2.0, 3.0, 9.0],
        }
    )
    asked = questions_at(rows, 2.0, 9.0)
    assert (asked.customers, asked.wanted.tolist()) == (["a"], [3])  # b was not known, 2 is not new, 5 comes too late
    assert asked.pasts[0].tolist() == [1, 2]
    assert asked.reviews.days.max() < 2


@pytest.fixture(scope="module")
def trunk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random BERT that reads as many tokens as the commands want."""
    folder = tmp_path_factory.mktemp("trunk")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    transformers.BertTokenizer(vocab={word: row for row, word in enumerate(vocabulary)}).save_pretrained(folder)
    shape = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32, "max_position_embeddings": 128}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(transformers.BertConfig(vocab_size=len(vocabulary), **shape)).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The public sets with invented rows."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    n_items, n_customers = 60, 80
    texts = [f"{WORDS[item % 40]} {WORDS[item // 40]}" for item in range(n_items)]
    lines = pd.DataFrame({"user_idx": np.repeat(np.arange(n_customers), 6), "item_idx": rng.integers(1, n_items + 1, n_customers * 6)})
    lines["position"] = np.tile(np.arange(1, 7), n_customers)
    items = pd.DataFrame({"item_idx": np.arange(1, n_items + 1), "short_title": texts, "attributes": [["w1", "w2"]] * n_items})
    for shop in ("beauty", "sports_outdoors"):
        items.to_parquet(folder / f"amazon2014_{shop}_items.parquet")
        lines.to_parquet(folder / f"amazon2014_{shop}_interactions.parquet")
    written = pd.DataFrame(
        {"user_id": [f"c{row % 40}" for row in range(200)], "item_id": [f"i{item}" for item in rng.integers(0, 30, 200)]}
    )
    written["review_title"], written["rating"] = [WORDS[row % 7] for row in range(200)], rng.choice([1, 3, 5], 200)
    written["review_text"] = [f"{WORDS[row % 40]} {WORDS[row // 40]}" for row in range(200)]
    written["timestamp"], written["helpful_votes"] = np.arange(200) * 86_400, 0
    written.to_parquet(folder / "amazon2014_musical_instruments_reviews.parquet")
    sold = pd.DataFrame({"item_id": [f"i{item}" for item in range(30)], "title": texts[:30], "category": "w3"})
    sold.to_parquet(folder / "amazon2014_musical_instruments_items.parquet")
    boxed = written.rename(columns={"item_id": "parent_asin", "helpful_votes": "helpful_vote"})
    boxed["timestamp"] = boxed.timestamp.astype("datetime64[s]")
    boxed.to_parquet(folder / "amazon2023_subscription_boxes_reviews.parquet")
    sold = sold.rename(columns={"item_id": "parent_asin"}).assign(features=[["w4", "w5"]] * 30)
    sold.to_parquet(folder / "amazon2023_subscription_boxes_items.parquet")
    snippets = pd.DataFrame({"snippet_id": [f"{row // 3}_{row}" for row in range(60)], "mean_sentiment": rng.normal(size=60)})
    snippets.assign(text=texts).to_parquet(folder / "vader_amazon_snippets.parquet")
    intents = pd.DataFrame({"split": ["train", "test"] * 30, "out_of_scope": False, "text": texts})
    intents.assign(intent=[f"w{row // 2 % 3}" for row in range(60)]).to_parquet(folder / "clinc150_intents.parquet")
    office = pd.DataFrame({"item_idx": np.arange(n_items), "title": texts, "description": [f"{text} w9" for text in texts]})
    office.to_parquet(folder / "amazon2018_office_products_catalogue.parquet")
    asked = pd.DataFrame({"split": ["valid", "test"] * 20, "user_id": [f"c{row}" for row in range(40)]})
    asked["history_item_idx"], asked["item_idx"] = [[row, row + 1] for row in range(40)], np.arange(40) + 5
    asked.to_parquet(folder / "amazon2018_office_products_valid_test.parquet")
    return folder


@pytest.mark.parametrize("what", sorted(RUNS))
def test_each_command_prints_tuned_beside_what_it_is_measured_against(
    what: str, data: Path, trunk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.text.next_item.N_VALIDATION", 20)
    monkeypatch.setattr("benchmarks.text.study.N_CUSTOMERS", 40)
    monkeypatch.setattr("benchmarks.text.classes.N_RESAMPLES", 20)
    monkeypatch.setattr("benchmarks.text.sentiment.READ_TOKENS", 128)
    small = ["--set", "batch_texts=16", "--set", "head_texts=8", "--steps", "2", "--threads", "1"]
    arguments = [what, "--data", str(data), "--work", str(tmp_path), "--trunk", str(trunk), *small]
    assert main(arguments) == 0
    printed = capsys.readouterr().out
    assert "tuned" in printed
    assert "untuned" in printed or "TF-IDF" in printed


def test_without_the_public_data_it_says_what_is_missing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["intents", "--data", str(tmp_path), "--work", str(tmp_path)]) == 1
    assert "clinc150_intents.parquet" in capsys.readouterr().err
