from __future__ import annotations

import re

import numpy as np
import pytest

from segmentation.describe import as_text, habits, shares_of_customers, shares_of_lines
from segmentation.rfm import Rfm

SEGMENTS = np.array([0, 0, 1, 1], np.int16)


def test_shares_of_customers_are_counted_by_hand() -> None:
    rows, things = np.array([0, 1, 2, 0]), np.array([0, 0, 0, 1])
    facts = shares_of_customers(SEGMENTS, 2, rows, things, ("jam", "tea"), "bought", "{value} have {name}; of everybody {everybody}.")
    assert facts.shares.tolist() == [[1.0, 0.5], [0.5, 0.0]]
    assert facts.everybody.tolist() == [0.75, 0.25]
    first, second = facts.telling(0)  # both lead by 0.58 deviations
    assert (first.sentence, first.statistic, first.value, first.everybody) == ("100% have jam; of everybody 75%.", "bought: jam", 1.0, 0.75)
    assert second.statistic == "bought: tea"
    assert facts.telling(1) == ()


def test_shares_of_lines_are_of_all_lines() -> None:
    facts = shares_of_lines(SEGMENTS, 2, np.array([[1, 0], [2, 1], [0, 4], [0, 0]], np.float32), ("jam", "tea"))
    assert facts.shares.tolist() == [[0.75, 0.25], [0.0, 1.0]]
    assert facts.everybody.tolist() == [3 / 8, 5 / 8]
    assert facts.telling_names(0) == ("jam",)


def test_every_sentence_states_its_statistic() -> None:
    numbers = np.array([5.0, 10.0, 40.0, 80.0])
    rfm = Rfm(np.array([3, 2, 1, 1]), numbers, numbers + 30, numbers, numbers, numbers, np.zeros((4, 3)))
    levels = np.array([1.5, 1.5, 0.5, np.nan])
    found = habits(SEGMENTS == 0, np.arange(4), rfm, levels, in_money=True)
    by_name = {statement.statistic: statement for statement in found}
    assert by_name["share of customers"].value == 0.5
    assert (by_name["bought in 28 days"].value, by_name["bought in 28 days"].everybody) == (1.0, 0.5)
    assert by_name["order value"].value == pytest.approx(7.5)
    assert by_name["price level"].value == 1.5
    for statement in found:
        assert re.search(r"\d", statement.sentence)
        assert statement.sentence in as_text(("tea",), found)
    assert "order value" not in {statement.statistic for statement in habits(SEGMENTS == 0, np.arange(4), rfm, levels, in_money=False)}
