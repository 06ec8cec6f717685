"""Nothing later than their time changes profiles, their reasons or what customers are said to feel: shops of random histories and texts."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from lines import at, load_shop

from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.training.customers import purchases, writings_of
from segmentation.model import fit_segmentation
from segmentation.profile import CustomerProfile
from segmentation.reading import VoiceModel, fit_voice
from segmentation.voice_settings import VoiceSettings

FIT, AS_OF, END = 60.0, 80.0, 100.0
"""Days: what reads texts and segments are fitted, profiles are made, and the data end."""
N_CUSTOMERS, N_ITEMS = 14, 6
GOOD, BAD = ("lovely tea, fast delivery", "great taste and a fine box"), ("broken box, slow delivery", "awful taste, want my money back")

Row = dict[str, Any]


class WordReader:
    """Embeds a text as the sum of random directions of its words."""

    classes: Mapping[str, tuple[str, ...]] = {}

    def encode(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        rows = np.array([sum((_direction(word) for word in text.split()), np.full(8, 1e-3)) for text in texts]).reshape(len(texts), 8)
        return (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)

    def classify(self, texts: Sequence[str]) -> dict[str, np.ndarray[Any, np.dtype[np.float32]]]:
        return {}


def _direction(word: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.random.default_rng(list(word.encode())).standard_normal(8)


days = st.floats(0, END, exclude_max=True).map(lambda day: round(day, 3))
customers, items = st.integers(0, N_CUSTOMERS - 1), st.integers(0, N_ITEMS - 1)
lines = st.fixed_dictionaries(
    {
        "customer": customers,
        "day": days,
        "item": items,
        "value": st.one_of(st.none(), st.floats(-20, 200, width=32)),
        "basket": st.integers(0, 3),
    }
)
texts = st.fixed_dictionaries(
    {
        "customer": customers,
        "day": days,
        "item": items,
        "text": st.sampled_from([*GOOD, *BAD, ""]),
        "rating": st.sampled_from([None, 1.0, 5.0]),
    }
)


def base() -> tuple[list[Row], list[Row]]:
    """What every shop has: each customer buys now and then, and writes, before the fit."""
    bought = [
        {
            "customer": customer,
            "day": day + customer / 50,
            "item": 2 * (customer % 2) + visit % 2,
            "value": 3.0,
            "basket": visit,
        }
        for customer in range(N_CUSTOMERS)
        for visit, day in enumerate(range(customer % 5, int(FIT), 6))
    ]
    wrote = []
    for number, row in enumerate(bought):
        text, rating = (GOOD[number // 3 % 2], 5.0) if number % 3 else (BAD[number // 3 % 2], 1.0)
        told = {"text": f"{_chatter(2 * number)}. {text}. {_chatter(2 * number + 1)}.", "rating": rating}
        wrote.append({"customer": row["customer"], "day": row["day"], "item": row["item"], **told})
    return bought, wrote


def _chatter(number: int) -> str:
    """Words of no meaning, so that few texts begin or end alike."""
    return "".join(np.random.default_rng(number).choice(list("abdefgilmnoprstu    "), 40))


def changed(row: Row) -> Row:
    """Another line or text in its place: of somebody new, of something new, dearer, and in other words."""
    worse = {"customer": "anew", "item": "anew", "value": 1e6} if "value" in row else {"text": "awful lovely new words", "rating": 3.0}
    return {**row, **worse}


def load(folder: Path, bought: list[Row], wrote: list[Row]) -> Dataset:
    """A shop of these rows; texts without stars are messages."""
    rows = [
        {
            "customer_id": f"c{row['customer']}",
            "item_id": f"i{row['item']}",
            "day": row["day"],
            "value": row["value"],
            "basket_id": f"b{row['customer']}-{int(row['day'])}-{row['basket']}",
        }
        for row in bought
    ]
    names = [*(["anew"] if any(row["item"] == "anew" for row in bought) else []), *range(N_ITEMS)]  # the new one comes first: others move
    catalogue = [{"item_id": f"i{name}", "title": f"thing {name}", "category": [f"kind {str(name)[:1]}"]} for name in names]
    dataset = load_shop(folder, rows, catalogue)
    stars = {"item_id": pa.string(), "rating": pa.float64()}
    _write(folder / "reviews.parquet", [row for row in wrote if row["rating"] is not None], stars)
    _write(folder / "messages.parquet", [row for row in wrote if row["rating"] is None], {})
    return dataset


def _write(path: Path, rows: list[Row], more: dict[str, pa.DataType]) -> None:
    columns = {
        "customer_id": pa.array([f"c{row['customer']}" for row in rows], pa.string()),
        "text": pa.array([row["text"] for row in rows], pa.string()),
        "event_time": pa.array([at(row["day"]).item() for row in rows], pa.timestamp("us", "UTC")),
    }
    own = {"item_id": [f"i{row['item']}" for row in rows], "rating": [row["rating"] for row in rows]}
    pq.write_table(pa.table(columns | {name: pa.array(own[name], kind) for name, kind in more.items()}), path)


def profiles_as_of(dataset: Dataset) -> dict[str, CustomerProfile]:
    """Everybody's profile, by everything fitted and assigned anew from this shop."""
    config, reader, seen, known = Config(), WordReader(), dataset.before(at(FIT)), dataset.before(at(AS_OF))
    how = VoiceSettings(min_texts_per_aspect=3)
    voice: VoiceModel = fit_voice(
        writings_of(seen), at(FIT), reader, how, model=None, cache=None, seed=1, n_threads=1, progress=lambda *_: None
    )
    model = fit_segmentation(purchases(seen, config), len(seen.customers), at(FIT), 2, (0.5, 0.8), 14.0, 1, 1)
    voices = voice.read(writings_of(known), len(known.customers), at(AS_OF), reader)
    found = model.assign(purchases(known, config), len(known.customers), at(AS_OF), voices=voices)
    profiles = ((id_, found.profile(number, id_)) for number, id_ in enumerate(known.customers.ids))
    return {id_: profile for id_, profile in profiles if profile is not None}


