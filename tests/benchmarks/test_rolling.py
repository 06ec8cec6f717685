"""Rolling cuts on a small shop with weekly habits: what is measured, and who wins."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np
import pytest
from lines import write_shop
from world import FEW_TREES

from benchmarks.quality import __main__ as command
from benchmarks.quality.rolling import EASE, thin_title
from segrec.asking import ALL, DISCOVERY
from segrec.evaluation import ENGINE, PERSONAL

CONFIG = (
    FEW_TREES
    + """
[training]
ranking_period_days = 7
n_threads = 1
[evaluation]
period_days = 7
[sources]
als = { kind = "als", factors = 8, iterations = 3 }
"""
)
N_CUSTOMERS, N_ITEMS, N_WEEKS = 60, 40, 8


def bought() -> Iterator[dict[str, object]]:
    """Every week each customer buys three items of their own, and one of their half of the shop at random."""
    rng = np.random.default_rng(0)
    for customer in range(N_CUSTOMERS):
        half = customer % 2 * (N_ITEMS // 2)
        own = half + rng.permutation(N_ITEMS // 2)[:3]
        for week in range(N_WEEKS):
            for item in (*own, half + rng.integers(N_ITEMS // 2)):
                day = 7 * week + customer % 7 + 0.01
                yield {"customer_id": f"c{customer}", "item_id": f"i{item:02d}", "day": day, "basket_id": f"b{customer}-{week}"}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, dict[str, float]]]:
    """What the command wrote."""
    folder = tmp_path_factory.mktemp("rolling")
    write_shop(folder / "shop", list(bought()), [{"item_id": f"i{item:02d}", "title": f"thing {item}"} for item in range(N_ITEMS)])
    (folder / "shop" / "import.json").write_text("{}")
    (folder / "shop.toml").write_text(CONFIG)
    arguments = ["quality", "--set", str(folder / "shop"), "--protocol", "rolling", "--cuts", "2", "--thin", "20"]
    arguments += ["--config", str(folder / "shop.toml"), "--work", str(folder / "work"), "--json", str(folder / "found.json")]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", arguments)
        command.main()
    content: dict[str, dict[str, dict[str, float]]] = json.loads((folder / "found.json").read_text())
    return content


def test_the_engine_stands_beside_all_that_a_shop_might_use(found: dict[str, dict[str, dict[str, float]]]) -> None:
    assert {ENGINE, EASE, PERSONAL, "als", "repurchase", "popularity, last 7 days"} <= set(found[ALL])
    assert PERSONAL not in found[DISCOVERY]
    assert found[ALL][ENGINE]["n_queries"] == 2 * N_CUSTOMERS
    assert found["next basket"][ENGINE]["NDCG@10"] > found["next basket"]["popularity, last 7 days"]["NDCG@10"]


def test_own_habits_are_found_by_the_engine_and_not_by_popularity(found: dict[str, dict[str, dict[str, float]]]) -> None:
    assert found[ALL][ENGINE]["NDCG@10"] > 0.8 > found[ALL]["popularity, last 7 days"]["NDCG@10"]
    verdicts = {(verdict["title"], verdict["reference"], verdict["metric"]): verdict for verdict in found["verdicts"]}  # type: ignore[index]
    assert verdicts[ALL, "popularity, last 7 days", "NDCG@10"]["p_holm"] < 0.01
    assert len(verdicts) == len(found["verdicts"])


def test_short_histories_are_measured_at_every_length(found: dict[str, dict[str, dict[str, float]]]) -> None:
    assert all(found[thin_title(ALL, n)][ENGINE]["n_queries"] == 40 for n in (1, 2, 3, 5))
    assert found[thin_title(ALL, 5)][ENGINE]["NDCG@10"] > found[thin_title(ALL, 1)]["popular"]["NDCG@10"]
