"""The whole path on real data, for somebody who has just cloned this: import, train, measure, serve, ask."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from pathlib import Path

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from recsys.bundle import Bundle
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.importers import open_shop
from recsys.data.importing import REPORT_FILE, import_shop
from recsys.threads import limit_threads
from recsys.types import aware
from segmentation.profile import TIERS
from segrec.console import output, say, steps
from segrec.evaluation import METRICS, tables_of
from segrec.shipping import ship
from segrec.show import reason_text, recommendation_table, report_table
from serving.bundles import Bundles
from serving.pb.recsys.v1 import recommender_pb2 as pb
from serving.pb.recsys.v1.recommender_pb2_grpc import RecommenderServiceStub
from serving.server import start_server
from serving.settings import ServerSettings

K = 8


def run_demo(data: Path, out: Path) -> None:
    """Each step says what it does on stderr; recommendations and tables go to stdout. Nothing is left running."""
    console = output()
    say("[bold]1. A year of grocery purchases[/bold] (Complete Journey; its publishers call it simulated from real shopping)")
    with steps() as progress:
        if (data / REPORT_FILE).is_file():
            say(f"  {data} is there already")
        else:
            console.print(report_table(import_shop(open_shop("complete_journey"), data, progress=progress)))
        dataset = Dataset.load(data)
        say(f"[bold]2. Training[/bold] on {dataset}, and measuring a twin that ends four weeks earlier")
        shipped = ship(dataset, Config(), out, progress)
    say(f"[bold]3. Serving[/bold] {shipped.path} over gRPC, and asking it")
    _ask_server(shipped.path, console)
    say("[bold]4. How good it is[/bold]: the twin on the last 28 days, which it never saw; bold = best, in brackets 95 % intervals")
    for table in tables_of(shipped.results, METRICS):
        console.print(table)
    say(f"bundle: {shipped.path}; next: segrec serve {out}, segrec inspect {out}, segrec recommend {out} --customer ID --explain")


@dataclass(frozen=True)
class _Asker:
    """A client as a storefront would write it, with the catalogue's titles at hand."""

    stub: RecommenderServiceStub
    titles: dict[str, str]
    time: dt.datetime
    console: Console

    def show(self, title: str, **fields: object) -> None:
        """Ask and print."""
        request = pb.RecommendRequest(k=K, **fields)  # type: ignore[arg-type]  # fields of the message, by name
        query_time = Timestamp()
        query_time.FromDatetime(self.time)
        request.query_time.CopyFrom(query_time)
        answer = self.stub.Recommend(request)
        seen = (
            f", segment {answer.segment.id} {answer.segment.name}, tier {pb.Tier.Name(answer.tier)[5:].lower()}"
            if answer.segment.id
            else ""
        )
        rows = [
            (item.rank, self._chance(item), self.titles[item.item_id], item.sources, self._why(item), item.rules) for item in answer.items
        ]
        self.console.print(recommendation_table(f"{title}{seen}, strategy {answer.strategy}", rows))

    def _chance(self, item: pb.RecommendedItem) -> float | None:
        return item.probability if item.HasField("probability") else None

    def _why(self, item: pb.RecommendedItem) -> list[str]:
        return [
            reason_text(
                pb.ReasonCode.Name(reason.code)[12:].lower(),
                reason.because_item_id or None,
                reason.name or None,
                self.titles,
                (reason.mention.reviewer_count, reason.mention.quote) if reason.HasField("mention") else None,
            )
            for reason in item.reasons
        ]


def _ask_server(path: Path, console: Console) -> None:
    bundle = Bundle.load(path)
    titles = dict(zip(bundle.catalogue.items.ids, bundle.catalogue.titles, strict=True))
    server = start_server(ServerSettings(port=0), Bundles(path))
    try:
        server.reload()
        with limit_threads(1), grpc.insecure_channel(f"127.0.0.1:{server.port}") as channel:
            assert bundle.as_of is not None
            asker = _Asker(RecommenderServiceStub(channel), titles, aware(bundle.as_of), console)
            households = {tier: _household(bundle, tier) for tier in TIERS}
            for household in households.values():
                asker.show(f"household {household}", customer_id=household)
            asker.show(
                f"household {households['high']} again, only what is new to it", customer_id=households["high"], strategy="discovery"
            )
            looked_at = _popular_item(bundle)
            asker.show(f"a guest who looks at {titles[looked_at]}", context_item_ids=[looked_at], placement="product")
    finally:
        server.stop()


def _household(bundle: Bundle, tier: str) -> str:
    """The household of the tier with the median number of interactions."""
    numbers = np.flatnonzero(np.asarray(bundle.profiles.tier) == TIERS.index(tier))
    lengths = np.diff(bundle.histories.offsets)[numbers]
    return bundle.customers.ids[int(numbers[np.argsort(lengths, kind="stable")[len(numbers) // 2]])]


def _popular_item(bundle: Bundle) -> str:
    """The most bought item that may be recommended."""
    counts = np.bincount(bundle.histories.lines.items, minlength=len(bundle.catalogue)) * bundle.catalogue.recommendable
    return bundle.catalogue.items.ids[int(np.argmax(counts))]
