"""What segments, tiers and needs are worth, on the shops at hand: the study of `segrec eval worth`, and how right segments have to be.

    python -m benchmarks.segment_worth --set completejourney --cuts 6
    python -m benchmarks.segment_worth --set instruments --cuts 6
    python -m benchmarks.segment_worth --set worlds/planted --cuts 1

Shops are those of `benchmarks.quality`, Musical Instruments with the settings of benchmarks/instruments.toml, or the folder of a planted
world (`segrec synthetic make`). There it is known what each customer likes: of which persona it is. Further variants take the personas for
segments, with 0, 10 and 30 % of the customers taken for another one, as if a language model had told them with so many errors: what groups
as good as any labels can make them would bring, and how much of it errors leave. Everything else is as in the variants with groups found.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from benchmarks.quality.sets import open_set
from recsys.config import Config, load_config
from recsys.data.dataset import Dataset
from recsys.errors import DataError, RecsysError
from recsys.synthetic.writing import SHOP, TRUTH
from segmentation.profile import Profiles
from segrec.console import say, steps
from segrec.language_model import language_model
from segrec.worth.measuring import Study, found_by_cut
from segrec.worth.tables import pooled, show, to_json
from segrec.worth.variants import Variant, variants_of

INSTRUMENTS = Path(__file__).with_name("instruments.toml")
SEED = 5


@dataclass(frozen=True, kw_only=True)
class Told(Variant):
    """Customers by the persona that they were told to be of. personas: row of `names` of each customer of the shop; int16"""

    personas: NDArray[np.int16]
    names: tuple[str, ...]

    def regrouped(self, profiles: Profiles) -> Profiles:
        """The same profiles with personas for segments; who never bought has none. Tiers and needs stay."""
        told = np.where(np.asarray(profiles.segment) >= 0, self.personas[: len(profiles)], -1)
        return replace(profiles, segment=told.astype(np.int16), segment_ids=self.names, segment_names=self.names)


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", required=True, help="completejourney, online_retail, instruments, a folder of a shop, or a planted world")
    parser.add_argument("--config", type=Path, help="TOML file; without one the defaults, for instruments benchmarks/instruments.toml")
    parser.add_argument("--cuts", type=int, default=6, help="how many, the latest one evaluation period before the end")
    parser.add_argument("--shuffles", type=int, default=1, help="variants with shuffled groups")
    parser.add_argument("--seeds", type=int, default=1, help="trainings of each variant at each cut, averaged")
    parser.add_argument("--customers", type=int, help="customers measured with whole histories at each cut, at most")
    parser.add_argument("--thin-customers", type=int, default=200, help="customers measured at each length of thin histories, at most")
    parser.add_argument("--lengths", type=int, nargs="*", default=[1, 2, 3, 5], help="baskets that histories are cut down to")
    parser.add_argument("--errors", type=float, nargs="*", default=[0, 0.1, 0.3], help="planted worlds: shares of customers told wrongly")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder of the public data")
    parser.add_argument("--work", type=Path, default=Path(".worth"), help="folder for shops and what is kept")
    parser.add_argument("--json", type=Path, help="write all figures, with intervals, to this file")
    args = parser.parse_args()
    if wrong := [error for error in args.errors if not 0 <= error <= 1]:
        parser.error(f"--errors are shares between 0 and 1, got {wrong[0]:g}; 10 % is 0.1")
    try:
        _run(args)
    except RecsysError as error:
        parser.exit(1, f"{error}\n")


def _run(args: argparse.Namespace) -> None:
    world = Path(args.set)
    is_planted = (world / TRUTH).is_dir()
    dataset = open_set(str(world / SHOP) if is_planted else args.set, args.data, args.work)
    settings = args.config or (INSTRUMENTS if args.set == "instruments" else None)
    config = Config() if settings is None else load_config(settings)
    variants = variants_of(config, args.shuffles)
    if is_planted:
        personas, names = personas_of(world, dataset)
        variants += [told(personas, names, error) for error in args.errors]
    say(f"{args.set}: {dataset}; {args.cuts} cuts, {config.evaluation.period_days:g} days apart")
    with steps() as progress, language_model(config, dataset) as model:
        study = Study(dataset, config, args.work, tuple(args.lengths), args.thin_customers, args.customers, args.seeds, model, progress)
        tables = pooled(found_by_cut(study, args.cuts, variants))
    show(tables)
    if args.json is not None:
        args.json.write_text(json.dumps(to_json(tables), indent=1, allow_nan=False), encoding="utf-8")


def personas_of(world: Path, dataset: Dataset) -> tuple[NDArray[np.int16], tuple[str, ...]]:
    """The true persona of each customer of the shop, as a row of the names.

    Raises:
        DataError: the truth lacks a customer.
    """
    true = pd.concat([pd.read_parquet(part) for part in sorted((world / TRUTH).glob("customers-*.parquet"))])
    persona = true.set_index("customer_id").persona.reindex(list(dataset.customers.ids))
    if persona.isna().any():
        raise DataError(f"{world}: the truth lacks {int(persona.isna().sum())} customers of the shop; make and import the world anew")
    rows, names = pd.factorize(persona, sort=True)
    return rows.astype(np.int16), tuple(names.tolist())


def told(personas: NDArray[np.int16], names: tuple[str, ...], error: float) -> Told:
    """Who is told to be of which persona; with a greater error the same customers are told wrongly, and more."""
    rng = np.random.default_rng(SEED)
    errs = rng.random(len(personas)) < error
    others = (personas + rng.integers(1, len(names), len(personas))) % len(names)
    return Told(f"personas, {100 * error:g}% wrong", personas=np.where(errs, others, personas).astype(np.int16), names=names)


if __name__ == "__main__":
    main()
