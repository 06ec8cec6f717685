from __future__ import annotations

import numpy as np
import pytest

from segmentation.writings import Writings

TIMES = np.array(["2024-03-02", "2024-03-01", "2024-03-03"], "datetime64[us]")


def _three() -> Writings:
    return Writings.in_order([5, 6, 7], ["b", "a", "c"], TIMES, [4, np.nan, 1], [0, 1, 0])


def test_writings_are_put_oldest_first() -> None:
    written = _three()
    assert written.texts.tolist() == ["a", "b", "c"]
    assert written.customers.tolist() == [6, 5, 7]
    assert written.kinds.tolist() == [1, 0, 0]
    assert np.isnan(written.stars[0])


def test_what_is_written_at_the_time_itself_is_not_before_it() -> None:
    assert _three().before(np.datetime64("2024-03-02")).texts.tolist() == ["a"]


def test_nothing_is_written_by_nobody() -> None:
    nothing = Writings.in_order([], [], [], [], [])
    assert len(nothing) == len(nothing.before(np.datetime64("2024-01-01"))) == 0


@pytest.mark.parametrize(
    ("columns", "complaint"),
    [
        (([1, 2], ["a"], TIMES[:1], [1], [0]), "differ in length"),
        (([-1], ["a"], TIMES[:1], [1], [0]), "at least 0"),
        (([1], ["a"], TIMES[:1], [6], [0]), "stars must be 1 to 5"),
        (([1], ["a"], TIMES[:1], [1], [2]), "kinds must be rows"),
        (([1], ["a"], np.array(["NaT"], "datetime64[us]"), [1], [0]), "oldest first"),
    ],
)
def test_what_cannot_be_is_refused(columns: tuple[list[int], ...], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Writings.in_order(*columns)  # type: ignore[arg-type]


def test_rows_out_of_order_are_refused() -> None:
    with pytest.raises(ValueError, match="oldest first"):
        _three().take(np.array([2, 0]))


def test_a_text_of_the_future_and_an_unknown_customer_are_refused() -> None:
    with pytest.raises(ValueError, match="not before as_of"):
        _three().check(8, np.datetime64("2024-03-03"))
    with pytest.raises(ValueError, match="customer number 7"):
        _three().check(7, np.datetime64("2024-03-04"))
