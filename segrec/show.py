"""Recommendations and bundles as a person reads them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, TypeAlias

import numpy as np
from rich import box
from rich.table import Table
from rich.text import Text

from recsys.data.report import ImportReport
from recsys.types import Reason, ReasonCode, Recommendation, Trace
from segrec.segment_voice import voice_lines

REASONS = {
    ReasonCode.BOUGHT_BEFORE: "bought before",
    ReasonCode.BOUGHT_TOGETHER: "bought together",
    ReasonCode.SIMILAR_TEXT: "similar",
    ReasonCode.SIMILAR_CUSTOMERS: "customers alike",
    ReasonCode.POPULAR: "popular",
    ReasonCode.POPULAR_IN_SEGMENT: "popular in segment",
    ReasonCode.PINNED: "pinned",
    ReasonCode.LAST_RESORT: "last resort",
    ReasonCode.BOUGHT_AGAIN: "often bought again",
    ReasonCode.SAME_BRAND: "from a brand bought before",
    ReasonCode.SAME_CATEGORY: "from a category bought before",
    ReasonCode.USUAL_PRICE: "at the usual price in",
    ReasonCode.OFTEN_NEXT: "often next",
    ReasonCode.MENTIONED: "customers mention",
}
CHOICE = re.compile(r"Literal\[([^\]]*)\]")
N_SHIFTED = 5
N_REASONS = 3
N_LETTERS = 10


Row: TypeAlias = tuple[int, float | None, str, Sequence[str], Sequence[str], Sequence[str]]
"""A line of an answer: rank, probability (None = nobody can tell), text, sources, reasons, rules that acted on it."""


def recommendation_table(title: str, rows: Sequence[Row]) -> Table:
    """An answer's lines; columns of probabilities and of rules only where there are any."""
    with_chances, with_rules = any(row[1] is not None for row in rows), any(rules for *_, rules in rows)
    table = Table(title=Text(title), title_justify="left", box=box.SIMPLE_HEAD, expand=True)
    table.add_column("#", justify="right")
    table.add_column("item", ratio=4)
    if with_chances:
        table.add_column("chance", justify="right")
    table.add_column("sources", ratio=3)
    table.add_column("why", ratio=4)
    if with_rules:
        table.add_column("rules", ratio=2)
    for rank, chance, text, sources, reasons, rules in rows:
        chances = [Text("" if chance is None else f"{chance:.1%}")] if with_chances else []
        acted = [Text(", ".join(rules))] if with_rules else []
        table.add_row(str(rank), Text(text), *chances, Text(", ".join(sources)), Text("; ".join(reasons)), *acted)
    return table


def reason_text(code: str, because: str | None, name: str | None, titles: Mapping[str, str], mention: tuple[int, str] | None = None) -> str:
    """One reason in words, with the title of the item, or the name, that it rests on. mention: by how many reviewers, and a quote"""
    words = REASONS[ReasonCode(code)]
    if mention is not None and because is not None:
        n, quote = mention
        return f"{n} {words} {name}, as they do of {titles.get(because) or because}: \u201c{quote}\u201d"
    evidence = name if because is None else titles.get(because) or because
    return words if evidence is None else f"{words}: {evidence}"