@settings(max_examples=6, deadline=None, phases=[Phase.generate], suppress_health_check=[HealthCheck.too_slow])  # to shrink takes minutes
@given(st.lists(lines, max_size=30), st.lists(texts, max_size=15))
def test_profiles_do_not_know_what_comes_after_their_time(bought: list[Row], wrote: list[Row]) -> None:
    always_bought, always_wrote = base()
    late = {"customer": 0, "day": AS_OF, "item": 1, "value": 50.0, "basket": 9}  # at the very time, and so not before it
    bought, wrote = [*always_bought, *bought, late], [*always_wrote, *wrote]

    def shop(folder: Path, keep: Any) -> Dataset:
        return load(folder, [new for row in bought if (new := keep(row))], [new for row in wrote if (new := keep(row))])

    with tempfile.TemporaryDirectory() as folder:
        whole = profiles_as_of(shop(Path(folder, "whole"), lambda row: row))
        ended = profiles_as_of(shop(Path(folder, "ended"), lambda row: row if row["day"] < AS_OF else None))
        other = profiles_as_of(shop(Path(folder, "other"), lambda row: row if row["day"] < AS_OF else changed(row)))
    assert len(whole) == N_CUSTOMERS
    assert repr(whole) == repr(ended) == repr(other)  # the shortest digits that give the same float, and NaN is like NaN


def test_these_shops_have_segments_moods_and_needs(tmp_path: Path) -> None:
    found = profiles_as_of(load(tmp_path, *base())).values()
    assert all(profile.voice and profile.voice.mood and profile.voice.needs for profile in found)
    assert {profile.segment for profile in found} == {"s0", "s1"}
    assert {reason.code for profile in found for reason in profile.reasons} >= {"bought_topic", "below_cut", "last_order"}
