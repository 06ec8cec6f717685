"""The settings of a planted world: its size, how much each signal matters, how its customers behave, and how messy its tables are."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recsys.errors import ConfigError
from recsys.keys import problem, read_toml


class _Section(BaseModel):
    """A table of the TOML file: immutable; unknown keys, infinities and NaN are refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, validate_default=True)


class Signals(_Section):
    """How much there is to be found. With segment, text, tier and price at 0 these four carry nothing: see `WorldConfig.null`."""

    segment: float = Field(
        0.5,
        ge=0,
        le=1,
        description="share of the variance of taste and price sensitivity that the persona explains; its rates and told needs fade with it",
    )
    text: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of item rows, reviews and notices of leaving that are true; the rest tell of others, or nothing",
    )
    tier: float = Field(
        0.8, ge=0, le=5, description="utility that one standard deviation of dearness gains per standard deviation of the customer's value"
    )
    price: float = Field(
        0.8, ge=0, le=5, description="utility that one standard deviation of dearness costs a customer of usual price sensitivity"
    )
    taste: float = Field(
        1.3, ge=0, le=5, description="standard deviation of what taste adds to utility; 0.6 of it between types; 0 = all want the same"
    )
    hidden: float = Field(0.3, ge=0, le=1, description="share of the variance of an item's vector that the shop could write down nowhere")
    value: float = Field(0.85, ge=0, le=2, description="log standard deviation of how often and how much customers buy; 0 = all alike")


class Behaviour(_Section):
    """What customers do, whatever they like."""

    visits_per_month: float = Field(1.4, gt=0, le=60, description="of the middle customer, in 30 days")
    missions_per_visit: float = Field(12.0, gt=0, le=40, description="types a middle customer looks for in one visit, beside due needs")
    views_per_mission: float = Field(0.25, ge=0, le=4, description="items looked at in vain, on average")
    needs: float = Field(5.0, ge=0, le=30, description="types a customer buys again and again, on average")
    loyalty: float = Field(0.7, ge=0, le=1, description="probability that a due need is met with the item that met it last time")
    complements: float = Field(0.25, ge=0, le=1, description="probability that a purchase sends the customer on to the complementary type")
    popularity: float = Field(1.3, ge=0, le=3, description="standard deviation of an item's appeal to everybody")
    position_bias: float = Field(0.7, ge=0, le=3, description="exponent: an item at position p of a page weighs p to the minus this")
    novelty: float = Field(0.8, ge=0, le=5, description="utility of an item on its first day, fading over a month")
    promotion: float = Field(1.0, ge=0, le=5, description="utility of a price cut of a quarter")
    promoted: float = Field(0.08, ge=0, le=1, description="share of the items on promotion in a week")
    season: float = Field(0.6, ge=0, le=2, description="log amplitude of the year in types with a season; a quarter of it in visits")
    churn_per_year: float = Field(0.5, ge=0, le=50, description="rate at which the middle customer leaves for good")
    newcomers: float = Field(0.4, ge=0, le=1, description="share of the customers who come after the first day")
    new_items: float = Field(0.3, ge=0, le=0.9, description="share of the items launched after the first day")
    reviews: float = Field(0.12, ge=0, le=1, description="share of purchases reviewed")
    chinese: float = Field(0.2, ge=0, le=1, description="share of the customers who write in Chinese")
    messages: float = Field(0.03, ge=0, le=1, description="messages to customer service per visit, beside those of leaving customers")
    shown: float = Field(0.2, ge=0, le=1, description="share of visits that begin with a logged list of recommendations")


class Mess(_Section):
    """What real exports suffer from; all 0 = clean tables. What was done to them is written to the truth."""

    duplicates: float = Field(0.0, ge=0, le=0.5, description="share of interaction rows that stand twice, with the same event_id")
    bots: float = Field(0.0, ge=0, le=0.5, description="view rows of crawlers, as a share of the interactions")
    guests: float = Field(0.05, ge=0, le=1, description="share of visits without a login: a visitor_id, no customer_id")
    missing_texts: float = Field(0.0, ge=0, le=1, description="share of items without title and description, and of reviews without text")
    late: float = Field(0.0, ge=0, le=0.5, description="share of interaction rows that stand far behind their time in the file")


class WorldConfig(_Section):
    """All that a planted world is made from; equal settings give equal worlds."""

    seed: int = Field(1, ge=0, le=2**31, description="of everything random")
    n_customers: int = Field(2000, ge=20, le=10_000_000, description="customers, from 20 to 10 million")
    n_items: int = Field(1000, ge=60, le=200_000, description="items, from 60 to 200,000")
    n_days: int = Field(365, ge=28, le=3650, description="length of the history in days")
    start: dt.date = Field(dt.date(2024, 1, 1), ge=dt.date(1995, 1, 1), le=dt.date(2100, 1, 1), description="its first day")
    texts: bool = Field(True, description="write descriptions, reviews and messages; titles are always written")
    signals: Signals = Signals()
    behaviour: Behaviour = Behaviour()
    mess: Mess = Mess()

    def null(self) -> WorldConfig:
        """The same world where segments, texts, tiers, prices and promotions carry nothing: whatever finds a gain in them is wrong."""
        nothing = {"segment": 0.0, "text": 0.0, "tier": 0.0, "price": 0.0, "value": 0.0}
        signals, behaviour = self.signals.model_copy(update=nothing), self.behaviour.model_copy(update={"promotion": 0.0})
        return self.model_copy(update={"signals": signals, "behaviour": behaviour})


def load_world_config(path: Path) -> WorldConfig:
    """The settings in a TOML file.

    Raises:
        ConfigError: the file is missing, no TOML, or has a key or value that does not exist; names it and what would be right.
    """
    return parse_world_config(read_toml(path, "file"), str(path))


def parse_world_config(raw: dict[str, object], origin: str) -> WorldConfig:
    """The settings in a mapping as a TOML file holds it; origin: its name, for messages. Raises ConfigError."""
    try:
        return WorldConfig.model_validate(raw)
    except ValidationError as error:
        problems = "; ".join(problem(WorldConfig, detail) for detail in error.errors())
        raise ConfigError(f"{origin}: {problems.replace('`segrec config --explain`', '`segrec synthetic config`')}") from error