def rules_table(answer: Recommendation) -> Table | None:
    """What every rule of the strategy did to a list; None where the strategy has no rules."""
    if not answer.trace.rules:
        return None
    table = Table(title=f"rules of strategy {answer.trace.strategy}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("rule", "acted on, of the list", "left out"):
        table.add_column(heading, justify="left" if heading == "rule" else "right")
    for effect in answer.trace.rules:
        table.add_row(Text(effect.rule), str(effect.shown), str(effect.left_out))
    return table


def rows_of(answer: Recommendation, titles: Mapping[str, str]) -> list[Row]:
    """Lines of an answer for `recommendation_table`, with the strongest reasons."""

    def why(reason: Reason, item_id: str) -> str:
        because = None if reason.because_item_id == item_id else reason.because_item_id  # an item need not name itself
        name = _group_name(reason.name, answer.trace) if reason.code is ReasonCode.POPULAR_IN_SEGMENT else reason.name
        mention = None if reason.mention is None else (reason.mention.n_reviewers, reason.mention.quote)
        return reason_text(reason.code, because, name, titles, mention)

    return [
        (
            item.rank,
            item.probability,
            f"{titles[item.item_id]} ({item.item_id})",
            item.sources,
            [why(reason, item.item_id) for reason in item.reasons[:N_REASONS]],
            item.rules,
        )
        for item in answer.items
    ]


def _group_name(name: str | None, trace: Trace) -> str | None:
    """What the customer's segment or tier is called; None = which it was is not told."""
    return {trace.segment: trace.segment_name, trace.tier: f"customers of tier {trace.tier}"}.get(name) if name is not None else None


def headline(answer: Recommendation) -> str:
    """Who asked, how the engine sees them, and which strategy answered."""
    trace, who = answer.trace, answer.query.customer_id or "guest"
    if answer.query.customer_id and not trace.is_known_customer:
        who += " (nothing is known of this customer, so answered like a guest)"
    seen = "" if trace.segment is None else f", segment {trace.segment} {trace.segment_name}, tier {trace.tier}, {trace.stage}"
    left_out = f", left out: {'; '.join(trace.degraded)}" if trace.degraded else ""
    return f"{who}{seen}, strategy {trace.strategy}{left_out}"


def recommendation_json(answer: Recommendation, names: Sequence[str]) -> dict[str, Any]:
    """An answer as plain JSON values; features only where a ranker ran."""
    items = [asdict(item) for item in answer.items]
    for mention in (reason["mention"] for item in items for reason in item["reasons"]):
        if mention is not None:
            mention["time"] = mention["time"].isoformat()
    if answer.features.shape[1]:
        for item, row in zip(items, answer.features, strict=True):
            item["features"] = {name: None if np.isnan(value) else round(float(value), 6) for name, value in zip(names, row, strict=True)}
    return {"request_id": answer.query.request_id, "items": items, **asdict(answer.trace)}


def explain_tables(
    answer: Recommendation, names: Sequence[str], stages: Sequence[tuple[str, float]], titles: Mapping[str, str]
) -> list[Table]:
    """Time of each stage, and the features of each item."""
    times = Table(title="time of each stage", title_justify="left", box=box.SIMPLE_HEAD)
    times.add_column("stage")
    times.add_column("ms", justify="right")
    for stage, milliseconds in [*stages, ("all", sum(part for _, part in stages))]:
        times.add_row(stage, f"{milliseconds:.2f}")
    if not answer.features.shape[1]:
        return [times]
    features = Table(title="features of each item (a dot: not defined)", title_justify="left", box=box.SIMPLE_HEAD)
    features.add_column("feature")
    for item in answer.items:
        features.add_column(Text(f"{item.rank} {titles[item.item_id][:N_LETTERS]}".strip()), justify="right")
    for column, name in enumerate(names):
        features.add_row(name, *(("." if np.isnan(value) else f"{value:.3g}") for value in answer.features[:, column]))
    return [times, features]


def manifest_tables(manifest: Mapping[str, Any]) -> list[Table]:
    """What is in a bundle: data, sizes, versions, metrics of its twin, shifted features."""
    return [_facts(manifest), _segments(manifest), _files(manifest), _indexes(manifest), *_metrics(manifest), _shift(manifest)]


def _facts(manifest: Mapping[str, Any]) -> Table:
    table = Table(title=f"bundle {manifest['version']}", title_justify="left", box=box.SIMPLE_HEAD, show_header=False)
    data = manifest["data"]
    table.add_row("knows everything before", str(manifest["as_of"]))
    table.add_row("data", f"{data['interactions']:,} interactions of {data['customers']:,} customers with {data['items']:,} items")
    table.add_row("events", f"{data['first_event']} to {data['last_event']}")
    table.add_row("data fingerprint", data["fingerprint"][:16])
    table.add_row("texts", _reading(manifest))
    table.add_row("language model", _language_model(manifest))
    for line in () if manifest.get("voice") is None else voice_lines(manifest["voice"]):
        table.add_row("what customers write", Text(line))
    table.add_row("sources", ", ".join(manifest["config"]["sources"]))
    table.add_row("strategies", ", ".join(manifest["config"]["strategies"]))
    table.add_row("made by", ", ".join(f"{name} {value[:12]}" for name, value in manifest["provenance"].items()))
    table.add_row("libraries", ", ".join(f"{name} {value}" for name, value in manifest["libraries"].items()))
    return table


def _reading(manifest: Mapping[str, Any]) -> str:
    """Which BERT read the texts, what it learnt, and what reviews weigh."""
    texts = manifest["texts"]
    weights, report = texts["review_weights"], texts["finetuning"]
    said = f"read by {manifest['config']['text']['trunk']}"
    if report is not None:
        recalls = report["Recall@20"]
        learnt = f": Recall@20 on validation {_short(recalls[0])} untuned, {_short(max(recalls))} tuned" if recalls else ""
        said += f", fine-tuned in {report['best_step']} steps{learnt}"
    return f"{said}; reviews weigh {weights['item']:g} in items, {weights['customer']:g} in customers"


def _language_model(manifest: Mapping[str, Any]) -> str:
    """Which model labelled texts and named segments, and what is missing."""
    said = manifest["language_model"]
    if said is None:
        return "none: segments are named by their terms"
    unnamed = f"; named by their terms: {', '.join(said['named_by_terms'])}" if said["named_by_terms"] else ""
    missing = (
        "" if said["is_complete"] else "; it did not answer everything: what rests on it is degraded, and the next training asks again"
    )
    return f"{said['model']}{unnamed}{missing}"


def _segments(manifest: Mapping[str, Any]) -> Table:
    """Every segment and what became of those of the former bundle; below, how many customers changed theirs."""
    segments = manifest["segments"]
    moves = [
        f"{move['changed_share']:.1%} changed since the {move['since']}" for move in segments["moves"] if move["changed_share"] is not None
    ]
    title = Text("; ".join(["segments", *moves]))
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title))
    for heading in ("id", "name", "in the former bundle"):
        table.add_column(heading)
    for id_, name in segments["names"].items():
        table.add_row(id_, Text(name), _came_from(id_, segments["succession"]))
    for id_ in () if segments["succession"] is None else segments["succession"]["retired"]:
        table.add_row(id_, "-", "ended here")
    return table


