"""Every feature that can be declared has a family, or is known to have none; a new one needs no code."""

from __future__ import annotations

from typing import Any

import pytest

from recsys.config import Config
from recsys.feature_config import OF_SOURCES, STATISTICS_OF, FeatureConfig
from recsys.features.families import Column, Family, columns_by_family, family_of
from recsys.features.spec import PROFILE_FEATURES, FeatureSpec, feature_names
from recsys.types import ReasonCode

NOT_OF_ITEMS = ("customer", "query")
UNTOLD = {("item", "value"), ("item", "price"), *((scope, each) for scope in (*NOT_OF_ITEMS, "need") for each in STATISTICS_OF[scope])}


def spec(scope: str, statistic: str, by: str) -> FeatureSpec:
    half_life = {"half_life_days": 9.0} if statistic == "decayed" else {}
    return FeatureSpec.of("x", FeatureConfig.model_validate({"scope": scope, "statistic": statistic, "by": by, **half_life}))


@pytest.mark.parametrize("by", ["item", "group", "brand", "product_type", "category", "department"])
@pytest.mark.parametrize(
    ("scope", "statistic"), [(scope, each) for scope, all_ in STATISTICS_OF.items() if scope not in OF_SOURCES for each in all_]
)
def test_every_statistic_of_every_scope_is_told_or_known_to_be_untold(scope: str, statistic: str, by: str) -> None:
    if (scope in NOT_OF_ITEMS and by != "item") or (statistic == "price" and by == "item"):
        return
    assert (family_of(spec(scope, statistic, by)) is None) == ((scope, statistic) in UNTOLD)


@pytest.mark.parametrize(
    ("feature", "code"),
    [
        (("pair", "due", "item"), ReasonCode.BOUGHT_BEFORE),
        (("pair", "recency", "group"), ReasonCode.BOUGHT_BEFORE),
        (("pair", "affinity", "brand"), ReasonCode.SAME_BRAND),
        (("pair", "share", "department"), ReasonCode.SAME_CATEGORY),
        (("pair", "price", "category"), ReasonCode.USUAL_PRICE),
        (("item", "customers", "item"), ReasonCode.POPULAR),
        (("now", "rate", "category"), ReasonCode.POPULAR),
        (("item", "interval", "item"), ReasonCode.BOUGHT_AGAIN),
    ],
)
def test_what_a_feature_counts_says_what_is_told(feature: tuple[str, str, str], code: ReasonCode) -> None:
    assert family_of(spec(*feature)) == Family(code)


@pytest.mark.parametrize("scope", ["segment", "tier"])
def test_a_group_s_taste_is_told_of_that_group(scope: str) -> None:
    assert family_of(spec(scope, "lift", "brand")) == Family(ReasonCode.POPULAR_IN_SEGMENT, scope)


def test_columns_follow_the_matrix_and_those_of_sources_name_them() -> None:
    features: dict[str, Any] = {
        "mine": FeatureConfig(scope="pair", statistic="rate"),
        "near": FeatureConfig(scope="link", statistic="max", source="covisit"),
        "dense": FeatureConfig(scope="source", statistic="score", source="als"),
        "who": FeatureConfig(scope="customer", statistic="rate"),
    }
    config = Config(features=features)
    together = Family(ReasonCode.BOUGHT_TOGETHER)
    columns = dict(zip(feature_names(config), columns_by_family(config, {"covisit": together}), strict=True))
    assert columns["mine"] == Column(Family(ReasonCode.BOUGHT_BEFORE))
    assert columns["near"] == columns["covisit_score"] == columns["covisit_rank"] == Column(together, "covisit")
    assert columns["dense"] is columns["als_score"] is None, "the source is not at hand"
    assert {columns[name] for name in ("who", *PROFILE_FEATURES)} == {None}


def test_every_default_feature_has_a_column() -> None:
    config = Config()
    told = columns_by_family(config, {name: Family(ReasonCode.POPULAR) for name in config.sources})
    assert len(told) == len(feature_names(config))
