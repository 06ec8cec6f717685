"""Logs and policies as tables: what is read, and what is refused in words that name the row."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from offline_eval.off_policy.chances import ActionProbabilities, policy_of_table
from offline_eval.off_policy.decisions import Columns, decisions_of, read_table
from recsys.errors import DataError


@pytest.fixture
def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "request_id": ["r1", "r1", "r2", "r2"],
            "customer_id": ["ann", "ann", None, None],
            "visitor_id": [None, None, "v9", "v9"],
            "item_id": ["milk", "eggs", "milk", "bread"],
            "position": [1, 2, 1, 2],
            "event_time": pd.to_datetime(["2024-05-01", "2024-05-01", "2024-05-02", "2024-05-02"], utc=True),
            "propensity": [0.5, 0.25, 0.5, 0.25],
            "reward": [1.0, 0.0, 0.0, 2.5],
            "policy": [0.25, 0.5, 0.25, 0.0],
        }
    )


@pytest.mark.parametrize("name", ["log.parquet", "log.csv", "log.csv.gz"])
def test_a_log_is_read_from_a_file(table: pd.DataFrame, tmp_path: Path, name: str) -> None:
    table.to_parquet(tmp_path / name) if name.endswith("parquet") else table.to_csv(tmp_path / name, index=False)
    log = decisions_of(read_table(tmp_path / name))
    assert log.units.tolist() == ["ann", "ann", "v9", "v9"]
    assert log.slates.tolist() == [0, 0, 1, 1]
    assert log.positions.tolist() == [1, 2, 1, 2]
    assert log.actions.tolist() == ["milk", "eggs", "milk", "bread"]
    assert log.weights.tolist() == [0.5, 2, 0.5, 0]
    assert log.rewards.tolist() == [1, 0, 0, 2.5]
    assert np.isnan(log.unsupported).all()


def test_ids_in_a_csv_file_stay_as_written(table: pd.DataFrame, tmp_path: Path) -> None:
    ids = table.assign(customer_id=["01", "01", None, None], visitor_id=[None, None, "1", "1"], request_id=["07", "07", "7", "7"])
    ids.assign(item_id=["0012", "eggs", "12", "1.0"]).to_csv(tmp_path / "log.csv", index=False)
    log = decisions_of(read_table(tmp_path / "log.csv"))
    assert log.units.tolist() == ["01", "01", "1", "1"]
    assert log.slates.tolist() == [0, 0, 1, 1]
    assert log.actions.tolist() == ["0012", "eggs", "12", "1.0"]


def test_ids_of_digits_alone_stay_as_written_too(table: pd.DataFrame, tmp_path: Path) -> None:
    table.assign(customer_id=["01", "01", "1", "1"], item_id=["0012", "7", "12", "8"]).to_csv(tmp_path / "log.csv", index=False)
    log = decisions_of(read_table(tmp_path / "log.csv"))
    assert (log.units.tolist(), log.actions.tolist()) == (["01", "01", "1", "1"], ["0012", "7", "12", "8"])


def test_what_the_log_cannot_show_is_known_in_all_rows_or_in_none(table: pd.DataFrame) -> None:
    log = decisions_of(table)
    with pytest.raises(DataError, match=r"row 1 .*unsupported probability is nan; .*or unknown in all rows"):
        replace(log, unsupported=np.array([np.nan, 0, 0, 0]))


def test_other_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"neither \.parquet nor \.csv"):
        read_table(tmp_path / "log.xlsx")


def test_columns_may_have_other_names_and_lists_and_places_may_be_absent(table: pd.DataFrame) -> None:
    renamed = table.drop(columns=["request_id", "position", "visitor_id"]).assign(customer_id=[1, 2, 3, 4])
    renamed = renamed.rename(columns={"customer_id": "who", "reward": "paid"})
    log = decisions_of(renamed, Columns(unit=("who",), reward="paid"))
    assert log.units.tolist() == ["1", "2", "3", "4"]
    assert log.slates.tolist() == [0, 1, 2, 3]
    assert log.positions.tolist() == [1, 1, 1, 1]


def test_a_policy_may_be_a_function_of_the_rows(table: pd.DataFrame) -> None:
    log = decisions_of(table.drop(columns="policy"), policy=lambda rows: np.where(rows["item_id"] == "milk", 0.75, 0.125))
    assert log.policy.tolist() == [0.75, 0.125, 0.75, 0.125]


def test_a_column_may_say_what_the_log_cannot_show(table: pd.DataFrame) -> None:
    log = decisions_of(table.assign(policy_unsupported=[0, 0.5, 0, 0.25]))
    assert log.unsupported.tolist() == [0, 0.5, 0, 0.25]


@pytest.mark.parametrize(
    ("column", "values", "message"),
    [
        ("propensity", [0.5, 0, 0.5, 0.25], r"row 2 \(unit ann, action eggs, position 2\): propensity is 0; it must be in \(0, 1\]"),
        ("propensity", [0.5, 0.5, 1.5, 7], r"row 3 .*propensity is 1\.5; .*2 rows are wrong"),
        ("propensity", [0.5, None, 0.5, 0.25], "row 2 .*propensity is nan"),
        ("propensity", ["0.5", "often", "0.5", "0.25"], "row 2: 'propensity' is 'often', which is no number"),
        ("policy", [0.5, 0.5, -0.1, 0.25], "row 3 .*the policy's probability is -0.1"),
        ("policy", [0.5, 0.5, 0.5, None], "row 4 .*the policy's probability is nan"),
        ("reward", [1, 0, None, 0], "row 3 .*reward is nan; it must be a finite number"),
        ("reward", [1, np.inf, 0, 0], "row 2 .*reward is inf"),
        ("item_id", ["milk", None, "milk", "bread"], "row 2: 'item_id' is empty"),
        ("position", [1, 2, 1.5, 2], "row 3: 'position' is 1.5; a place is a whole number"),
        ("visitor_id", [None, None, None, "v9"], "row 3: 'customer_id' and 'visitor_id' are empty"),
        ("policy_unsupported", [0, 0, 0, 2], "row 4 .*unsupported probability is 2"),
        ("policy_unsupported", [0.9, None, 0.9, 0.9], "row 2: 'policy_unsupported' is empty; fill it in every row"),
        ("policy_unsupported", [None] * 4, "row 1: 'policy_unsupported' is empty"),
    ],
)
def test_a_bad_value_is_named_with_its_row(table: pd.DataFrame, column: str, values: list[object], message: str) -> None:
    with pytest.raises(DataError, match=message):
        decisions_of(table.assign(**{column: values}))


@pytest.mark.parametrize("column", ["item_id", "propensity", "reward", "policy"])
def test_a_missing_column_is_named(table: pd.DataFrame, column: str) -> None:
    with pytest.raises(DataError, match=f"the log lacks '{column}'; it has: request_id"):
        decisions_of(table.drop(columns=column))


def test_it_must_be_known_who_received_it_and_there_must_be_a_row(table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="the log lacks 'customer_id' and 'visitor_id'"):
        decisions_of(table.drop(columns=["customer_id", "visitor_id"]))
    with pytest.raises(DataError, match="at least one row"):
        decisions_of(table.iloc[:0])


def test_a_function_must_answer_for_every_row(table: pd.DataFrame) -> None:
    with pytest.raises(DataError, match="columns of one length"):
        decisions_of(table, policy=lambda rows: np.array([0.5]))


def test_a_policy_table_says_what_holds_where(table: pd.DataFrame) -> None:
    policy = pd.DataFrame(
        {
            "position": [1, 1, 2, 2],
            "item_id": ["milk", "fuel", "eggs", "bread"],
            "probability": [0.75, 0.25, 0.5, 0.5],
            "remark": ["", "", "not", "in the log"],
        }
    )
    chances = policy_of_table(policy, table)
    log = decisions_of(table, policy=chances)
    assert log.policy.tolist() == [0.75, 0.5, 0.75, 0.5]
    assert log.unsupported.tolist() == [0.25, 0, 0.25, 0]


def test_a_policy_without_keys_holds_everywhere_and_unknown_items_get_nothing(table: pd.DataFrame) -> None:
    log = decisions_of(table, policy=policy_of_table(pd.DataFrame({"item_id": ["milk", "bread"], "probability": [0.75, 0.25]}), table))
    assert log.policy.tolist() == [0.75, 0, 0.75, 0.25]
    assert log.unsupported.tolist() == [0.25, 0.75, 0.25, 0.75]  # the second place never showed milk, the first never bread


@pytest.mark.parametrize(
    ("policy", "message"),
    [
        ({"item_id": ["milk"], "share": [1.0]}, "the policy's table lacks 'probability'"),
        ({"item_id": ["milk", "milk"], "probability": [0.5, 0.5]}, "an action twice in one place"),
        ({"item_id": ["milk", "eggs"], "probability": [0.5, 0.4]}, r"distribution 1 of the policy has sum 0\.9"),
        ({"item_id": ["milk", "eggs"], "probability": [1.5, -0.5]}, r"least value -0\.5"),
        ({"item_id": ["milk"], "probability": [np.nan]}, "distribution 1"),
        ({"position": [1], "item_id": ["milk"], "probability": [1.0]}, r"row 2 of the log: the policy's table says nothing for .*position"),
    ],
)
def test_a_policy_table_that_is_none_is_refused(table: pd.DataFrame, policy: dict[str, list[object]], message: str) -> None:
    with pytest.raises(DataError, match=message):
        policy_of_table(pd.DataFrame(policy), table)


def test_actions_of_a_policy_do_not_repeat() -> None:
    with pytest.raises(DataError, match="without repeats"):
        ActionProbabilities(np.array(["a", "a"]), np.array([[0.5, 0.5]]), np.zeros(1, np.intp))
