"""Who counts as being in which segment and tier, and as having which need: as found, all in one, or dealt out anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.bundle import Bundle
from recsys.config import Config
from recsys.customer_config import LanguageModelConfig
from recsys.data.dataset import Dataset
from recsys.source_config import PopularConfig
from recsys.training.parts import AsOf, BundleParts, Fitter, Seen
from segmentation.profile import Profiles
from segrec.worth.remembering import Memory

WITH, WITHOUT, SHUFFLED, SILENT, UNTOLD = "with", "without", "shuffled", "without needs", "without language model"
SEATS = 1 << 16


@dataclass(frozen=True)
class Variant:
    """One way of grouping customers; all else in the engine is the same.

    with:     segments, tiers and needs as they were found.
    without:  everybody is in one segment and one tier, and whoever has needs has the same one, so that no feature and no source tells
              groups apart. The sources that count within a segment then count the whole shop: the engine keeps as many candidates, and
              gains none by that alone.
    shuffled: each customer has the segment, tier and needs of another one. shuffle: number of the permutation
    without needs: segments and tiers as they were found, but whoever has needs has the same one.
    without language model: segments, tiers and needs as they are found when nothing was asked of the language model that the shop has.
    """

    kind: str
    shuffle: int = 0

    @property
    def name(self) -> str:
        """As printed."""
        return f"{self.kind} {self.shuffle}" if self.kind == SHUFFLED else self.kind

    def configured(self, config: Config) -> Config:
        """The configuration that the variant is trained with."""
        return config.model_copy(update={"llm": LanguageModelConfig()}) if self.kind == UNTOLD else config

    def regrouped(self, profiles: Profiles) -> Profiles:
        """The same profiles with the variant's segments, tiers and needs; customers who never bought have no segment and tier."""
        if self.kind in (WITHOUT, SILENT):
            profiles = replace(profiles, voices=profiles.voices.with_one_need())
        if self.kind == WITHOUT:
            rows = np.where(np.asarray(profiles.segment) >= 0, 0, -1)
            return replace(profiles, segment=rows.astype(np.int16), tier=rows.astype(np.int8))
        if self.kind == SHUFFLED:
            donors = donors_of(np.asarray(profiles.segment) >= 0, self.shuffle)
            voices = profiles.voices.with_needs_of(donors)
            return replace(profiles, segment=np.asarray(profiles.segment)[donors], tier=np.asarray(profiles.tier)[donors], voices=voices)
        return profiles


def variants_of(config: Config, n_shuffles: int) -> list[Variant]:
    """All that a configuration can be measured with and without."""
    variants = [Variant(WITH), Variant(WITHOUT), *(Variant(SHUFFLED, number + 1) for number in range(n_shuffles))]
    if tells_needs(config):
        variants.append(Variant(SILENT))
    if config.llm.is_set:
        variants.append(Variant(UNTOLD))
    return variants


def tells_needs(config: Config) -> bool:
    """Whether any feature or source of the configuration tells customers apart by what they speak of."""
    sources = (source.within for source in config.sources.values() if isinstance(source, PopularConfig))
    return "need" in {*sources, *(feature.scope for feature in config.features.values())}


def donors_of(has_bought: NDArray[np.bool_], shuffle: int) -> NDArray[np.intp]:
    """Whose groups each customer gets: a permutation of those who bought; who did not keeps its own number. (n_customers,)

    As more customers come to buy, nearly all keep their donor: groups that changed at random from one period to the next would harm
    an engine more than wrong ones do. So one permutation of many seats is drawn, and followed until it leads to a customer who bought.
    """
    n = len(has_bought)
    following = np.random.default_rng(shuffle).permutation(max(SEATS, n))
    is_donor = np.zeros(len(following), np.bool_)
    is_donor[:n] = has_bought
    donors = np.arange(n)
    waiting = np.flatnonzero(has_bought)
    at = waiting
    while len(waiting):
        at = following[at]
        found = is_donor[at]
        donors[waiting[found]] = at[found]
        waiting, at = waiting[~found], at[~found]
    return donors


@dataclass(frozen=True)
class RememberingParts(BundleParts):
    """Parts of a bundle whose sources remember what they proposed."""

    memory: Memory

    def open(self) -> Bundle:
        """As any other, with sources that remember; the names of the stages' folders say what they are made of."""
        made_of = {name: f"{self.places[f'sources/{name}'].name} {self.places['texts'].name}" for name in self.config.sources}
        return self.memory.of(super().open(), made_of)


@dataclass(frozen=True)
class RegroupingFitter(Fitter):
    """Fits every part as the product does, on the groups of a variant; what knows no groups is shared by all variants."""

    variant: Variant
    memory: Memory

    @property
    def n_processes(self) -> int:
        """One: the variants share a memory."""
        return 1

    def bundle(self, places: Mapping[str, Path], known: Dataset, as_of: np.datetime64 | None) -> RememberingParts:
        """As the product's, whose sources need not propose twice."""
        return RememberingParts(**vars(super().bundle(places, known, as_of)), memory=self.memory)

    def parts(self, at: AsOf) -> dict[str, Path]:
        """As the product's, with regrouped profiles; the true ones still decide who keeps which segment later."""
        if self.variant.kind in (WITH, UNTOLD):
            return super().parts(at)
        seen = None if at.seen is None else Seen(at.seen.known, self._regrouped(at.seen.profiles))
        return super().parts(replace(at, profiles=self._regrouped(at.profiles), seen=seen))

    def _regrouped(self, profiles: Path) -> Path:
        def regroup(folder: Path) -> None:
            self.variant.regrouped(Profiles.load(profiles)).save(folder)

        return self.run("regrouped", {"profiles": profiles.name, "variant": self.variant.name}, regroup)
