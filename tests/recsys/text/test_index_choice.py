"""Which kind of index is chosen, and that it says why."""

from __future__ import annotations

import pytest

from recsys.source_config import IndexConfig
from recsys.text.index_choice import IndexKind, choose_kind, code_bytes, list_count

AUTO = IndexConfig()


@pytest.mark.parametrize(
    ("n", "memory_mb", "kind"),
    [
        (12_101, 4096, "exact"),  # 18.6 MB, about a millisecond
        (26_000, 4096, "exact"),
        (27_000, 4096, "hnsw"),
        (100_000, 4096, "hnsw"),
        (100_000, 181.3, "hnsw"),  # 100,000 x (4 x 384 + 8 x 32 + 20) bytes = 181.2 MB
        (100_000, 181.1, "ivf_sq8"),
        (100_000, 40, "ivf_pq"),  # 8-bit numbers: 100,000 x (384 + 8) bytes and 1,024 centres of 1,536 bytes = 40.8 MB
        (100_000, 1, "ivf_pq"),
        (500, 0.1, "exact"),
    ],
)
def test_auto_takes_the_quickest_kind_that_fits(n: int, memory_mb: float, kind: IndexKind) -> None:
    assert choose_kind(n, 384, IndexConfig(memory_mb=memory_mb)).kind == kind


def test_width_counts() -> None:
    assert choose_kind(150_000, 64, AUTO).kind == "exact"
    assert choose_kind(150_000, 384, AUTO).kind == "hnsw"


def test_the_reason_is_one_sentence_with_sizes() -> None:
    assert choose_kind(12_101, 384, AUTO).why == (
        "exact: 12,101 vectors of 384 take 19 MB and about 0.9 ms; an exact search is quick enough"
    )
    assert choose_kind(1_000_000, 384, IndexConfig(memory_mb=500)).why == (
        "ivf_sq8: 1,000,000 vectors of 384 take 398 MB; an exact search would take about 76.8 ms, "
        "hnsw 1,812 MB of the index.memory_mb = 500 allowed"
    )
    assert choose_kind(100_000, 384, IndexConfig(memory_mb=1)).why.endswith("no kind takes so little, ivf_pq takes least")


def test_what_is_asked_for_is_taken() -> None:
    for kind in ("exact", "hnsw", "ivf", "ivf_sq8", "ivf_pq"):
        choice = choose_kind(5000, 384, IndexConfig(kind=kind))
        assert choice.kind == kind
        assert choice.why.endswith("index.kind asks for it")
    assert choose_kind(999, 384, IndexConfig(kind="ivf")).why.endswith("too few for the lists of 'ivf'")


def test_exact_below_overrules_the_time() -> None:
    assert choose_kind(199_999, 384, IndexConfig(exact_below=200_000)).kind == "exact"
    assert choose_kind(10, 384, IndexConfig(exact_below=10)).kind == "hnsw"


def test_lists_keep_the_vectors_on_disk_beside_their_codes() -> None:
    choice = choose_kind(100_000, 384, IndexConfig(kind="ivf_sq8"))
    assert choice.disk_bytes - choice.memory_bytes == 4 * 384 * 100_000
    exact = choose_kind(100_000, 384, IndexConfig(kind="exact"))
    assert exact.disk_bytes == exact.memory_bytes == 4 * 384 * 100_000


def test_lists_and_codes_follow_size_and_width() -> None:
    assert [list_count(n, AUTO) for n in (1, 1000, 100_000, 1_000_000)] == [1, 128, 1024, 4096]
    assert list_count(1000, IndexConfig(ivf_lists=50)) == 50
    assert [code_bytes(dim) for dim in (384, 64, 6, 7)] == [96, 16, 2, 7]
