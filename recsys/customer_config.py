"""Settings of who the customer is: segments, value tiers, stages, and what customers write."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from recsys.keys import Section
from segmentation.lifecycle import StageRules
from segmentation.llm.endpoint import EndpointSettings
from segmentation.voice_settings import VoiceSettings


class StagesConfig(Section):
    """The thresholds of the lifecycle stages; the first rule that holds counts, see `segmentation.lifecycle`."""

    lapsed_overdue: float = Field(6.0, gt=0, description="lapsed: more than so many of the customer's own intervals without an order")
    lapsed_churn: float = Field(0.8, ge=0, le=1, description="lapsed: and at least this churn probability")
    at_risk_overdue: float = Field(3.0, gt=0, description="at risk: more than so many of the own intervals without an order")
    at_risk_churn: float = Field(0.5, ge=0, le=1, description="at risk: and at least this churn probability")
    new_orders: int = Field(2, ge=0, description="new: at most so many orders")
    loyal_orders: int = Field(
        8, ge=1, description="loyal: at least so many orders, at intervals no longer than is typical; active: all others"
    )

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        self.rules()
        return self

    def rules(self) -> StageRules:
        """As `segmentation` reads them."""
        return StageRules(**self.model_dump())


class VoiceConfig(Section):
    """How what customers write is read: mood, intents and needs; see `segmentation.reading`."""

    half_life_days: float = Field(180, gt=0, description="a text this old counts half for mood and needs")
    intent_half_life_days: float = Field(30, gt=0, description="a text this old counts half for intents, which pass sooner")
    n_labelled: int = Field(300, ge=0, description="texts that a language model labels for each question; 0 = none, although there is one")
    max_texts: int = Field(6000, ge=1, description="texts, drawn at random, that reading is learnt from")
    max_texts_per_customer: int = Field(20, ge=1, description="so many texts of one customer, drawn at random, that reading is learnt from")
    max_aspects: int = Field(
        12, ge=0, description="things that customers may praise or complain of, the most mentioned; 0 = none are looked for"
    )
    min_texts_per_aspect: int = Field(10, ge=1, description="texts that must mention such a thing")

    @model_validator(mode="after")
    def _fit_together(self) -> Self:
        self.settings()
        return self

    def settings(self) -> VoiceSettings:
        """As `segmentation` reads them."""
        return VoiceSettings(**self.model_dump())


class SegmentationConfig(Section):
    n_segments: int | None = Field(
        None,
        ge=1,
        description="groups of customers; unset = as many, up to 16, as come out again when customers are resampled, or one",
    )
    tier_quantiles: tuple[float, float] = Field(
        (0.5, 0.8), description="quantiles of predicted spend that part low from medium and medium from high"
    )
    horizon_days: float = Field(28, gt=0, description="horizon of the expected value and of the churn probability")
    margin: float = Field(
        0.2,
        ge=0,
        le=1,
        description="a customer leaves its segment only for one that is likelier by more than this; 0 = for any likelier one",
    )
    stages: StagesConfig = StagesConfig()
    voice: VoiceConfig = VoiceConfig()

    @model_validator(mode="after")
    def _quantiles_rise(self) -> Self:
        if not 0 < self.tier_quantiles[0] < self.tier_quantiles[1] < 1:
            raise ValueError(f"tier_quantiles must rise strictly within 0 and 1, got {list(self.tier_quantiles)}")
        return self


class LanguageModelConfig(Section):
    """The language model that labels a sample of what customers wrote, and names segments; unset without `endpoint` and `folder`."""

    endpoint: str | None = Field(
        None, description="base URL of an OpenAI-compatible API, up to the version, for example https://api.example.com/v1; unset = none"
    )
    model: str | None = Field(None, description="the model, as the endpoint calls it")
    api_key_env: str | None = Field(
        None, description="name of the environment variable that holds the API key, never the key itself; unset = the endpoint wants none"
    )
    folder: str | None = Field(None, description="folder of a local model as transformers saves it, in place of an endpoint; unset = none")
    gguf_file: str | None = Field(None, description="GGUF file in that folder that holds the model; unset = the folder is the model")
    price_in: float = Field(0.0, ge=0, description="money per million tokens read, for the report of what it cost")
    price_out: float = Field(0.0, ge=0, description="money per million tokens written")
    concurrency: int = Field(8, ge=1, description="requests to the endpoint under way at once")
    requests_per_minute: float | None = Field(None, gt=0, description="what the endpoint allows; unset = no limit")
    tokens_per_minute: float | None = Field(None, gt=0, description="what the endpoint allows; unset = no limit")
    timeout_s: float = Field(60.0, gt=0, description="of one attempt, the reading of its answer included")
    max_attempts: int = Field(6, ge=1, description="attempts per text before it goes without an answer")
    longest_pause_s: float = Field(120.0, gt=0, description="an endpoint that asks for a longer pause than this is not waited for")
    parameters: dict[str, bool | int | float | str] = Field(
        default_factory=dict, description="further fields of a request's body, in place of ours where they have the same name"
    )
    batch_size: int = Field(16, ge=1, description="texts that a local model reads at once")
    name_columns: tuple[str, ...] = Field(
        (), description="columns of the customers table that hold names of people; these are masked in every text that leaves the machine"
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if self.endpoint is not None and self.folder is not None:
            raise ValueError("endpoint and folder name two language models; leave one of them out")
        if (self.endpoint is None) != (self.model is None):
            raise ValueError("endpoint and model belong together: where to ask, and whom")
        if self.gguf_file is not None and self.folder is None:
            raise ValueError(f"gguf_file {self.gguf_file!r} needs the folder that it is in")
        if self.folder is not None and (self.price_in or self.price_out):
            raise ValueError("price_in and price_out are what an endpoint asks for; a model in a folder takes time, and no money")
        if self.endpoint is not None:
            self.endpoint_settings()
        return self

    @property
    def is_set(self) -> bool:
        """Whether there is a language model."""
        return self.endpoint is not None or self.folder is not None

    def endpoint_settings(self) -> EndpointSettings:
        """As `segmentation` reads them; only where there is an endpoint."""
        named = {"base_url": self.endpoint, **self.model_dump(exclude={"endpoint", "folder", "gguf_file", "batch_size", "name_columns"})}
        return EndpointSettings(**named)
