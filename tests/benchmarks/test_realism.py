from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from lines import load_shop, write_shop
from scipy import stats

from benchmarks.realism.__main__ import main
from benchmarks.realism.comparison import Shop, compare
from benchmarks.realism.measures import Measured, measure
from benchmarks.realism.purchases import purchases_of
from benchmarks.realism.report import differences, verdict
from benchmarks.realism.sessions import measure_sessions
from benchmarks.realism.statistics import Distribution, curve_distance, gini, total_variation, zipf_exponent
from recsys.errors import DataError

Rows = Sequence[Mapping[str, Any]]


def line(customer: str | None, item: str, day: float, basket: str, **more: Any) -> dict[str, Any]:
    return {"customer_id": customer, "item_id": item, "day": day, "basket_id": basket, **more}


def measured(tmp_path: Path, rows: Rows) -> Measured:
    return measure(purchases_of(load_shop(tmp_path / "shop", rows)))


def random_rows(seed: int, n_customers: int = 60, basket_items: int = 3) -> list[dict[str, Any]]:
    """Customers who come about every five days for half a year and prefer the first items."""
    rng = np.random.default_rng(seed)
    rows = []
    for customer in range(n_customers):
        for number, day in enumerate(np.cumsum(rng.exponential(5, 20))):
            items = rng.choice(120, rng.integers(1, 2 * basket_items), replace=False, p=np.arange(120, 0, -1) / 7260)
            basket = f"{customer}-{number}"
            rows += [line(f"c{customer}", f"i{item}", day, basket, quantity=1.0, value=float(item % 9 + 1)) for item in items]
    return rows


@pytest.mark.parametrize(("counts", "expected"), [([5, 5, 5], 0.0), ([1, 3], 0.25), ([1, 1, 1, 97], 0.72)])
def test_gini_by_hand(counts: list[int], expected: float) -> None:
    assert gini(np.array(counts)) == pytest.approx(expected)


def test_zipf_exponent_of_a_power_law_is_its_power() -> None:
    assert zipf_exponent(1e9 / np.arange(1, 2001) ** 0.8) == pytest.approx(0.8)
    assert np.isnan(zipf_exponent(np.arange(1, 50)))


def test_distance_of_scaled_values_is_the_textbook_one() -> None:
    rng = np.random.default_rng(0)
    one, other = rng.lognormal(0, 1, 301), rng.lognormal(3, 0.5, 200)
    expected = stats.ks_2samp(one / np.median(one), other / np.median(other)).statistic
    assert Distribution.of(one, False).distance(Distribution.of(other, False)) == pytest.approx(expected)


def test_distance_does_not_see_the_unit() -> None:
    values = np.random.default_rng(1).gamma(2, 3, 100)
    assert Distribution.of(values, False).distance(Distribution.of(1024 * values, False)) == 0


def test_counts_are_spread_around_themselves() -> None:
    ones, twos = Distribution.of(np.array([1.0]), True), Distribution.of(np.array([2.0]), True)  # 1/2 to 3/2, and 3/4 to 5/4
    assert ones.distance(twos) == pytest.approx(0.25)
    assert twos.quantiles(np.array([0.0, 0.5, 1.0])).tolist() == [0.75, 1.0, 1.25]


def test_a_distribution_that_cannot_be_scaled_is_refused() -> None:
    with pytest.raises(ValueError, match="median of the values is 0"):
        Distribution.of(np.zeros(3), False)


def test_profiles_are_compared_where_both_are_known() -> None:
    assert total_variation(np.array([1.0, 3.0, np.nan]), np.array([2.0, 2.0, 5.0])) == pytest.approx(0.25)
    assert np.isnan(total_variation(np.array([1.0, np.nan]), np.array([np.nan, 1.0])))
    one, other = (np.array([1.0, 2.0, 3.0]), np.array([0.0, 0.5, 0.9])), (np.array([2.0, 3.0, 4.0]), np.array([0.1, 0.8, 0.9]))
    assert curve_distance(one, other) == pytest.approx(0.25)


def test_only_purchases_of_known_customers_count_and_an_item_once_per_basket(tmp_path: Path) -> None:
    rows = [
        line("a", "x", 0, "1", value=2.0),
        line("a", "x", 0, "1", value=3.0),
        line("a", "y", 0, "1", value=4.0),
        line(None, "z", 1, "2"),
        line("b", "z", 2, "3", event="view"),
        line("b", "z", 2, "3", event="return"),
    ]
    purchases = purchases_of(load_shop(tmp_path / "shop", rows))
    assert purchases.basket_money.tolist() == [9]
    assert measure(purchases).figures["lines"] == 2
    assert measure(purchases).figures["customers"] == 1


def test_a_shop_without_such_purchases_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no purchase with a customer_id"):
        purchases_of(load_shop(tmp_path / "shop", [line(None, "z", 1, "2")]))


