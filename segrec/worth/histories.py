"""Histories by length: what each customer has, and all of them cut down to the last few baskets."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import segrec
from recsys.bundle import ENCODER, Bundle, Histories
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.thinning import basket_numbers
from recsys.data.thinning import cut_down as thinned
from recsys.training.customers import ShopReader, fingerprint_of, purchases, writings_of
from recsys.training.split import positive_lines
from recsys.training.stages import Progress, Stages, contents_of, source_digest
from recsys.types import Floats, Interactions
from segmentation.profile import Profiles
from segrec.segment_folder import SEGMENTATION, VOICE, Fitted, open_fitted
from segrec.segment_reading import reader_by, voices_by

FIFTHS = ("1 (thinnest)", "2", "3", "4", "5 (longest)")


def n_baskets(lines: Interactions, n_customers: int) -> NDArray[np.int64]:
    """Baskets of each customer, (n_customers,)."""
    known = lines.customers >= 0
    most = np.zeros(n_customers, np.int64)
    np.maximum.at(most, lines.customers[known], basket_numbers(lines)[known] + 1)
    return most


def cut_down(dataset: Dataset, cut: np.datetime64, n: int, config: Config) -> Dataset:
    """The shop with every customer's past from the `n`-th last basket before the cut on; what guests did, and what came later, stays.

    Baskets are of positive events; views and the like before the first basket that is left are gone with the others.
    """
    bought = positive_lines(dataset.before(cut), config)
    return thinned(dataset, bought, np.full(len(dataset.customers), n))


def shortened(bundle: Bundle, path: Path, dataset: Dataset, lengths: Sequence[int], stages: Stages) -> Iterator[tuple[int, Bundle]]:
    """For each length n the bundle of a shop to which only the last `n` baskets of each customer are known.

    Its customers have the profiles that such customers would have been given, also by what they have written since. What all models were
    made of stays as it is. path: where the bundle was loaded from; dataset: the shop that it was trained on; stages: where the profiles are
    kept, for bundles that share a segmentation have the same ones, and to read all texts again takes longest

    Raises:
        ValueError: the bundle has no time, so no basket is the last one.
    """
    if bundle.as_of is None:
        raise ValueError("a bundle from a split by position has no time before which baskets could be the last")
    fitted = open_fitted(path)
    reader = cache(partial(_reader_of, fitted))  # opened when it is first needed, which it often is not
    made_of = {
        "data": dataset.fingerprint,
        "as_of": bundle.as_of,
        "events": bundle.config.data.model_dump(),
        "fit": [(place, contents_of(path / place)) for place in (SEGMENTATION, VOICE, ENCODER) if (path / place).is_dir()],
        "texts": fitted.facts["texts"],
        "code": source_digest(Path(segrec.__file__).parent),
    }
    for n in lengths:
        known = cut_down(dataset, bundle.as_of, n, bundle.config).before(bundle.as_of)
        inputs = {**made_of, "length": n, "written": fingerprint_of(writings_of(known))}
        profiles = Profiles.load(stages.run("thin-profiles", inputs, partial(_assign, fitted, known, reader, stages.progress)))
        yield n, replace(bundle, histories=Histories.of_interactions(known.interactions, len(known.customers)), profiles=profiles)


def _reader_of(fitted: Fitted) -> ShopReader | None:
    """What reads texts as the fit read them, each text once: a longer history has the texts of the shorter ones; None = it read none."""
    reader, known = reader_by(fitted), dict[str, Floats]()
    if reader is None:
        return None
    embed = reader.embed

    def remembered(texts: Sequence[str]) -> Floats:
        new = [text for text in dict.fromkeys(texts) if text not in known]
        known.update(zip(new, embed(new), strict=True))
        return np.stack([known[text] for text in texts])

    return replace(reader, embed=remembered)


def _assign(fitted: Fitted, known: Dataset, reader: Callable[[], ShopReader | None], progress: Progress, folder: Path) -> None:
    """Write the profiles of all customers of a view, as of its end."""
    voices = voices_by(fitted, known, known.end, reader(), progress)
    fitted.model.assign(purchases(known, fitted.config), len(known.customers), known.end, voices=voices).save(folder)


def fifths(sizes: NDArray[np.int64]) -> list[str]:
    """The fifth that each of some customers is in by length of history; equal lengths share one."""
    edges = np.quantile(sizes, [0.2, 0.4, 0.6, 0.8])
    return [FIFTHS[fifth] for fifth in np.searchsorted(edges, sizes, side="left")]
