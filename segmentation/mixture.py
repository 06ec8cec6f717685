"""A mixture of Gaussians with one shared covariance, over rows that are each known up to noise of their own.

    row | group ~ Normal(mean of the group, covariance + noise of the row * identity)

so a row of which little is known belongs to no group for sure. EM climbs to the nearest hill only; therefore groups are found on a way
down: many small ones by k-means first, then again and again the two whose union costs least are joined, and all are fitted anew.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from segmentation.purchases import Reals

THIN = 50.0
"""Counts at which a row has half its weight in the k-means that starts the fit."""
STEPS, LAST_STEPS = 25, 200
FLOOR = 1e-6
"""Least variance within groups."""


@dataclass(frozen=True)
class Mixture:
    """means: (k, dim); covariance: (dim, dim), shared; shares: of the rows, (k,), all above 0; float64."""

    means: Reals
    covariance: Reals
    shares: Reals

    def posterior(self, rows: Reals, noise: Reals) -> Reals:
        """Probability of each group for each row, shape (n, k)."""
        spreads, axes = np.linalg.eigh(self.covariance)
        return memberships(squared_distances(rows @ axes, noise, self.means @ axes, np.maximum(spreads, FLOOR)), self.shares)


def squared_distances(rows: Reals, noise: Reals, means: Reals, spreads: Reals) -> Reals:
    """Mahalanobis distances (n, k) between rows and means in axes where the covariance is diagonal: `spreads`."""
    precisions = 1 / (spreads + noise[:, None])
    squared = (rows**2 * precisions).sum(axis=1)[:, None] - 2 * (rows * precisions) @ means.T + precisions @ (means**2).T
    return np.asarray(np.maximum(squared, 0.0), np.float64)


def memberships(squared: Reals, shares: Reals) -> Reals:
    """Posterior probabilities (n, k); the row's own variance is the same for all groups and falls out."""
    logs = np.log(shares) - squared / 2
    odds = np.exp(logs - logs.max(axis=1, keepdims=True))
    return np.asarray(odds / odds.sum(axis=1, keepdims=True), np.float64)


def fit_path(rows: Reals, noise: Reals, n_first: int, n_last: int, seed: int, n_threads: int) -> dict[int, Mixture]:
    """A mixture for each number of groups from n_first, or less where rows do not differ enough, down to n_last, at least 1."""
    posterior = _k_means(rows, noise, n_first, seed, n_threads)
    found: dict[int, Mixture] = {}
    mixture = _measured(rows, posterior)
    while True:
        mixture = fit(rows, noise, mixture, STEPS)
        found[len(mixture.means)] = mixture
        if len(mixture.means) <= n_last:
            return found
        mixture = joined(mixture, *_nearest_pair(mixture))


def fit(rows: Reals, noise: Reals, mixture: Mixture, n_steps: int = LAST_STEPS) -> Mixture:
    """EM from a first guess until groups hardly move, for at most so many steps."""
    for _ in range(n_steps):
        better = _step(rows, noise, mixture)
        moved = np.abs(better.means - mixture.means).max()
        mixture = better
        if moved < 1e-4:
            break
    return mixture


def joined(mixture: Mixture, group: int, other: int) -> Mixture:
    """The same with two groups as one, in the place of the first."""
    pair = [group, other]
    means, shares = mixture.means.copy(), mixture.shares.copy()
    means[group] = np.average(means[pair], axis=0, weights=shares[pair])
    shares[group] = shares[pair].sum()
    return Mixture(np.delete(means, other, axis=0), mixture.covariance, np.delete(shares, other))


def nearest_to(mixture: Mixture, group: int) -> int:
    """The group whose union with the given one costs least."""
    return int(np.argmin(_costs(mixture)[group]))


def _step(rows: Reals, noise: Reals, mixture: Mixture) -> Mixture:
    """One step of EM, in axes where the covariance is diagonal; groups that nobody belongs to any more vanish."""
    spreads, axes = np.linalg.eigh(mixture.covariance)
    spreads = np.maximum(spreads, FLOOR)
    turned, variances = rows @ axes, spreads + noise[:, None]
    posterior = memberships(squared_distances(turned, noise, mixture.means @ axes, spreads), mixture.shares)
    posterior = posterior[:, posterior.sum(axis=0) > FLOOR]

    means = (posterior.T @ (turned / variances)) / (posterior.T @ (1 / variances))
    gains = spreads / variances  # (n, dim): what of a row's deviation is the customer's own, not noise
    own, expected = gains * turned, gains * (posterior @ means)
    dim = rows.shape[1]
    products = posterior.T @ (gains[:, :, None] * gains[:, None, :]).reshape(len(rows), dim * dim)  # (k, dim * dim)
    within = np.einsum("ga,gb,gab->ab", means, means, products.reshape(-1, dim, dim))
    scatter = own.T @ own - own.T @ expected - expected.T @ own + within + np.diag((gains * noise[:, None]).sum(axis=0))
    covariance = axes @ (scatter / len(rows)) @ axes.T
    return Mixture(means @ axes.T, (covariance + covariance.T) / 2, posterior.mean(axis=0))


def _k_means(rows: Reals, noise: Reals, n_groups: int, seed: int, n_threads: int) -> Reals:
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from threadpoolctl import threadpool_limits

    model = KMeans(min(n_groups, len(rows)), n_init=1, random_state=seed)
    with threadpool_limits(n_threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct rows than groups: the empty ones are left out
        groups: NDArray[np.intp] = model.fit_predict(rows, sample_weight=1 / (1 + THIN * noise))
    return np.eye(model.n_clusters)[groups][:, np.unique(groups)]


def _measured(rows: Reals, posterior: Reals) -> Mixture:
    means = (posterior.T @ rows) / posterior.sum(axis=0)[:, None]
    deviations = rows - posterior @ means
    covariance = deviations.T @ deviations / len(rows) + FLOOR * np.eye(rows.shape[1])
    return Mixture(means, covariance, posterior.mean(axis=0))


def _nearest_pair(mixture: Mixture) -> tuple[int, int]:
    costs = _costs(mixture)
    first, second = np.unravel_index(int(np.argmin(costs)), costs.shape)
    return int(min(first, second)), int(max(first, second))


def _costs(mixture: Mixture) -> Reals:
    """What joining each two groups costs: their squared distance times the harmonic mean of their shares (Ward)."""
    between = mixture.means[:, None] - mixture.means[None]
    precision = np.linalg.inv(mixture.covariance + FLOOR * np.eye(len(mixture.covariance)))
    distances = np.einsum("abi,ij,abj->ab", between, precision, between)
    shares = mixture.shares
    costs = distances * shares[:, None] * shares[None] / (shares[:, None] + shares[None])
    costs[np.diag_indices(len(costs))] = np.inf
    return np.asarray(costs, np.float64)