def test_gaps_and_repeats_by_hand(tmp_path: Path) -> None:
    rows = [
        *(line("a", item, 0, "1") for item in "xy"),
        *(line("a", item, 0.25, "2") for item in "xz"),
        *(line("a", item, 4, "3") for item in "xyzw"),
        line("b", "x", 40, "4"),
    ]
    figures = measured(tmp_path, rows).figures
    assert figures["gap_mean"] == pytest.approx(2)
    assert figures["gap_same_day"] == 0.5
    assert figures["repeat_share"] == pytest.approx(4 / 6)  # x of basket 2; x, y, z of basket 3
    assert figures["repeat_gap_mean"] == pytest.approx((0.25 + 3.75 + 4 + 3.75) / 4)
    assert figures["one_basket"] == 0.5
    assert figures["rate_median"] == pytest.approx(3 * 30 / 40)  # of customer a; b came on the last day
    assert figures["basket_items_p90"] == pytest.approx(np.percentile([2, 2, 4, 1], 90))


def test_two_customers_never_share_a_basket(tmp_path: Path) -> None:
    figures = measured(tmp_path, [line("a", "x", 0, "same"), line("b", "x", 1, "same")]).figures
    assert figures["baskets"] == 2


def test_repeat_curve_by_hand(tmp_path: Path) -> None:
    rows = [line(f"c{customer}", item, day, f"{customer}-{day}") for customer in range(30) for day, item in enumerate("xxyx")]
    found = measured(tmp_path, rows)
    assert found.profiles["repeat_share"][1].tolist() == [0, 1, 0, 1]
    assert found.figures["repeat_at_2"] == 1
    assert "repeat_at_5" not in found.figures


def test_calendar_by_hand(tmp_path: Path) -> None:
    days = [0, 7, 14, 5, 6, 45]  # 1 January 2024 was a Monday; so three Mondays, a Saturday, a Sunday and a Thursday
    found = measured(tmp_path, [line("a", "x", day, str(day)) for day in days])
    assert found.profiles["weekday"][1].tolist() == pytest.approx([3 / 6, 0, 0, 1 / 6, 0, 1 / 6, 1 / 6])
    assert found.figures["weekend_share"] == pytest.approx(2 / 6)
    january, february = found.profiles["month"][1][:2]
    assert january / february == pytest.approx((5 / 31) / (1 / 15))
    assert np.isnan(found.profiles["month"][1][2:]).all()


def test_new_items_by_hand(tmp_path: Path) -> None:
    rows = [
        *(line("a", item, 0, "jan") for item in "xy"),
        *(line("a", item, 35, "feb") for item in "xz"),
        line("b", "x", 36, "feb2"),
        *(line("a", item, 85, "mar") for item in "xyz"),
    ]
    found = measured(tmp_path, rows)
    assert found.profiles["new_items"][1].tolist() == [0.5, 0]  # February: z of x and z; March: none
    assert found.profiles["new_lines"][1].tolist() == pytest.approx([1 / 3, 0])


def test_price_dispersion_by_hand(tmp_path: Path) -> None:
    paid = [10.0] * 8 + [5.0, 20.0]
    rows = [line("a", "x", day, str(day), quantity=2.0, value=2 * price) for day, price in enumerate(paid)]
    figures = measured(tmp_path, [*rows, line("a", "seldom", 20, "last", quantity=1.0, value=99.0)]).figures
    assert figures["reduced_lines"] == pytest.approx(0.1)
    assert figures["raised_lines"] == pytest.approx(0.1)
    assert figures["item_price_cv"] == pytest.approx(np.std(paid) / np.mean(paid))


def test_the_smallest_shop_gives_nan_and_no_warning(tmp_path: Path) -> None:
    found = measured(tmp_path, [line("a", "x", 0, "1")])
    assert found.figures["gini_items"] == 0
    assert np.isnan([found.figures[name] for name in ("gap_mean", "price_median", "repeat_share", "rate_mean", "new_items")]).all()
    assert not compare([Shop("p", found, True), Shop("r", found, False)]).differences


def test_sessions_by_hand(tmp_path: Path) -> None:
    def row(session: str | None, event: str) -> dict[str, Any]:
        return {"customer_id": "a", "item_id": "x", "day": 0, "session_id": session, "event": event}

    rows = [
        row("1", "view"),
        row("1", "view"),
        row("1", "cart"),
        row("1", "purchase"),
        row("2", "view"),
        row("3", "purchase"),
        row(None, "view"),
    ]
    figures = measure_sessions(write_shop(tmp_path / "shop", rows)).figures
    assert figures["sessions"] == 2
    assert figures["session_views_mean"] == 1.5
    assert figures["session_carts"] == 0.5
    assert figures["session_buys"] == 0.5


@pytest.mark.parametrize("rows", [[line("a", "x", 0, "1")], [{**line("a", "x", 0, "1"), "session_id": "s"}]])
def test_a_shop_without_views_has_no_sessions(tmp_path: Path, rows: Rows) -> None:
    assert measure_sessions(write_shop(tmp_path / "shop", rows)) == Measured()


