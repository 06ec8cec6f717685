"""How likely customers are to have left, and to come again, given when they came last and what they wrote: by the true rates.

Churn times are exponential, visits Poisson in busy days. The posterior of the churn time is taken on a grid:
density(t) ~ churn_rate exp(-churn_rate t) exp(-visits busy_days(last visit, min(t, now))) likelihood(messages | t),
as in the Pareto/NBD model of Schmittlein, Morrison & Colombo (1987), Management Science 33(1), with each customer's own rates known.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from recsys.synthetic.aftermath import LEAVING_DAYS, LEAVING_WRITES, USUAL_LEAVE
from recsys.synthetic.messages import INTENTS
from recsys.synthetic.world import Block, World
from recsys.types import Ints

_N_PAST, _N_FUTURE = 48, 24


@dataclass(frozen=True)
class Leaving:
    """Posteriors of one block's customers at `day`, for what follows until `end`."""

    world: World
    block: Block
    day: float
    end: float

    @cached_property
    def last_visit(self) -> NDArray[np.float64]:
        """Day of each customer's last visit; their arrival, or the first day, where there was none."""
        visits, customers = self.block.scene.visits, self.block.scene.customers
        past = visits.days < self.day
        last = np.maximum(customers.arrival, 0)
        np.maximum.at(last, visits.owners[past], visits.days[past])
        return np.minimum(last, self.day)

    def expected_share(self, owners: Ints) -> NDArray[np.float64]:
        """Expected share of the busy days until `end` in which each customer still comes; (m,)."""
        times, weights = self._posterior(owners)
        busy = self.world.model.calendar.busy_days
        start = busy(np.array([self.day]))[0]
        all_days = max(busy(np.array([self.end]))[0] - start, 1e-12)
        still = np.clip(busy(np.clip(times, self.day, self.end)) - start, 0, None) / all_days
        return np.asarray((still * weights).sum(axis=1))

    def still_here(self, owners: Ints) -> NDArray[np.float64]:
        """Probability that each customer has not left; (m,)."""
        times, weights = self._posterior(owners)
        return np.asarray((weights * (times > self.day)).sum(axis=1))

    def no_purchase(self, owners: Ints, buying_visits: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probability of no visit with a purchase until `end`, given such visits per busy day; (m,)."""
        times, weights = self._posterior(owners)
        busy = self.world.model.calendar.busy_days
        there = np.clip(busy(np.clip(times, self.day, self.end)) - busy(np.array([self.day]))[0], 0, None)
        return np.asarray(np.minimum((np.exp(-buying_visits[:, None] * there) * weights).sum(axis=1), 1.0))  # rounding

    def _posterior(self, owners: Ints) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Churn times on a grid, the last one standing for all after `end`, and their probabilities; (m, n_grid) each."""
        customers, busy = self.block.scene.customers, self.world.model.calendar.busy_days
        last, rate = self.last_visit[owners][:, None], customers.churn_rate[owners][:, None].astype(np.float64)
        edges = np.concatenate(
            [
                last + (self.day - last) * np.linspace(0, 1, _N_PAST + 1)[None, :],
                np.broadcast_to(self.day + (self.end - self.day) * np.linspace(0, 1, _N_FUTURE + 1)[1:], (len(owners), _N_FUTURE)),
            ],
            axis=1,
        )
        middles = (edges[:, :-1] + edges[:, 1:]) / 2
        prior = np.exp(-rate * (edges[:, :-1] - last)) - np.exp(-rate * (edges[:, 1:] - last))
        times = np.concatenate([middles, np.full_like(last, self.end + LEAVING_DAYS)], axis=1)
        prior = np.concatenate([prior, np.exp(-rate * (edges[:, -1:] - last))], axis=1)
        silent = busy(np.minimum(times, self.day)) - busy(last)
        weights = prior * np.exp(-customers.visits[owners][:, None] * silent) * self._of_messages(owners, times)
        total = weights.sum(axis=1, keepdims=True)
        return times, weights / np.maximum(total, 1e-300)

    def _of_messages(self, owners: Ints, times: NDArray[np.float64]) -> NDArray[np.float64]:
        """Likelihood, up to a factor, of the messages seen so far if the customer leaves at each time; (m, n_grid).

        Who leaves at t has said so at a uniform moment of the LEAVING_DAYS before t with probability LEAVING_WRITES; anybody may say
        so without meaning it, at the rate of usual messages.
        """
        wrote = self._wrote[owners][:, None]
        usual = self.world.config.behaviour.messages * USUAL_LEAVE * self.block.scene.customers.visits[owners][:, None]
        truth = self.world.config.signals.text
        within = (wrote <= times) & (times <= wrote + LEAVING_DAYS)
        said = usual + truth * LEAVING_WRITES / LEAVING_DAYS * within
        passed = np.clip((self.day - (times - LEAVING_DAYS)) / LEAVING_DAYS, 0, 1)  # of the time in which it would have been said
        return np.asarray(np.where(np.isnan(wrote), 1 - truth * LEAVING_WRITES * passed, said))

    @cached_property
    def _wrote(self) -> NDArray[np.float64]:
        """Day of each customer's last message that says they leave; NaN = none."""
        messages = self.block.messages
        past = (messages.days < self.day) & (messages.intents == INTENTS.index("leave"))
        last = np.full(len(self.block.scene.customers), -np.inf)
        np.maximum.at(last, messages.owners[past], messages.days[past])
        return np.where(np.isinf(last), np.nan, last)
