"""A search over a ranker's settings on customers that it does not learn from, by Optuna."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.config import RankerConfig
from recsys.errors import ConfigError, DataError
from recsys.ranking.lambdamart import LambdaMart
from recsys.training.lambdamart import LEAST_HELD_OUT, boost, dataset, held_out_queries, parameters_of
from recsys.training.rows import Rows
from recsys.training.stages import Progress, key_of, stage_seed
from recsys.types import Ints

HELD_OUT_SHARE = 0.4
"""Share of the customers that nothing is learned from: half of them choose the settings, the others tell how good the choice is."""
K = 10
SPACE: dict[str, tuple[float, float, bool]] = {
    "n_trees": (40, 400, False),
    "learning_rate": (0.02, 0.2, True),
    "n_leaves": (7, 63, True),
    "min_data_in_leaf": (10, 300, True),
    "feature_fraction": (0.3, 1.0, False),
    "l2": (0.0, 30.0, False),
    "truncation": (5, 60, False),
}
"""Lowest and highest value of each setting, and whether steps are factors; widened where the present value lies outside."""


@dataclass(frozen=True)
class Judges:
    """Rows of customers who are each in one part alone.

    known:    learned from
    choosing: settings that order these best are chosen
    telling:  these tell how good the chosen ones are
    """

    known: Rows
    choosing: Rows
    telling: Rows

    @staticmethod
    def of(rows: Sequence[Rows], rng: np.random.Generator) -> Judges:
        """Draw customers of the last period. Where there are several, nothing else of that period is learned from: it lies ahead, as the
        time after a training does. Guests, who may be anybody, are left out.

        Raises:
            DataError: there are too few customers, or nothing to learn from.
        """
        taught = [part.parted()[0] for part in rows]
        last = taught[-1]
        held_out = held_out_queries(last.customers, HELD_OUT_SHARE, rng)
        customers = rng.permutation(np.unique(last.customers[held_out]))
        if len(customers) < 2 * LEAST_HELD_OUT:
            n = len(np.unique(last.customers[last.customers >= 0]))
            raise DataError(
                f"{n} customers of the last ranking period have a wanted item among their candidates; a search needs at least "
                f"{round(2 * LEAST_HELD_OUT / HELD_OUT_SHARE)}, for {HELD_OUT_SHARE:.0%} of them choose and judge"
            )
        choosing, telling = np.array_split(customers, 2)
        parts = taught[:-1] or [last]
        known = Rows.stacked([part.of_queries((part.customers >= 0) & ~np.isin(part.customers, customers)) for part in parts])
        if not len(known.sizes):
            raise DataError("all queries of earlier ranking periods are of customers who judge; are the data long and dense enough?")
        return Judges(known, *(last.of_queries(np.isin(last.customers, drawn)) for drawn in (choosing, telling)))


@dataclass(frozen=True)
class Found:
    """What a search found.

    config:    the best settings; without patience, for the number of trees was searched
    n_trials:  settings that were tried, the present ones among them
    customers: who told how good they are; int32 (n,)
    present, best: NDCG@10 of each of them by the present settings and by the best; float64 (n,)
    """

    config: RankerConfig
    n_trials: int
    customers: Ints
    present: NDArray[np.float64]
    best: NDArray[np.float64]


@dataclass(frozen=True)
class Search:
    """The search over one ranker's settings.

    name: of the ranker; names: of its features; seed: of everything drawn; progress: told of trials
    """

    name: str
    names: tuple[str, ...]
    present: RankerConfig
    seed: int
    n_threads: int
    progress: Progress

    def run(self, judges: Judges, trials: Path, n_trials: int, is_over: Callable[[], bool]) -> Found:
        """Try settings until there are `n_trials` or `is_over` says so, at least one; those tried before count.

        A search that was stopped goes on with the settings that it would have tried next.

        Args:
            trials: SQLite file that keeps the trials of searches, by rows, seed and present settings.

        Raises:
            ConfigError: Optuna is not installed.
        """
        study, optuna = self._study(judges, trials)
        complete = optuna.trial.TrialState.COMPLETE
        for stale in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):  # of a search that was killed
            study.tell(stale.number, state=optuna.trial.TrialState.FAIL)
        done = len(study.get_trials(states=(complete,)))
        while done < n_trials and (done == 0 or not is_over()):
            self.progress(done, n_trials, f"searching settings of ranker {self.name}")
            if done == 0:
                study.enqueue_trial({setting: getattr(self.present, setting) for setting in SPACE})
            study.sampler = optuna.samplers.TPESampler(seed=stage_seed(self.seed, f"trial {done}"))
            trial = study.ask()
            study.tell(trial, float(self._ndcg(self._suggested(trial), judges.known, judges.choosing).mean()))
            done += 1
        self.progress(n_trials, n_trials, f"searching settings of ranker {self.name}")
        best = self._with(study.best_params)
        told = [self._ndcg(config, judges.known, judges.telling) for config in (self.present, best)]
        return Found(best, done, judges.telling.customers, *told)

    def _study(self, judges: Judges, trials: Path) -> tuple[Any, Any]:
        """Optuna's study of just this search, and Optuna."""
        try:
            import optuna
        except ImportError as error:
            raise ConfigError(f"the search over settings needs optuna ({error}); install it: pip install 'segrec[tune]'") from error
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        facts = [
            [len(part.sizes), float(part.features[np.isfinite(part.features)].sum(dtype=np.float64))] for part in vars(judges).values()
        ]
        key = key_of({"ranker": self.name, "present": self.present.model_dump(), "seed": self.seed, "rows": facts, "space": SPACE})
        storage = optuna.storages.RDBStorage(f"sqlite:///{trials}")
        return optuna.create_study(storage=storage, study_name=key, direction="maximize", load_if_exists=True), optuna

    def _suggested(self, trial: Any) -> RankerConfig:
        chosen: dict[str, Any] = {}
        for setting, (low, high, by_factors) in SPACE.items():
            value = getattr(self.present, setting)
            suggest = trial.suggest_int if isinstance(value, int) else trial.suggest_float
            chosen[setting] = suggest(setting, min(low, value), max(high, value), log=by_factors)
        return self._with(chosen)

    def _with(self, chosen: dict[str, Any]) -> RankerConfig:
        """The present settings with others, rounded to four digits, which nobody minds to copy."""
        settings = {name: float(f"{value:.4g}") if isinstance(value, float) else value for name, value in chosen.items()}
        return self.present.model_copy(update={"patience": None, **settings})

    def _ndcg(self, config: RankerConfig, known: Rows, judged: Rows) -> NDArray[np.float64]:
        """NDCG@10 of each judged query by trees boosted on the known rows."""
        parameters = parameters_of(known, self.names, config, stage_seed(self.seed, "trees"), self.n_threads)
        booster = boost(dataset(known, self.names, parameters), parameters, config.n_trees, [])
        return ndcg_of_rows(LambdaMart(booster.model_to_string()).score(judged.features), judged)