def shop(tmp_path: Path, name: str, rows: Rows, is_planted: bool = False) -> Shop:
    return Shop(name, measure(purchases_of(load_shop(tmp_path / name, rows))), is_planted)


def test_a_copy_of_a_real_shop_differs_in_nothing(tmp_path: Path) -> None:
    rows = random_rows(1)
    found = compare(
        [shop(tmp_path, "copy", rows, True), shop(tmp_path, "one", rows), shop(tmp_path, "two", random_rows(2, basket_items=6))]
    )
    assert found.differences == ()
    assert [one.nearest for one in found.distances if one.is_known] == [0.0] * sum(one.is_known for one in found.distances)
    assert differences(found) == []
    assert f"{found.n_compared} of {found.n_compared} figures" in verdict(found)[0]


def test_a_difference_is_said_in_words_with_all_numbers() -> None:
    real = [Shop(name, Measured({"one_basket": share, "gap_mean": gap}), False) for name, share, gap in (("r", 0.1, 4.0), ("s", 0.2, 8.0))]
    planted = Shop("p", Measured({"one_basket": 0.5, "gap_mean": 9.0}), True)
    found = compare_figures([planted, *real])
    assert found == ["Share of customers with one basket: 50.0 %, against 10.0 % in r and 20.0 % in s; 30 points above the nearest."]
    slow = Shop("p", Measured({"one_basket": 0.18, "gap_mean": 16.0}), True)
    assert compare_figures([slow, *real]) == [
        "Mean days between baskets: 16.0, against 4.00 in r and 8.00 in s; above the nearest by a factor of 2.0."
    ]


def compare_figures(shops: list[Shop]) -> list[str]:
    """Sentences on figures of shops that have nothing else."""
    nothing = np.empty(0), np.empty(0)
    for one in shops:
        one.measured.profiles.update(dict.fromkeys(("repeat_share", "new_items", "new_lines", "weekday", "month"), nothing))
    return differences(compare(shops))


def test_a_shape_further_than_the_real_ones_are_apart_is_named(tmp_path: Path) -> None:
    planted = shop(tmp_path, "planted", random_rows(3, basket_items=20), True)
    found = compare([planted, shop(tmp_path, "one", random_rows(1)), shop(tmp_path, "two", random_rows(2))])
    baskets = next(one for one in found.distances if one.definition.name == "basket_items")
    assert baskets.is_known
    assert not baskets.is_nearer
    assert any(sentence.startswith("Items per basket: the shape is") for sentence in differences(found))
    assert any(sentence.startswith("Mean items per basket: ") for sentence in differences(found))


@pytest.fixture
def shops(tmp_path: Path) -> dict[str, Path]:
    """A planted world and two shops."""
    write_shop(tmp_path / "worlds/planted/shop", random_rows(1))
    return {
        "planted": tmp_path / "worlds/planted",
        "one": write_shop(tmp_path / "one", random_rows(2)),
        "two": write_shop(tmp_path / "two", random_rows(3, basket_items=6)),
    }


def given(shops: dict[str, Path], *more: str) -> list[str]:
    return ["--planted", str(shops["planted"]), "--real", str(shops["one"]), "--real", str(shops["two"]), *more]


def test_the_command_prints_every_group_and_the_verdict(shops: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(given(shops, "--json", str(tmp_path / "all.json")))
    printed = capsys.readouterr().out
    for expected in ("long tail of items", "time between baskets", "to one", "between the real", "lie inside the range"):
        assert expected in printed
    assert "sessions" not in printed
    content = json.loads((tmp_path / "all.json").read_text())
    assert [one["name"] for one in content["shops"]] == ["planted", "one", "two"]
    assert content["shops"][0]["figures"]["customers"] == 60
    assert len(content["distances"]) == 15


def test_real_shops_alone_are_compared_with_each_other(shops: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    main(["--real", str(shops["one"]), "--real", str(shops["two"])])
    printed = capsys.readouterr().out
    assert "between the real" in printed
    assert "as near?" not in printed


def test_the_page_embeds_small_pictures_that_are_equal_from_run_to_run(shops: dict[str, Path], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    written = []
    for run in ("first", "second"):
        out = tmp_path / run / "realism"
        main(given(shops, "--out", str(out)))
        page = (tmp_path / run / "realism.md").read_text()
        pictures = sorted(out.iterdir())
        assert all(f"](realism/{picture.name})" in page for picture in pictures)
        assert f"--planted {shops['planted']} --real {shops['one']}" in page
        written.append([picture.read_bytes() for picture in pictures])
    assert written[0] == written[1]
    assert len(written[0]) == 5
    assert max(len(picture) for picture in written[0]) < 60_000


def test_without_matplotlib_the_command_says_what_to_install(
    shops: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(SystemExit) as stopped:
        main(given(shops, "--out", "nowhere"))
    assert stopped.value.code == 2
    assert "[plots]" in capsys.readouterr().err


def test_a_folder_that_is_no_shop_ends_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"realism: .*has no interactions\.parquet"):
        main(["--real", str(tmp_path)])
