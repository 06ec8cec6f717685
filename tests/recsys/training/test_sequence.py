"""Learning what comes next, in worlds where that is known; what requests make of it is in tests/recsys/candidates."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from handmade import NOW, asked, history, interactions

from recsys.candidates.sequence import SequenceSource
from recsys.source_config import IndexConfig, SequenceConfig
from recsys.training import sequence_network
from recsys.training.sequence import CHECKPOINT, METRICS, fit_sequence
from recsys.training.sequence_batches import Sequences, batches
from recsys.training.sequence_network import ITEMS, Network
from recsys.training.sequence_validation import Validation
from recsys.types import Floats, Interactions

N_CYCLE = 14
PLAIN: dict[str, Any] = {
    "dim": 16,
    "n_blocks": 1,
    "dropout": 0.1,
    "batch_items": 120,
    "learning_rate": 0.01,
    "n_epochs": 25,
    "max_length": 5,
}


def cycle(n_customers: int = 40) -> Interactions:
    """Whoever bought an item buys the next higher one a week later, after the highest the lowest; one item, N_CYCLE, is never bought."""
    return interactions(*((7 * (12 - step), c, (3 * c + step) % N_CYCLE) for c in range(n_customers) for step in range(8 + c % 5)))


def fit(
    lines: Interactions,
    work: Path,
    n_items: int = N_CYCLE + 1,
    texts: Floats | None = None,
    seed: int = 3,
    progress: Callable[[int, int | None, str], None] = lambda done, total, what: None,
    **settings: Any,
) -> SequenceSource:
    config = SequenceConfig(kind="sequence", **{**PLAIN, **settings})
    return fit_sequence(lines, n_items, texts, config, IndexConfig(), seed=seed, n_threads=1, work=work, progress=progress)


def first(source: SequenceSource, *lines: tuple[float, int]) -> int:
    return int(source.retrieve(asked(history(*lines)), 1, np.ones(len(source.items), np.bool_)).items[0])


def weights(source: SequenceSource) -> dict[str, Floats]:
    return {"items": source.items, **vars(source.transformer)}


def metrics(work: Path) -> list[dict[str, float]]:
    return [json.loads(line) for line in (work / METRICS).read_text(encoding="utf-8").splitlines()]


def assert_equal(one: SequenceSource, other: SequenceSource) -> None:
    for name, weight in weights(one).items():
        np.testing.assert_array_equal(weight, weights(other)[name], err_msg=name)


@pytest.mark.parametrize("n_negatives", [None, 6])
def test_the_next_item_of_a_cycle_is_found_every_time(tmp_path: Path, n_negatives: int | None) -> None:
    source = fit(cycle(), tmp_path, n_negatives=n_negatives, n_validation=0)
    for item in range(N_CYCLE):
        assert first(source, (14, (item - 1) % N_CYCLE), (7, item)) == (item + 1) % N_CYCLE
        assert first(source, (7, item)) == (item + 1) % N_CYCLE


def test_an_item_that_nobody_had_is_unknown_without_texts(tmp_path: Path) -> None:
    source = fit(cycle(), tmp_path, n_epochs=2)
    assert not source.items[N_CYCLE].any()
    assert np.isnan(source.scores(asked(history((7, 1))), np.array([N_CYCLE], np.int32))).all()


def test_an_item_that_nobody_had_goes_where_its_text_says(tmp_path: Path) -> None:
    """Items 0 to 9 and 10 to 19 are bought by different customers and read differently; 20 and 21 are new and read like either."""
    rng = np.random.default_rng(1)
    kinds = np.array([0] * 10 + [1] * 10 + [0, 1])
    texts = (np.eye(2)[kinds] @ rng.standard_normal((2, 12)) + 0.3 * rng.standard_normal((22, 12))).astype(np.float32)
    bought = [rng.choice(10, 6, replace=False) + 10 * (c % 2) for c in range(60)]
    lines = interactions(*((10 - step, c, int(item)) for c, items in enumerate(bought) for step, item in enumerate(items)))
    source = fit(lines, tmp_path, 22, texts)
    for kind, new, other in ((0, 20, 21), (1, 21, 20)):
        found = source.retrieve(asked(history((1, 10 * kind), (2, 10 * kind + 1))), 22, np.ones(22, np.bool_)).items.tolist()
        assert found.index(new) < 11 <= found.index(other)


def test_the_order_in_which_a_shop_wrote_one_time_teaches_nothing(tmp_path: Path) -> None:
    """Two items are bought at once, the even number always written first."""
    lines = interactions(*((7 * (9 - step), c, 2 * ((c + step) % 7) + half) for c in range(20) for step in range(6) for half in (0, 1)))
    order = np.arange(len(lines)).reshape(-1)
    backward = order[np.lexsort((-order, lines.times))]
    one, other = (fit(taken, tmp_path / name, n_epochs=3) for name, taken in (("one", lines), ("two", lines.take(backward))))
    assert not np.array_equal(lines.items, lines.take(backward).items)
    assert_equal(one, other)


@pytest.mark.parametrize("killed_at", [1, 4])
@pytest.mark.parametrize("n_negatives", [None, 5])
def test_a_killed_fit_goes_on_bit_by_bit(tmp_path: Path, killed_at: int, n_negatives: int | None) -> None:
    settings: dict[str, Any] = {"n_epochs": 6, "dropout": 0.3, "n_negatives": n_negatives}
    undisturbed = fit(cycle(), tmp_path / "one", **settings)
    done: list[int] = []

    def kill(epoch: int, total: int | None, what: str) -> None:
        done.append(epoch)
        if epoch == killed_at:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(cycle(), tmp_path / "two", progress=kill, **settings)
    resumed = fit(cycle(), tmp_path / "two", progress=lambda epoch, total, what: done.append(epoch), **settings)
    assert done == [1, 2, 3, 4, 5, 6]
    assert_equal(resumed, undisturbed)
    assert (tmp_path / "two" / METRICS).read_bytes() == (tmp_path / "one" / METRICS).read_bytes()
    assert not np.array_equal(fit(cycle(), tmp_path / "two", seed=4, **settings).items, undisturbed.items)


def test_no_state_of_the_process_gets_in_or_out(tmp_path: Path) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = fit(cycle(), tmp_path / "one", n_epochs=2)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    assert_equal(fit(cycle(), tmp_path / "two", n_epochs=2), one)


RISING = [0.02, 0.04, 0.06, 0.07, 0.08]


@pytest.mark.parametrize(
    ("ndcgs", "ends_after", "best"),
    [
        ([*RISING, 0.075, 0.074, 0.077, 0.076, 0.083, 0.082, 0.081], 12, 10),  # one lucky epoch, then less for four, does not end it
        ([*RISING, 0.075, 0.074, 0.073, 0.072, 0.071, 0.09, 0.09], 9, 5),
        ([0.05] * 12, 6, 1),
    ],
)
def test_no_lucky_epoch_ends_the_fit_and_the_best_one_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ndcgs: list[float], ends_after: int, best: int
) -> None:
    told = iter(ndcgs)
    monkeypatch.setattr(Validation, "ndcg", lambda self, items, transformer: next(told))
    source = fit(cycle(), tmp_path / "told", n_epochs=len(ndcgs), patience=3)
    assert len(metrics(tmp_path / "told")) == ends_after
    told = iter(range(best))
    assert_equal(source, fit(cycle(), tmp_path / "best", n_epochs=best, patience=best))


def test_what_is_kept_is_a_moving_average_of_the_weights_over_the_epochs(tmp_path: Path) -> None:
    epochs: list[dict[str, Floats]] = []

    def remember(epoch: int, total: int | None, what: str) -> None:
        learnt = torch.load(tmp_path / CHECKPOINT, weights_only=True)["weights"]
        epochs.append({name: weight.numpy() for name, weight in learnt.items()})

    kept = fit(cycle(), tmp_path, n_items=N_CYCLE, n_epochs=3, n_validation=0, progress=remember).items
    counts = np.array([0.75**2, 0.75, 1])
    expected = np.average([learnt[ITEMS] for learnt in epochs], axis=0, weights=counts)
    np.testing.assert_allclose(kept, expected, rtol=1e-4, atol=1e-6)
    assert not np.allclose(kept, epochs[-1][ITEMS], rtol=1e-2)


def test_validation_is_by_ndcg_and_can_be_left_out(tmp_path: Path) -> None:
    fit(cycle(), tmp_path / "with", n_epochs=40, patience=3, learning_rate=0.02)
    figures = [line["NDCG@10"] for line in metrics(tmp_path / "with")]
    assert max(figures) > 0.9
    assert len(figures) < 40
    without = fit(cycle(), tmp_path / "without", n_epochs=2, n_validation=0)
    assert "NDCG@10" not in metrics(tmp_path / "without")[0]
    assert np.isfinite(without.items).all()


@pytest.mark.parametrize(
    "lines",
    [interactions(), interactions((3, -1, 1), (2, -1, 2)), interactions((3, 0, 1), (2, 1, 2))],
    ids=["none", "guests", "single items"],
)
@pytest.mark.parametrize("has_texts", [False, True])
def test_a_shop_without_any_second_item_has_nothing_to_say(tmp_path: Path, lines: Interactions, has_texts: bool) -> None:
    texts = np.eye(4, dtype=np.float32) if has_texts else None
    source = fit(lines, tmp_path, 4, texts)
    assert len(source.retrieve(asked(history((1, 1))), 4, np.ones(4, np.bool_))) == 0


def test_texts_are_where_items_begin(tmp_path: Path) -> None:
    texts = np.random.default_rng(2).standard_normal((N_CYCLE + 1, 3)).astype(np.float32)
    texts[:7] = texts[0]
    learnt, blind = (
        fit(cycle(), tmp_path / str(use), texts=texts, n_epochs=1, learning_rate=1e-9, from_texts=use) for use in (True, False)
    )
    np.testing.assert_allclose(learnt.items[:7, :3], np.tile(learnt.items[0, :3], (7, 1)), atol=1e-6)
    np.testing.assert_allclose(learnt.items[:N_CYCLE, :3].std(axis=0), 0.1, rtol=1e-3)
    assert np.abs(blind.items[:7, :3] - blind.items[0, :3]).max() > 0.01


def test_every_item_but_the_first_is_a_target_once() -> None:
    lines = interactions(*((100 - step, c, (5 * c + step) % 90) for c, n in enumerate((1, 2, 7, 8, 9, 60)) for step in range(n)))
    sequences = Sequences.of(lines, np.arange(90, dtype=np.int32))
    rng = np.random.default_rng(0)
    read, aims = [], []
    for batch in batches(sequences, 7, 30, rng):
        assert batch.learns.shape[1] <= 7
        assert batch.learns.size <= 30
        read += batch.rows[:, :-1][batch.learns].tolist()
        aims += batch.rows[:, 1:][batch.learns].tolist()
    assert [aim - row for row, aim in zip(read, aims, strict=True)] == [1] * len(aims)
    assert sorted(aims) == sorted(set(range(87)) - set(sequences.starts[:-1].tolist()))


def test_an_item_stands_once_in_an_occasion_and_bought_again_the_next_time_teaches_nothing() -> None:
    lines = interactions((9, 0, 4), (9, 0, 4), (9, 0, 2), (7, 0, 4), (5, 0, 1), (3, 0, 4), (9, 1, 2), (2, -1, 3))
    sequences = Sequences.of(lines, np.arange(5, dtype=np.int32))
    assert sequences.items.tolist() == [2, 4, 4, 1, 4, 2]
    assert sequences.occasions.tolist() == [1, 1, 2, 3, 4, 5]
    assert sequences.is_repeat.tolist() == [False, False, True, False, False, False]
    assert sequences.starts.tolist() == [0, 5, 6]


def test_items_of_one_occasion_are_shuffled_and_nothing_else_moves() -> None:
    lines = interactions(*((9 - step, c, 10 * step + part) for c in range(3) for step in range(3) for part in range(4)))
    sequences = Sequences.of(lines, np.arange(30, dtype=np.int32))
    drawn = [sequences.shuffled(np.random.default_rng(seed)) for seed in range(30)]
    for shuffled in drawn:
        assert (shuffled.items // 10 == sequences.items // 10).all()
        assert sorted(shuffled.items[:4].tolist()) == [0, 1, 2, 3]
    assert {int(shuffled.items[0]) for shuffled in drawn} == {0, 1, 2, 3}


def test_the_gradient_of_all_items_is_that_of_the_cross_entropy() -> None:
    config = SequenceConfig(kind="sequence", **{**PLAIN, "dropout": 0.0})
    rng = np.random.default_rng(0)
    network = Network(rng.standard_normal((50, 16)).astype(np.float32), config, 1, "cpu")
    read, aims = rng.integers(0, 50, (40, 5)), rng.integers(0, 50, 200)
    apart = np.zeros((40, 5, 5), np.int64)

    def states() -> torch.Tensor:
        return network.states(read, apart, apart).reshape(200, 16)

    loss = network.learn(states(), aims, rng)
    gradients = {name: weight.grad.clone() for name, weight in network.weights.items() if weight.grad is not None}
    for weight in network.weights.values():
        weight.grad = None
    expected = torch.nn.functional.cross_entropy(states() @ network.weights["items"].T, torch.from_numpy(aims))
    expected.backward()  # type: ignore[no-untyped-call]
    assert loss == pytest.approx(float(expected.detach()), rel=1e-5)
    assert set(gradients) == set(network.weights)
    for name, gradient in gradients.items():
        torch.testing.assert_close(gradient, network.weights[name].grad, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("n_negatives", [None, 4])
def test_a_step_makes_nothing_that_lies_elsewhere_than_the_weights(monkeypatch: pytest.MonkeyPatch, n_negatives: int | None) -> None:
    """On a device that computes nothing: a tensor of another one raises, as it would beside a GPU's."""
    monkeypatch.setitem(sequence_network._AT_ONCE, "meta", 7)
    monkeypatch.setattr(torch.Tensor, "__float__", lambda _: 0.0)  # there is no number to ask for
    config = SequenceConfig(kind="sequence", **{**PLAIN, "n_negatives": n_negatives})
    network = Network(np.zeros((50, 16), np.float32), config, 1, "meta")
    optimizer = torch.optim.Adam(network.weights.values())
    read, apart = np.zeros((8, 5), np.int64), np.zeros((8, 5, 5), np.int64)
    states = network.states(read, apart, apart).reshape(-1, 16)
    network.learn(states, np.zeros(len(states), np.int64), np.random.default_rng(0))
    optimizer.step()
    assert all(weight.grad is not None and weight.grad.device.type == "meta" for weight in network.weights.values())


def test_a_time_of_day_is_an_occasion_of_its_own(tmp_path: Path) -> None:
    lines = replace(interactions((0, 0, 1), (0, 0, 2)), times=NOW + np.array([0, 1], "timedelta64[us]"))
    assert Sequences.of(lines, np.arange(3, dtype=np.int32)).occasions.tolist() == [1, 2]
