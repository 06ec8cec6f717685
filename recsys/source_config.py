"""Settings of the candidate sources, and of the index that searches vectors for them."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from recsys.keys import Section


class IndexConfig(Section):
    kind: Literal["auto", "exact", "hnsw", "ivf", "ivf_sq8", "ivf_pq"] = Field(
        "auto",
        description="how vectors are searched: all of them, through a graph (hnsw), or in the nearest lists, of whole vectors (ivf), "
        "8-bit numbers (ivf_sq8) or short codes (ivf_pq); auto = exactly while that is quick, else the quickest that fits memory_mb",
    )
    exact_below: int | None = Field(
        None, ge=0, description="for kind = 'auto': sets of fewer vectors are searched exactly; unset = as many as take about 2 ms"
    )
    memory_mb: float = Field(4096, gt=0, description="for kind = 'auto': memory that the searches of one index may keep busy")
    recall: float = Field(
        0.95,
        ge=0.5,
        le=0.99,
        description="share of the true best 200 that an approximate search has to find; its effort is set by a sample when it is built",
    )
    hnsw_links: int = Field(32, ge=4, description="links per vector of the HNSW graph")
    hnsw_build: int = Field(100, ge=8, description="breadth of the search for a new vector's links; more = built slower, searched quicker")
    hnsw_search: int | None = Field(None, ge=8, description="least breadth of an HNSW search; unset = what recall asks for")
    ivf_lists: int | None = Field(None, ge=1, description="number of lists; unset = about 3 times the square root of the number of vectors")


class PopularConfig(Section):
    kind: Literal["popular"]
    half_life_days: float | None = Field(None, gt=0, description="an interaction this old counts half; unset = all count the same")
    window_days: float | None = Field(None, gt=0, description="only interactions this recent count; unset = all")
    within: Literal["shop", "segment", "tier", "need"] = Field(
        "shop", description="count everybody, or only customers of the same segment or tier, or who speak most of the same need"
    )


class RepurchaseConfig(Section):
    kind: Literal["repurchase"]
    half_life_days: float = Field(90, gt=0, description="a purchase this old counts half in the personal frequency")
    horizon_days: float | None = Field(
        None,
        gt=0,
        description="what is likely to be bought again within so many days, so long after it was last bought, goes first; "
        "unset = the personal frequency alone",
    )


class AffinityConfig(Section):
    """What sells best of the brands or categories that the customer buys."""

    kind: Literal["affinity"]
    by: Literal["brand", "product_type", "category", "department"] = Field(
        "category", description="brand, or level of the category path: the narrowest, the second, the widest"
    )
    n_items: int = Field(200, ge=1, description="best sold items kept of each brand or category")
    half_life_days: float | None = Field(60, gt=0, description="a sale this old counts half; unset = all count the same")
    seed_half_life_days: float | None = Field(
        90, gt=0, description="what the customer bought so long ago counts half; unset = age does not count"
    )


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
    seed_half_life_days: float | None = Field(60, gt=0, description="a seed this old counts half; unset = age does not count")
    seed_half_life_items: float | None = Field(None, gt=0, description="so many items later a seed counts half; unset = they do not count")
    unit: Literal["basket", "customer", "sequence"] = Field(
        "basket",
        description="what pairs items: being bought in one basket, by one customer at any time, "
        "or by one customer one after the other, the nearer the stronger",
    )
    max_unit: int = Field(80, ge=2, description="of a larger basket or history only the last so many lines are paired")
    window: int = Field(10, ge=1, description="for unit = 'sequence': items further apart are no pair")
    backward: float = Field(
        0.5, ge=0, le=1, description="for unit = 'sequence': what the way from the later to the earlier item counts, of the way onward"
    )


class EaseConfig(Section):
    """Linear weights between items, each told from all others; Steck (2019)."""

    kind: Literal["ease"]
    l2: float = Field(100.0, gt=0, description="L2 weight on the links")
    n_neighbours: int = Field(100, ge=1, description="strongest links kept of each item")
    half_life_days: float | None = Field(None, gt=0, description="an interaction this old counts half; unset = all count the same")
    n_seeds: int = Field(60, ge=1, description="most recent distinct items of the history that ask for their neighbours")
    seed_half_life_days: float | None = Field(None, gt=0, description="a seed this old counts half; unset = age does not count")
    seed_half_life_items: float | None = Field(3, gt=0, description="so many items later a seed counts half; unset = they do not count")


class ContentConfig(Section):
    kind: Literal["content"]
    n_seeds: int = Field(60, ge=1, description="most recent distinct items of the history whose embeddings are averaged")
    seed_half_life_days: float | None = Field(45, gt=0, description="a seed this old counts half; unset = age does not count")
    seed_half_life_items: float | None = Field(None, gt=0, description="so many items later a seed counts half; unset = they do not count")


class SequenceConfig(Section):
    """What comes next, by a transformer that reads a history occasion by occasion; after Kang & McAuley (2018)."""

    kind: Literal["sequence"]
    dim: int = Field(64, ge=2, description="length of the item embeddings and states")
    n_blocks: int = Field(2, ge=1, description="transformer blocks")
    n_heads: int = Field(2, ge=1, description="attention heads; divides dim")
    max_length: int = Field(
        50, ge=1, description="so many of the newest items of a customer are read; what is looked at now counts among them"
    )
    dropout: float = Field(0.3, ge=0, lt=1, description="share of what passes between the parts of a block that is left out in training")
    n_epochs: int = Field(20, ge=1, description="times that all histories are learnt from, at most")
    learning_rate: float = Field(2e-3, gt=0, description="of Adam, after a rise over the first 200 steps")
    batch_items: int = Field(1500, ge=1, description="items learnt from in one step; histories of like length go together")
    n_negatives: int | None = Field(
        None, ge=1, description="other items that what came next is told apart from, drawn anew for every step; unset = all"
    )
    from_texts: bool = Field(True, description="item embeddings begin at what the items' texts say, not at random")
    start_scale: float = Field(0.1, gt=0, description="standard deviation of the item embeddings in the beginning")
    n_validation: int = Field(
        2000, ge=0, description="customers drawn for validation; the last item of each is held out; 0 = no validation"
    )
    patience: int = Field(4, ge=1, description="the training ends when so many epochs have no better mean NDCG@10 than as many before them")

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.dim % self.n_heads:
            raise ValueError(f"n_heads = {self.n_heads} does not divide dim = {self.dim}")
        return self


SourceConfig = Annotated[
    PopularConfig | RepurchaseConfig | AffinityConfig | AlsConfig | CovisitConfig | EaseConfig | ContentConfig | SequenceConfig,
    Field(discriminator="kind"),
]