def ndcg_of_rows(scores: NDArray[np.floating[Any]], rows: Rows) -> NDArray[np.float64]:
    """NDCG@10 of each query over its rows, which are not all of its candidates; equal scores keep their order. float64 (n_queries,)"""
    of_query = np.repeat(np.arange(len(rows.sizes)), rows.sizes)
    starts = np.cumsum(rows.sizes) - rows.sizes
    order = np.lexsort((-scores, of_query))
    places = np.arange(len(order)) - np.repeat(starts, rows.sizes)
    discounts = np.where(places < K, 1 / np.log2(places + 2), 0.0)
    gained = np.bincount(of_query, discounts * rows.labels[order], len(rows.sizes))
    wanted = np.bincount(of_query, rows.labels, len(rows.sizes))
    return np.asarray(gained / np.bincount(of_query, discounts * (places < wanted[of_query]), len(rows.sizes)))


def as_toml(name: str, config: RankerConfig) -> str:
    """A ranker's settings as a table of the configuration file, without those that have their defaults."""
    lines = [f"[rankers.{name}]"]
    for key, value in config.model_dump(exclude_defaults=True).items():
        if isinstance(value, dict):
            lines.append(f"{key} = {{ {', '.join(f'{json.dumps(entry)} = {sign}' for entry, sign in value.items())} }}")
        else:
            lines.append(f"{key} = {json.dumps(value)}")
    return "\n".join(lines)
