"""Logs whose truth is known: customers in segments, a logging policy and an evaluated one per segment, rewards of 0 or 1."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from offline_eval.off_policy.chances import ActionProbabilities
from offline_eval.off_policy.decisions import Decisions
from offline_eval.significance import Doubles

N_SEGMENTS = 4


@dataclass(frozen=True)
class World:
    """A shop's page with some places, each filled from its own distribution over the actions, per segment of the customer.

    n_units, visits:     customers, and lists that each gets
    n_places, n_actions: places of a list, and what may stand in each
    level:               log-odds of a reward for an average action
    logging, evaluated:  how much the two policies lean to what the segment likes; 0 = even, below 0 = away from it
    moods:               spread of the customers' log-odds, which makes rows of one customer alike
    cascade:             each further place is looked at with this probability if the one above it earned nothing, else never; None = always
    absent:              actions (by number) that the log never shows
    largest:             lists that the first customer gets instead; None = as all others
    tail:                customers get `visits` lists times a Pareto number of this index, at most 1,000 times; None = all as many
    """

    n_units: int
    visits: int
    n_actions: int
    level: float
    logging: float
    evaluated: float
    n_places: int = 1
    moods: float = 0.5
    cascade: float | None = None
    absent: int = 0
    largest: int | None = None
    tail: float | None = None
    seed: int = 1

    @cached_property
    def likings(self) -> Doubles:
        """How much a segment likes an action, log-odds; (N_SEGMENTS, n_actions)."""
        return np.random.default_rng(self.seed).normal(0, 0.7, (N_SEGMENTS, self.n_actions))

    @cached_property
    def log_policy(self) -> Doubles:
        """Probabilities of the logging policy; (N_SEGMENTS, n_actions)."""
        noise = np.random.default_rng([self.seed, 1]).normal(0, 0.3, self.likings.shape)
        scores = np.exp(self.logging * self.likings + noise)
        scores[:, : self.absent] = 0
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float64)

    @cached_property
    def policy(self) -> Doubles:
        """Probabilities of the evaluated policy; (N_SEGMENTS, n_actions)."""
        scores = np.exp(self.evaluated * self.likings)
        return np.asarray(scores / scores.sum(axis=1, keepdims=True), np.float64)

    def value(self, policy: Doubles) -> float:
        """What a policy earns per list, over all customers there could be; exact up to the integration over moods."""
        nodes, weights = np.polynomial.hermite_e.hermegauss(60)
        chances = expit(self.level + self.likings[None] + self.moods * nodes[:, None, None])  # (n_nodes, N_SEGMENTS, n_actions)
        earns = np.einsum("sa,nsa->ns", policy, chances)
        looked, total = np.ones_like(earns), np.zeros_like(earns)
        for _ in range(self.n_places):
            total += looked * earns
            looked = looked if self.cascade is None else looked * (1 - earns) * self.cascade
        return float((weights / weights.sum()) @ total.mean(axis=1))

    def draw(self, rng: np.random.Generator) -> tuple[Decisions, ActionProbabilities, Doubles]:
        """A log, the evaluated policy at its rows, and the segment of each row as features."""
        units = np.repeat(np.arange(self.n_units), self._visits(rng))
        segments = rng.integers(0, N_SEGMENTS, self.n_units)[units]
        moods = rng.normal(0, self.moods, self.n_units)[units]
        actions = self._actions(segments, rng)
        rewards = self._rewards(segments, moods, actions, rng)
        rows = np.repeat(segments, self.n_places)
        shown = actions.ravel()
        names = np.array([f"a{number}" for number in range(self.n_actions)])
        chances = ActionProbabilities(names, self.policy, rows)
        positions = np.tile(np.arange(1, self.n_places + 1), len(units))
        log = Decisions(
            units=np.array([f"c{number}" for number in range(self.n_units)])[np.repeat(units, self.n_places)],
            slates=np.repeat(np.arange(len(units)), self.n_places),
            positions=positions,
            actions=names[shown],
            propensities=self.log_policy[rows, shown],
            rewards=rewards.ravel(),
            policy=self.policy[rows, shown],
            unsupported=chances.never_logged(names[shown], positions),
        )
        return log, chances, np.eye(N_SEGMENTS)[rows]

    def _visits(self, rng: np.random.Generator) -> NDArray[np.int64]:
        """Lists of each customer; they say nothing of how the customer is."""
        visits = np.full(self.n_units, self.visits, np.int64)
        if self.tail is not None:
            visits = np.asarray(np.floor(self.visits * np.minimum(1 + rng.pareto(self.tail, self.n_units), 1_000)), np.int64)
        if self.largest is not None:
            visits[0] = self.largest
        return visits

    def _actions(self, segments: NDArray[np.intp], rng: np.random.Generator) -> NDArray[np.intp]:
        """What the log shows; (n_lists, n_places)."""
        edges = self.log_policy.cumsum(axis=1)[segments][:, None, :]
        chosen = (edges < rng.random((len(segments), self.n_places, 1))).sum(axis=2)
        return np.asarray(np.minimum(chosen, self.n_actions - 1), np.intp)

    def _rewards(self, segments: NDArray[np.intp], moods: Doubles, actions: NDArray[np.intp], rng: np.random.Generator) -> Doubles:
        """(n_lists, n_places)"""
        chances = expit(self.level + self.likings[segments[:, None], actions] + moods[:, None])
        rewards = (rng.random(actions.shape) < chances).astype(np.float64)
        if self.cascade is not None:
            on = rng.random(actions.shape) < self.cascade
            looked = np.ones(len(segments), bool)
            for place in range(self.n_places):
                rewards[:, place] *= looked
                looked = looked & (rewards[:, place] == 0) & on[:, place]
        return rewards
