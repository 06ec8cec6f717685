"""`segrec eval gate`: may the new bundle replace the old one? Exit 0 = yes, 1 = no, and which promise it breaks by how much, 2 = usage."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich import box
from rich.table import Table
from rich.text import Text

from offline_eval.evaluate import Measurements
from offline_eval.facts import bundle_facts
from offline_eval.gate import UNDECIDED, WORSE, GatePolicy, GateResult, Verdict, gate, load_policy
from offline_eval.metrics import parse_metrics
from offline_eval.per_customer import read_values
from offline_eval.result import without_nan
from recsys.bundle import Bundle, read_manifest, sha256
from recsys.data.dataset import Dataset
from recsys.errors import ConfigError, DataError
from segrec.about import PROTOCOL, made_by, of_shop
from segrec.console import output, steps
from segrec.evaluation import measure_bundle
from serving.bundles import newest_bundle

_STYLES = {WORSE: "bold red", UNDECIDED: "yellow"}


def eval_gate(
    new: Annotated[Path, typer.Argument(exists=True, help="A bundle, a folder of bundles, or a Parquet file of results per customer.")],
    old: Annotated[Path, typer.Argument(exists=True, help="What it would replace; the same kinds.")],
    policy: Annotated[Path, typer.Option(exists=True, dir_okay=False, help="TOML file of what is protected; see docs/gate.md.")],
    data: Annotated[Path, typer.Option("--data", help="Folder of the imported shop that bundles are measured on.")] = Path("shops/shop"),
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say whether the new is worse than the old on any protected metric and slice by more than its margin; exit 1 when it is.

    Example: segrec eval gate bundles/new bundles/old --policy gate.toml --data shops/mine
    """
    try:
        read = load_policy(policy)
    except ConfigError as error:
        raise typer.BadParameter(str(error)) from error
    sides = [newest_bundle(path) if path.is_dir() else path for path in (new, old)]
    dataset = Dataset.load(data) if any(side.is_dir() for side in sides) else None
    result = judge(sides[0], sides[1], read, dataset)
    if as_json:
        about = _about(sides, policy, read, None if dataset is None else of_shop(dataset, data))
        content = {"new": str(sides[0]), "old": str(sides[1]), **_content(result), "about": about}
        print(json.dumps(without_nan(content), ensure_ascii=False, allow_nan=False, indent=2))
    else:
        output().print(gate_table(result))
        output().print(headline(result), soft_wrap=True)
    raise typer.Exit(1 if result.failed else 0)


def judge(new: Path, old: Path, policy: GatePolicy, dataset: Dataset | None) -> GateResult:
    """Measure or read both sides, each a bundle or a Parquet file, and judge them.

    dataset: the shop that bundles are measured on; None = neither side is one

    Raises:
        DataError: the two cannot be compared, or lack what the policy protects.
    """
    loaded = {path: Bundle.load(path) for path in (new, old) if path.is_dir()}
    measured = {} if dataset is None else _measured(loaded, old if old in loaded else new, policy, dataset)
    sides = [measured[path] if path in measured else read_values(path) for path in (new, old)]
    try:
        return gate(sides[0], sides[1], policy)
    except ValueError as error:
        raise DataError(f"{new} cannot be judged against {old}: {error}") from error


