"""What every candidate source promises, whatever it is fitted on."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from handmade import asked, history, profile
from hypothesis import given, settings
from hypothesis import strategies as st
from lines import as_listed
from world import END, N_CUSTOMERS, N_ITEMS, NEVER_BOUGHT

from recsys.bundle import Histories, load_source
from recsys.candidates.affinity import fit_affinity
from recsys.candidates.content import ItemTexts, build_content
from recsys.candidates.popular import fit_popular
from recsys.data.dataset import Dataset
from recsys.features.store import CustomerGroups
from recsys.protocols import CandidateSource, ResolvedQuery
from recsys.source_config import (
    AffinityConfig,
    AlsConfig,
    ContentConfig,
    CovisitConfig,
    EaseConfig,
    IndexConfig,
    PopularConfig,
    RepurchaseConfig,
    SequenceConfig,
    SourceConfig,
)
from recsys.text.index import VectorIndex
from recsys.training.als import fit_als
from recsys.training.covisit import fit_covisit
from recsys.training.ease import fit_ease
from recsys.training.repurchase import fit_repurchase
from recsys.training.sequence import fit_sequence
from recsys.types import Flags, Floats, Scored, aware

KINDS: dict[str, SourceConfig] = {
    "popular": PopularConfig(kind="popular", half_life_days=30),
    "popular in the last days": PopularConfig(kind="popular", window_days=2),
    "popular in the segment": PopularConfig(kind="popular", within="segment"),
    "popular in the tier": PopularConfig(kind="popular", within="tier", half_life_days=60),
    "repurchase": RepurchaseConfig(kind="repurchase"),
    "repurchase when it is due": RepurchaseConfig(kind="repurchase", horizon_days=28),
    "of the same brand": AffinityConfig(kind="affinity", by="brand"),
    "of the same category": AffinityConfig(kind="affinity", by="category", n_items=4),
    "als": AlsConfig(kind="als", factors=6, iterations=3),
    "bought in one basket": CovisitConfig(kind="covisit"),
    "bought by one customer": CovisitConfig(kind="covisit", unit="customer"),
    "bought one after the other": CovisitConfig(kind="covisit", unit="sequence"),
    "ease": EaseConfig(kind="ease"),
    "content": ContentConfig(kind="content"),
    "sequence": SequenceConfig(kind="sequence", dim=16, n_blocks=1, n_epochs=12, batch_items=400, learning_rate=0.01),
}
PERSONAL = tuple(kind for kind in KINDS if not kind.startswith("popular"))
"""Kinds that know nothing of a stranger."""
ALL = np.ones(N_ITEMS, np.bool_)
NOTHING = int(NEVER_BOUGHT[1:])

Fit = Callable[[str], CandidateSource]
Ask = Callable[[int], ResolvedQuery]


def item_texts() -> ItemTexts:
    """Two items in a row share a text, as colours of one product may."""
    embeddings: Floats = np.random.default_rng(2).normal(size=(N_ITEMS // 2, 8)).astype(np.float32)
    embeddings /= np.linalg.norm(embeddings, axis=1, keepdims=True)
    return ItemTexts((np.arange(N_ITEMS) // 2).astype(np.int32), embeddings, VectorIndex.build(embeddings, IndexConfig()))


def fit_one(config: SourceConfig, shop: Dataset) -> CandidateSource:
    lines = shop.interactions
    if isinstance(config, PopularConfig) and config.within != "shop":
        names = ("even", "odd") if config.within == "segment" else ("low", "medium", "high")
        parity = np.array([int(id_[1:]) % 2 for id_ in shop.customers.ids], np.int32)
        return fit_popular(lines, N_ITEMS, END, config, CustomerGroups(names, parity))
    if isinstance(config, PopularConfig):
        return fit_popular(lines, N_ITEMS, END, config)
    if isinstance(config, AlsConfig):
        return fit_als(lines, N_CUSTOMERS, N_ITEMS, END, config, IndexConfig(), seed=1, n_threads=1)
    if isinstance(config, CovisitConfig):
        return fit_covisit(lines, N_ITEMS, END, config)
    if isinstance(config, EaseConfig):
        return fit_ease(lines, N_ITEMS, END, config, n_threads=1)
    if isinstance(config, ContentConfig):
        return build_content(item_texts(), np.bincount(lines.items, minlength=N_ITEMS).astype(np.float32), config)
    if isinstance(config, SequenceConfig):
        texts = item_texts().of_items(np.arange(N_ITEMS, dtype=np.int32))
        with tempfile.TemporaryDirectory() as work:
            return fit_sequence(lines, N_ITEMS, texts, config, IndexConfig(), seed=1, n_threads=1, work=Path(work))
    if isinstance(config, AffinityConfig):
        return fit_affinity(lines, shop.catalogue().codes(config.by), END, config)
    return fit_repurchase(lines, shop.catalogue(), END, config)


@pytest.fixture(scope="module")
def shop(small_dataset: Dataset) -> Dataset:
    """The small shop, item i7 being number 7."""
    return as_listed(small_dataset)


@pytest.fixture(scope="module")
def sources(shop: Dataset) -> dict[str, CandidateSource]:
    return {kind: fit_one(config, shop) for kind, config in KINDS.items()}


@pytest.fixture(scope="module")
def ask(shop: Dataset) -> Ask:
    """A query of customer c0, c1, ... at the end of the data."""
    histories = Histories.of_interactions(shop.interactions, N_CUSTOMERS)

    def ask_for(customer: int) -> ResolvedQuery:
        who = profile(segment=("even", "odd")[customer % 2], tier=("low", "medium")[customer % 2])
        number = shop.customers.number(f"c{customer}")
        assert number is not None
        return replace(asked(histories.of(number), who=who, customer_id=f"c{customer}", time=aware(END)), time=END)

    return ask_for


def check(found: Scored, n: int, eligible: Flags) -> None:
    assert len(found) <= n
    assert found.items.dtype == np.int32
    assert found.scores.dtype == np.float32
    assert eligible[found.items].all()
    assert len(set(found.items.tolist())) == len(found)
    assert np.isfinite(found.scores).all()
    assert (np.diff(found.scores) <= 0).all()


def assert_same(one: Scored, other: Scored) -> None:
    np.testing.assert_array_equal(one.items, other.items)
    np.testing.assert_array_equal(one.scores, other.scores)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=40, deadline=None)
@given(
    customer=st.integers(0, N_CUSTOMERS - 1),
    n=st.integers(1, N_ITEMS + 5),
    seed=st.integers(0, 99),
    share=st.sampled_from([0, 0.1, 0.6, 1]),
)
def test_an_answer_is_the_full_list_less_what_is_not_eligible(
    kind: str, sources: dict[str, CandidateSource], ask: Ask, customer: int, n: int, seed: int, share: float
) -> None:
    eligible = np.random.default_rng(seed).random(N_ITEMS) < share
    untouched = eligible.copy()
    found = sources[kind].retrieve(ask(customer), n, eligible)
    check(found, n, eligible)
    np.testing.assert_array_equal(eligible, untouched)
    full = sources[kind].retrieve(ask(customer), N_ITEMS, ALL)
    left = full.items[eligible[full.items]]
    assert found.items.tolist() == left[:n].tolist()


@pytest.mark.parametrize(
    "kind", [kind for kind in KINDS if kind not in ("content", "popular", "popular in the last days", "of the same category")]
)
def test_customers_are_shown_what_their_parity_buys(kind: str, sources: dict[str, CandidateSource], ask: Ask) -> None:
    for customer in (4, 7):
        found = sources[kind].retrieve(ask(customer), 8, ALL).items
        assert (found % 2 == customer % 2).mean() > 0.8


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_change_no_answer(kind: str, sources: dict[str, CandidateSource], ask: Ask, tmp_path: Path) -> None:
    source = sources[kind]
    source.save(tmp_path / "source")  # type: ignore[attr-defined]
    loaded = load_source(tmp_path / "source", KINDS[kind], item_texts())
    assert loaded.reason is source.reason
    for customer in range(0, N_CUSTOMERS, 9):
        assert_same(loaded.retrieve(ask(customer), 30, ALL), source.retrieve(ask(customer), 30, ALL))
        items = np.arange(N_ITEMS, dtype=np.int32)
        np.testing.assert_array_equal(loaded.because(ask(customer), items), source.because(ask(customer), items))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "repurchase"])  # nothing of it is fitted
def test_equal_seeds_and_data_give_equal_files(kind: str, sources: dict[str, CandidateSource], shop: Dataset, tmp_path: Path) -> None:
    sources[kind].save(tmp_path / "one")  # type: ignore[attr-defined]
    fit_one(KINDS[kind], shop).save(tmp_path / "two")  # type: ignore[attr-defined]
    files = sorted(path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*") if path.is_file())
    assert files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes(), name


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("customer_id", [None, "a stranger"])
def test_guests_and_strangers_are_served(kind: str, sources: dict[str, CandidateSource], customer_id: str | None) -> None:
    resolved = asked(customer_id=customer_id)
    found = sources[kind].retrieve(resolved, 10, ALL)
    check(found, 10, ALL)
    assert sources[kind].because(resolved, found.items).tolist() == [-1] * len(found)
    if kind in PERSONAL or "segment" in kind or "tier" in kind:
        assert len(found) == 0
    else:
        assert len(found) > 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_history_of_what_nobody_else_bought_is_no_error(kind: str, sources: dict[str, CandidateSource]) -> None:
    resolved = asked(history((1, NOTHING)), context=[NOTHING], who=profile("even"))
    check(sources[kind].retrieve(resolved, 10, ALL), 10, ALL)


@pytest.mark.parametrize("kind", KINDS)
def test_a_customer_who_bought_all_that_is_eligible_gets_nothing_new(kind: str, sources: dict[str, CandidateSource], ask: Ask) -> None:
    everything = asked(history(*((1 + item, item) for item in range(N_ITEMS))), who=profile("even"))
    assert len(sources[kind].retrieve(everything, 10, ~ALL)) == 0
    one_left = ~ALL
    one_left[0] = True
    check(sources[kind].retrieve(everything, 10, one_left), 1, one_left)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reason_is_an_item_of_the_customer_or_none(kind: str, sources: dict[str, CandidateSource], ask: Ask) -> None:
    for customer in range(0, N_CUSTOMERS, 7):
        resolved = replace(ask(customer), context=np.array([3, 8], np.int32))
        found = sources[kind].retrieve(resolved, 20, ALL).items
        because = sources[kind].because(resolved, found)
        assert because.shape == found.shape
        own = {-1, 3, 8, *resolved.positives.items.tolist()}
        assert set(because.tolist()) <= own
        assert not (because == found).any()
