"""An off-policy result as a table for the terminal and as JSON for machines.

What is refused is not printed as a number unless insisted on.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from offline_eval.off_policy.evaluation import Estimate, OffPolicyResult
from offline_eval.report import ABSENT
from offline_eval.result import without_nan
from offline_eval.significance import Interval


def verdict(result: OffPolicyResult) -> str:
    """What may be concluded, in a sentence; without a number of the policy where nothing may."""
    chosen = result.chosen
    if chosen.word == "refused":
        return f"no conclusion ({chosen.estimator}): {'; '.join(chosen.refusals)}"
    than = {
        "better": "more than the log's policy",
        "worse": "less than the log's policy",
        "undecided": "neither surely more nor less than it",
    }
    numbers = f"{_shown(chosen.value)} per {result.per}, the log {_shown(result.logged)}, difference {_shown(chosen.against_log)}"
    unknown = "" if np.isfinite(result.unsupported) else "; whether the log shows all that the policy would do is judged by the mean weight"
    return f"{chosen.word}: the policy earns {than[chosen.word]} ({chosen.estimator}: {numbers}; {result.level:.0%} intervals{unknown})"


def result_table(result: OffPolicyResult, *, insist: bool = False) -> Table:
    """A row per estimator, with half the width of the interval by the normal approximation. insist: show refused numbers too."""
    n_units = f"{result.logged.n:,} units"
    title = f"reward per {result.per}, {result.n:,} {result.per}s of {n_units}; the log earned {_shown(result.logged)}"
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD)
    table.add_column("estimator")
    headings = (f"value [{result.level:.0%}]", "normal", "against the log", "effective\nunits", "largest\nshare", "cut")
    for heading in headings:
        table.add_column(Text(heading), justify="right", no_wrap=True)
    table.add_column("verdict")
    for estimate in result.estimates:
        table.add_row(estimate.estimator, *_numbers(estimate, insist), *_weights(estimate), estimate.word)
    return table


def refusal_lines(result: OffPolicyResult) -> list[str]:
    """Why nothing is concluded: a line per set of reasons, with the estimators that it holds for."""
    refused: dict[str, list[str]] = {}
    for estimate in result.estimates:
        if estimate.refusals:
            refused.setdefault("; ".join(estimate.refusals), []).append(estimate.estimator)
    return [f"{', '.join(names)}: {reasons}" for reasons, names in refused.items()]


def to_json(result: OffPolicyResult, *, insist: bool = False) -> dict[str, Any]:
    """Everything, for JSON; the numbers of refused estimates are null unless insisted on. NaN becomes null."""
    estimates = []
    for estimate in result.estimates:
        content = {**asdict(estimate), "verdict": estimate.word}
        if estimate.refusals and not insist:
            content |= dict.fromkeys(("value", "normal", "against_log"))
        estimates.append(content)
    content = {**asdict(result), "estimates": estimates, "chosen": result.chosen.estimator, "verdict": result.chosen.word}
    content["conclusion"] = verdict(result)
    found: dict[str, Any] = json.loads(json.dumps(without_nan(content), allow_nan=False))
    return found


def _numbers(estimate: Estimate, insist: bool) -> tuple[str, str, str]:
    if estimate.refusals and not insist:
        return ABSENT, ABSENT, ABSENT
    half = (estimate.normal.high - estimate.normal.low) / 2
    return _shown(estimate.value), f"± {half:.2g}", _shown(estimate.against_log)


def _weights(estimate: Estimate) -> tuple[str, str, str]:
    facts = estimate.weights
    if facts is None:
        return ABSENT, ABSENT, ABSENT
    return f"{facts.effective_units:,.0f}", f"{facts.largest_share:.1%}", f"{facts.clipped_share:.1%}"


def _shown(interval: Interval) -> str:
    return f"{interval.estimate:.4g} [{interval.low:.4g}, {interval.high:.4g}]"