def gate_table(result: GateResult) -> Table:
    """A row per promise and slice."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("table")
    for name in ("metric", "slice"):
        table.add_column(name, no_wrap=True)  # "history=2-4" and "history=20-49" must not be cut to the same
    for name in ("customers", "old", "new", "change", "margin", "p", "least seen", "verdict"):
        table.add_column(name, justify="right")
    for verdict in result.verdicts:
        table.add_row(*_cells(verdict))
    return table


def headline(result: GateResult) -> Text:
    """The answer, and what stands against it."""
    policy = result.policy
    at = f"at {policy.alpha:.3g} together ({policy.correction})" if policy.rule == "harm" else f"at {policy.alpha:.3g} each"
    how = f"{len(result.verdicts)} promises {at}, rule of {policy.rule}"
    undecided = sum(verdict.state == UNDECIDED for verdict in result.verdicts)
    if result.failed:
        reasons = "".join(f"\n  {_reason(verdict)}" for verdict in result.failed)
        return Text(f"FAIL: {how}{reasons}{_dropped(result)}", style="red")
    missed = "for each of them, what might have been missed is in the column 'least seen', beyond the margin"
    unsure = f"; {undecided} are undecided: {missed}" if undecided and policy.rule == "harm" else ""
    found = "nothing protected is shown to be worse by more than its margin"
    if policy.rule == "safety":
        found = "all that is protected and has a value is shown to hold within its margin"
    return Text(f"PASS: {found}; {how}{unsure}{_dropped(result)}", style="green")


def _measured(loaded: dict[Path, Bundle], reference: Path, policy: GatePolicy, dataset: Dataset) -> dict[Path, list[Measurements]]:
    """The engine of each bundle alone; what is known of items comes from the reference for both, or embeddings would differ."""
    periods = {(bundle.as_of, bundle.config.evaluation.period_days, bundle.config.data.positive_events) for bundle in loaded.values()}
    if len(periods) > 1:
        raise DataError(
            f"the bundles are to be measured on different periods or events: {' and '.join(map(str, periods))}; "
            "train both as of one time, with one evaluation.period_days and data.positive_events"
        )
    old, metrics = loaded[reference], parse_metrics(policy.metrics)
    facts = None
    if old.as_of is not None and any(metric.needs_facts for metric in metrics):
        facts = bundle_facts(old, dataset, old.as_of)
    with steps() as progress:
        return {path: measure_bundle(bundle, dataset, policy.metrics, progress, alone=True, facts=facts) for path, bundle in loaded.items()}


def _cells(verdict: Verdict) -> list[Text]:
    style = _STYLES.get(verdict.state, "")
    numbers = (verdict.old, verdict.new, verdict.difference)
    shown = [f"{verdict.n:,}", *map(_figure, numbers[:2]), _figure(numbers[2], "+"), _figure(verdict.margin)]
    shown += [_figure(verdict.p), _figure(verdict.detectable)]
    return [Text(verdict.table), Text(verdict.metric), Text(verdict.slice), *map(Text, shown), Text(verdict.state, style=style)]


def _figure(number: float, sign: str = "") -> str:
    return "-" if np.isnan(number) else f"{number:{sign}.4f}"


def _dropped(result: GateResult) -> str:
    """What the new has no value for, where the old has; it may hide whom the new harms."""
    lines = [verdict for verdict in result.verdicts if verdict.n_dropped]
    return "".join(f"\n  {_what(verdict)}: {verdict.n_dropped:,} queries are not judged, the new has no value there" for verdict in lines)


def _what(verdict: Verdict) -> str:
    return f"{verdict.metric} of {verdict.slice!r} in {verdict.table!r}"


def _reason(verdict: Verdict) -> str:
    share = f" ({verdict.difference / verdict.old:+.1%})" if verdict.n and verdict.old else ""
    moved = f"{_figure(verdict.old)} -> {_figure(verdict.new)}, {_figure(verdict.difference, '+')}{share}"
    change = f"{moved}, margin {_figure(verdict.margin)}, p {_figure(verdict.p)}"
    return f"{_what(verdict)} is {'worse' if verdict.state == WORSE else 'not shown to hold'}: {change}, {verdict.n:,} customers"


def _about(sides: Sequence[Path], policy: Path, read: GatePolicy, shop: Mapping[str, Any] | None) -> dict[str, Any]:
    """What is needed to judge the same again; shop: None = both sides are files of results."""
    bundles = {str(side): read_manifest(side) for side in sides if side.is_dir()}
    periods = {name: manifest["config"]["evaluation"]["period_days"] for name, manifest in bundles.items()}
    return {
        **made_by(),
        "data": shop,
        "split": {"kind": "time", "cuts": {name: manifest["as_of"] for name, manifest in bundles.items()}, "days": periods},
        "protocol": {"metrics": read.metrics, **{name: PROTOCOL[name] for name in ("queries", "relevant", "lists")}},
        "bundles": {name: manifest["version"] for name, manifest in bundles.items()},
        "files": {str(path): sha256(path) for path in (policy, *sides) if path.is_file()},
        "seed": read.seed,
    }


def _content(result: GateResult) -> dict[str, object]:
    return {
        "passed": not result.failed,
        "policy": result.policy.model_dump(mode="json"),
        "verdicts": [asdict(verdict) for verdict in result.verdicts],
    }
