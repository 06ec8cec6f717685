"""`segrec eval off-policy`: what another policy would have earned, from a log with propensities."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer

from offline_eval.off_policy.chances import ActionProbabilities, policy_of_table
from offline_eval.off_policy.decisions import Columns, Decisions, decisions_of, numbers_of, read_table
from offline_eval.off_policy.evaluation import LEVEL, N_RESAMPLES, Limits, OffPolicyResult, evaluate_policy, evaluate_slates
from offline_eval.off_policy.report import refusal_lines, result_table, to_json, verdict
from offline_eval.off_policy.rewards import PredictedRewards, features_of, fit_rewards
from offline_eval.off_policy.slates import DRAWS, Draws
from recsys.bundle import sha256
from recsys.errors import DataError
from segrec.about import made_by
from segrec.console import output

TIME = "event_time"


def off_policy(
    log: Annotated[Path, typer.Argument(exists=True, dir_okay=False, help="Logged decisions: Parquet or CSV, exposures with a reward.")],
    policy: Annotated[str, typer.Option(help="Column: the evaluated policy's probability of the logged item.")] = "policy",
    policy_table: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="The evaluated policy as a table: item_id, probability, and columns of the log that tell where a row holds.",
        ),
    ] = None,
    reward: Annotated[str, typer.Option(help="Column: what the shown item earned.")] = "reward",
    propensity: Annotated[str, typer.Option(help="Column: probability with which the log's policy showed it.")] = "propensity",
    features: Annotated[
        str | None, typer.Option(help="Columns for the reward model, with commas between; it is fitted where there is a policy table.")
    ] = None,
    predicted: Annotated[
        str | None, typer.Option(help="Two columns instead of a fitted model: predicted reward of the logged item, and of the policy's.")
    ] = None,
    lists: Annotated[
        str | None, typer.Option(help=f"Evaluate whole lists; what the probabilities of a row are: {', '.join(DRAWS)}.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option(help="Weights above it are cut by clipped IPS and switch-DR; default: root of the rows.")
    ] = None,
    level: Annotated[float, typer.Option(min=0.5, max=0.999, help="Probability that an interval is to cover the truth.")] = LEVEL,
    n_resamples: Annotated[int, typer.Option("--resamples", min=100, help="Draws of the bootstrap.")] = N_RESAMPLES,
    seed: Annotated[int, typer.Option(min=0, help="Of the bootstrap and the model's folds.")] = 0,
    insist: Annotated[bool, typer.Option("--insist", help="Show refused numbers too; they are no conclusions.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for machines.")] = False,
) -> None:
    """Estimate what a policy would have earned where another one chose, or say why the log cannot tell.

    Example: segrec eval off-policy log.parquet --policy-table new.csv --features segment,placement
    """
    draws = _draws(lists)
    if draws is not None and (threshold is not None or features is not None or predicted is not None):
        raise typer.BadParameter("--lists takes no --threshold, --features or --predicted: estimates of whole lists use none of them")
    table = read_table(log)
    chances = None if policy_table is None else policy_of_table(read_table(policy_table), table)
    decisions = decisions_of(table, replace(Columns(), policy=policy, reward=reward, propensity=propensity), chances)
    rng = np.random.default_rng(seed)
    if draws is not None:
        result = evaluate_slates(decisions, draws, rng, n_resamples=n_resamples, level=level)
    else:
        model = _predictions(table, decisions, chances, _names(features), _names(predicted), rng)
        if threshold is not None and not threshold > 0:
            raise typer.BadParameter(f"--threshold must be above 0, got {threshold:g}")
        result = evaluate_policy(decisions, rng, model, threshold=threshold, n_resamples=n_resamples, level=level)
    about = _about(log, policy_table, table, seed, n_resamples)
    if as_json:
        print(json.dumps({**to_json(result, insist=insist), "about": about}, indent=1, ensure_ascii=False))
    else:
        _print(result, insist)


def _print(result: OffPolicyResult, insist: bool) -> None:
    """The table, why parts of it are refused, and the verdict last."""
    output().print(result_table(result, insist=insist))
    for line in refusal_lines(result):
        output().print(f"refused: {line}", markup=False)
    output().print(verdict(result), markup=False, style="bold")


def _predictions(
    table: pd.DataFrame,
    decisions: Decisions,
    chances: ActionProbabilities | None,
    features: list[str],
    predicted: list[str],
    rng: np.random.Generator,
) -> PredictedRewards | None:
    """Those of the log's columns, else of a model where there is a policy to ask it about, else none."""
    if predicted:
        if len(predicted) != 2 or features:
            raise typer.BadParameter("--predicted takes two columns, and no --features beside it")
        return PredictedRewards(*(numbers_of(table, name) for name in predicted))
    if chances is None:
        if features:
            raise typer.BadParameter("--features needs --policy-table: a model must know what the policy would have done instead")
        return None
    return fit_rewards(decisions, chances, rng, features_of(table, features) if features else None)


def _draws(text: str | None) -> Draws | None:
    if text is None:
        return None
    found = next((draws for draws in DRAWS if draws == text), None)
    if found is None:
        raise typer.BadParameter(f"--lists {text!r} is none of {', '.join(DRAWS)}")
    return found


def _names(text: str | None) -> list[str]:
    return [] if text is None else [name.strip() for name in text.split(",") if name.strip()]


def _about(log: Path, policy_table: Path | None, table: pd.DataFrame, seed: int, n_resamples: int) -> dict[str, Any]:
    """What is needed to make the same figures again."""
    files = [log] if policy_table is None else [log, policy_table]
    about = {**made_by(), "files": {str(path): sha256(path) for path in files}, "seed": seed, "n_resamples": n_resamples}
    if TIME in table:
        times = pd.to_datetime(table[TIME], errors="coerce", utc=True)
        if times.isna().any():
            raise DataError(
                f"row {int(times.isna().argmax()) + 1}: {TIME!r} is {table[TIME].iloc[int(times.isna().argmax())]!r}, which is no time"
            )
        about["from"], about["to"] = times.min().isoformat(), times.max().isoformat()
    return {**about, "limits": asdict(Limits())}
