"""The samples of the Open Bandit Dataset, and what its publishers measured on them.

Campaign `all` and the priors of the Bernoulli Thompson sampler come with the wheel obp 0.4.1 (`pip install --no-deps obp==0.4.1`);
nothing of it is imported, only its files are read. Campaigns `men` and `women` are two Parquet files, one per logging policy, with one row
per impression: campaign, timestamp, item_id, position, click, propensity_score and more.

Source:
    Saito, Aihara, Matsutani & Narita (2021), NeurIPS Datasets and Benchmarks.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pandas as pd
import yaml
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold

from offline_eval.off_policy.chances import ActionProbabilities
from offline_eval.off_policy.decisions import Columns, Decisions, decisions_of
from offline_eval.off_policy.rewards import PredictedRewards
from offline_eval.significance import Doubles

SEED = 12345
"""The publishers' own, for their sampler, their folds and their quick start."""

PUBLISHED = {
    "DM": (0.156876, 0.109898),
    "IPS": (0.311082, 0.311170),
    "SNIPS": (0.311795, 0.334736),
    "DR": (0.292464, 0.315485),
    "SNDR": (0.302407, 0.328434),
    "switch-DR": (0.258410, 0.160598),
}
"""Mean and standard deviation of the relative error over 30 resamples of campaign `all`, random log, Thompson sampler evaluated."""

QUICK_START = {"IPS": 0.004553, "low": 0.001531, "high": 0.009254}
"""Value of the Thompson sampler by IPS on the whole sample, and its 95 % percentile interval from 10,000 resamples."""


def find_obp() -> Path | None:
    """Folder of the installed package, None when there is none."""
    found = importlib.util.find_spec("obp")
    return None if found is None or found.origin is None else Path(found.origin).parent


def sample_of_all(obp: Path, policy: str) -> pd.DataFrame:
    """10,000 impressions of campaign `all`, oldest first, under the policy "random" or "bts", with the columns of a log."""
    folder = obp / "dataset" / "obd" / policy / "all"
    return _as_log(pd.read_csv(folder / "all.csv", index_col=0).sort_values("timestamp"))


def sample_of(path: Path, campaign: str) -> pd.DataFrame:
    """10,000 impressions of campaign `men` or `women` from one of the Parquet files, with the columns of a log."""
    table = pd.read_parquet(path)
    return _as_log(table[table["campaign"] == campaign])


def _as_log(table: pd.DataFrame) -> pd.DataFrame:
    """There are no customers in it: each impression is its own unit, as in everything published on it."""
    log = table.rename(columns={"timestamp": "event_time", "click": "reward", "propensity_score": "propensity"}).reset_index(drop=True)
    log["position"] = log["position"].rank(method="dense").astype(int)
    return log.assign(customer_id=np.arange(len(log)))


def thompson_sampler(obp: Path, n_draws: int) -> Doubles:
    """Probability of each item of `all` in each place, as the publishers estimate it: by drawing their Beta priors; (n_items, 3)."""
    with (obp / "policy" / "conf" / "prior_bts.yaml").open() as file:
        prior = yaml.safe_load(file)["all"]
    n_items = len(prior["alpha"])
    draws = np.random.RandomState(SEED)  # the publishers' stream; a Generator's is another
    counts = np.zeros((n_items, 3))
    for _ in range(n_draws // 10_000):
        best = draws.beta(prior["alpha"], prior["beta"], size=(10_000, n_items)).argsort(axis=1)[:, ::-1][:, :3]
        counts += np.stack([np.bincount(best[:, place], minlength=n_items) for place in range(3)], axis=1)
    return np.asarray(counts / counts.sum(axis=0), np.float64)


def as_chances(log: pd.DataFrame, sampler: Doubles) -> ActionProbabilities:
    """The sampler at the rows of a log."""
    return ActionProbabilities(np.arange(len(sampler)).astype(str), sampler.T.copy(), log["position"].to_numpy(np.intp) - 1)


def decisions_of_sample(log: pd.DataFrame, policy: ActionProbabilities | None = None) -> Decisions:
    """A sample under a policy; None = the even one over the items in it."""
    if policy is not None:
        return decisions_of(log, policy=policy)
    n_items = log["item_id"].nunique()
    return decisions_of(log, Columns(), lambda table: np.full(len(table), 1 / n_items))


def resample(n: int, number: int) -> NDArray[np.intp]:
    """Rows of the publishers' resample of that number."""
    return np.asarray(np.random.RandomState(number).choice(np.arange(n), size=n, replace=True), np.intp)


def published_interval(contributions: Doubles) -> tuple[float, float]:
    """The quick start's percentile interval of a mean."""
    draws = np.random.RandomState(SEED)
    means = [draws.choice(contributions, size=len(contributions)).mean() for _ in range(10_000)]
    low, high = np.percentile(means, [2.5, 97.5])
    return float(low), float(high)


def published_predictions(
    obp: Path, log: pd.DataFrame, rows: NDArray[np.intp], sampler: Doubles, strength: float = 1000
) -> PredictedRewards:
    """Rewards by the publishers' model for a resample: a logistic regression per place on user and item features, three folds by row.

    Its penalty is not stated where the figures are; `strength` is ours, so what comes of it may be compared, not checked.
    """
    users = pd.get_dummies(log.filter(like="user_feature"), drop_first=True).to_numpy(np.float64)[rows]
    items = _item_features(obp)
    chosen, places, rewards = (log[name].to_numpy()[rows] for name in ("item_id", "position", "reward"))
    every = np.empty((len(rows), len(items)))
    for taught, asked in KFold(3, shuffle=True, random_state=SEED).split(users):
        for place in np.unique(places):
            here, there = taught[places[taught] == place], asked[places[asked] == place]
            model = LogisticRegression(C=strength, max_iter=10_000, random_state=SEED)
            model.fit(np.hstack([users[here], items[chosen[here]]]), rewards[here])
            of_users, of_items = np.split(model.coef_[0], [users.shape[1]])
            every[there] = 1 / (1 + np.exp(-(users[there] @ of_users)[:, None] - items @ of_items - model.intercept_[0]))
    return PredictedRewards(every[np.arange(len(rows)), chosen], np.sum(every * sampler.T[places - 1], axis=1))


def _item_features(obp: Path) -> Doubles:
    """(n_items, n_features), codes of the categories as numbers, as published."""
    table = pd.read_csv(obp / "dataset" / "obd" / "random" / "all" / "item_context.csv", index_col=0)
    codes = [np.unique(table[name], return_inverse=True)[1] for name in table if name != "item_feature_0"]
    return np.stack([*codes, table["item_feature_0"].to_numpy()], axis=1).astype(np.float64)