def _came_from(id_: str, succession: Mapping[str, Any] | None) -> str:
    if succession is None:
        return "-"
    if id_ in succession["new"]:
        return "new"
    stayed = next((move["share"] for move in succession["moves"] if move["before"] == move["after"] == id_), 0.0)
    return f"the same; {stayed:.0%} of its customers stayed"


def _files(manifest: Mapping[str, Any]) -> Table:
    table = Table(title="parts (all checksums hold)", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("part", "files", "MiB"):
        table.add_column(heading, justify="left" if heading == "part" else "right")
    parts: dict[str, list[int]] = {}
    for name, entry in manifest["files"].items():
        pieces = name.split("/")
        parts.setdefault("/".join(pieces[: 2 if pieces[0] in ("sources", "rankers") else 1]), []).append(entry["bytes"])
    for part, sizes in parts.items():
        table.add_row(part, str(len(sizes)), f"{sum(sizes) / 2**20:.1f}")
    return table


def _indexes(manifest: Mapping[str, Any]) -> Table:
    """How the vectors of each part are searched, and why so."""
    table = Table(title="vector indexes", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("part", "recall of 200, at least", "kind, and why"):
        table.add_column(heading)
    for part, facts in manifest["indexes"].items():
        table.add_row(part, f"{facts['stated_recall']:.3f}", Text(facts["why"]))
    return table


def _metrics(manifest: Mapping[str, Any]) -> list[Table]:
    """Per kind of measurement a row per system: every metric over all customers, then the first metric in each slice."""
    metrics = manifest["metrics"]
    tables = []
    for title, figures in metrics.get("figures", {}).items():
        about, names = metrics["about"], list(dict.fromkeys(figure["metric"] for figure in figures))
        slices = list(dict.fromkeys(figure["slice"] for figure in figures))
        period = f"{about['from'][:10]} to {about['to'][:10]}"
        table = Table(title=Text(f"twin {metrics['twin']}, {title}, {period}"), title_justify="left", box=box.SIMPLE_HEAD)
        table.add_column("system")
        columns = [(name, slices[0]) for name in names] + [(names[0], slice_) for slice_ in slices[1:]]
        for name, slice_ in columns:
            table.add_column(f"{name}\n{slice_}", justify="right")
        found = {(figure["system"], figure["metric"], figure["slice"]): figure for figure in figures}
        for system in dict.fromkeys(figure["system"] for figure in figures):
            table.add_row(system, *(_figure(found.get((system, *column)), column[1] == slices[0]) for column in columns))
        tables.append(table)
    return tables


def _figure(figure: Mapping[str, Any] | None, with_interval: bool) -> str:
    if figure is None or figure["mean"] is None:
        return "-"
    interval = f" [{_short(figure['low'])}, {_short(figure['high'])}]" if with_interval and figure["low"] is not None else ""
    return f"{_short(figure['mean'])}{interval}"


def _short(share: float) -> str:
    return f"{share:.4f}".removeprefix("0")


def _shift(manifest: Mapping[str, Any]) -> Table:
    title = "features that moved most between training and refit (PSI)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, min_width=len(title))
    for heading in ("ranker", "feature", "PSI"):
        table.add_column(heading, justify="right" if heading == "PSI" else "left")
    for ranker, shifts in manifest["feature_shift"].items():
        for feature, value in sorted(shifts.items(), key=lambda pair: -pair[1])[:N_SHIFTED]:
            table.add_row(ranker, feature, f"{value:.3f}")
    return table


def report_table(report: ImportReport) -> Table:
    """What an import read, kept, dropped by rule and refused, with one example of each refusal."""
    table = Table(title=f"imported from {report.source}", title_justify="left", box=box.SIMPLE_HEAD)
    for heading in ("table", "read", "kept", "dropped or refused"):
        table.add_column(heading, justify="right" if heading in ("read", "kept") else "left")
    for name, part in report.tables.items():
        left_out = [f"{count:,} dropped: {rule}" for rule, count in part.dropped.items()]
        left_out += [
            f"{count:,} refused: {reason}, e.g. {part.refused.examples[reason][0]}" for reason, count in part.refused.counts.items()
        ]
        left_out += (
            [f"{part.stubs:,} stub item{'s' * (part.stubs > 1)} added, which other tables name and this one lacks"] if part.stubs else []
        )
        table.add_row(name, f"{part.read:,}", f"{part.kept:,}", Text("\n".join(left_out)))
    return table


def key_lines(keys: Iterable[tuple[str, str, str, str]]) -> Iterator[str]:
    """Two lines per key of (name, type, default, meaning): its default, then what it means."""
    for name, kind, default, meaning in keys:
        yield name + {"required": " (required)", "None": " (unset)"}.get(default, f" = {_toml(default)}")
        yield f"    {meaning} ({CHOICE.sub(lambda choice: choice[1].replace(', ', ' | '), kind)})"


def _toml(literal: str) -> str:
    return json.dumps(ast.literal_eval(literal)) if literal != "required" else ""
