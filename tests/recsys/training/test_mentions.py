"""What reviewers mention of items: true of several of them, telling, kind, as of a time, and without a trace of a person."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lines import at, load_shop

from recsys.bundle import FORMAT, MANIFEST, MENTIONS, Bundle, manifest_sha256, sha256
from recsys.config import Config
from recsys.data.dataset import Dataset
from recsys.data.reviews import read_reviews
from recsys.ranking.mentions import Mentions
from recsys.training.mentions import MAX_TERMS, MIN_REVIEWERS, fit_mentions, mentions_part
from recsys.training.quoting import LENGTH, Quotable
from recsys.training.runner import Runner
from recsys.training.stages import Stages
from recsys.types import Mention, aware

ROOT = Path(__file__).parents[3]
N_CUSTOMERS, N_ITEMS = 30, 12
END = at(90)
HANDLES, LIDS = (0, 1, 2), (3, 4, 5)
"""Items whose reviewers speak of a handle, of a lid."""

Review: TypeAlias = tuple[str, str, str, float | None, float | None]
"""Customer, item, text, day (None = undated), stars."""


def usual(n_speaking: int = 4) -> list[Review]:
    """Every item has ten reviews; of six items, so many speak of a part of it."""
    reviews: list[Review] = []
    for item in range(N_ITEMS):
        for number in range(10):
            said = "Bought it in spring, and my sister wants one"
            if number < n_speaking and item in HANDLES:
                said = "The handle is wonderful, and it fits"
            elif number < n_speaking and item in LIDS:
                said = "The lid is great, and it fits"
            reviews.append((f"c{(item + number) % N_CUSTOMERS}", f"i{item}", said, float(number), 5.0))
    return reviews


def write(folder: Path, reviews: list[Review]) -> None:
    customers, items, texts, days, stars = zip(*reviews, strict=True)
    times = pa.array([None if day is None else at(day).item() for day in days], pa.timestamp("us", "UTC"))
    ratings = pa.array(stars, pa.float64())
    columns = {"customer_id": customers, "item_id": items, "text": texts, "rating": ratings, "event_time": times}
    pq.write_table(pa.table(columns), folder / "reviews.parquet")


@pytest.fixture
def shop(tmp_path: Path) -> Dataset:
    """Twelve mugs of which everybody bought one."""
    lines = [{"customer_id": f"c{customer}", "item_id": f"i{customer % N_ITEMS}", "day": 1 + customer} for customer in range(N_CUSTOMERS)]
    return load_shop(tmp_path / "shop", lines, [{"item_id": f"i{item}", "title": f"Mug {item}"} for item in range(N_ITEMS)])


def fitted(shop: Dataset, reviews: list[Review]) -> Mentions:
    write(shop.folder, reviews)
    known = shop.before(END)
    return fit_mentions(known, read_reviews(known))


def terms(mentions: Mentions) -> dict[int, list[str]]:
    return {item: [mentions.terms[code] for code in own] for item in range(N_ITEMS) if len(own := mentions.terms_of(item))}


def contents(mentions: Mentions) -> dict[str, Any]:
    return {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in vars(mentions).items()}


def test_what_several_reviewers_say_of_an_item_and_not_of_others_is_kept(shop: Dataset) -> None:
    found = fitted(shop, usual())
    assert terms(found) == {item: ["handle" if item in HANDLES else "lid"] for item in (*HANDLES, *LIDS)}
    row = found.shared(0, 2)
    assert row is not None
    assert found.term(row) == "handle"
    assert found.mention(row) == Mention("The handle is wonderful", aware(at(3)), 4)
    assert found.shared(0, 3) is None
    assert found.shared(0, 11) is None


def test_one_reviewer_is_not_several_however_much_he_writes(shop: Dataset) -> None:
    reviews = [("c7", *review[1:]) if "handle" in review[2] else review for review in usual()]
    assert set(terms(fitted(shop, reviews))) == set(LIDS)


def test_what_is_said_of_everything_tells_nothing(shop: Dataset) -> None:
    reviews = [(customer, item, "The handle is wonderful, and it fits", day, stars) for customer, item, _, day, stars in usual()]
    assert terms(fitted(shop, reviews)) == {}


def test_a_term_of_one_item_alone_is_not_kept_for_a_reason_names_two(shop: Dataset) -> None:
    reviews = [review for review in usual() if "handle" not in review[2] or review[1] == "i0"]
    assert set(terms(fitted(shop, reviews))) == set(LIDS)


def test_what_the_shop_itself_calls_the_item_is_no_news(shop: Dataset) -> None:
    titles = pa.array([f"Mug with handles {item}" if item == 0 else f"Mug {item}" for item in range(N_ITEMS)])
    items = pq.read_table(shop.folder / "items.parquet")
    pq.write_table(items.set_column(items.column_names.index("title"), "title", titles), shop.folder / "items.parquet")
    assert 0 not in terms(fitted(Dataset.load(shop.folder), usual()))


def test_complaints_are_not_read_and_reviews_without_stars_are(shop: Dataset) -> None:
    def starred(stars: float | None) -> list[Review]:
        return [(*review[:4], stars) if "handle" in review[2] else review for review in usual()]

    assert set(terms(fitted(shop, starred(3.0)))) == set(LIDS)
    assert set(terms(fitted(shop, starred(None)))) == {*HANDLES, *LIDS}


def test_the_review_with_most_stars_is_quoted_and_of_equals_the_latest(shop: Dataset) -> None:
    reviews = usual()
    reviews[1] = (*reviews[1][:2], "The handle is lovely", 1.0, 5.0)
    reviews = [(*review[:4], 4.0) if review[1] == "i0" and review[3] != 1.0 else review for review in reviews]
    found = fitted(shop, reviews)
    assert found.mention(0) == Mention("The handle is lovely", aware(at(1)), 4)
    assert found.mention(1).time == aware(at(3))


def test_chinese_is_read(shop: Dataset) -> None:
    said = ["手柄很好\uff0c很喜欢", "这手柄太棒了", "拿着手柄挺舒服", "颜色漂亮手柄也好"]
    else_said = "春天买来送给妹妹她也想再要放在家里用着"

    def in_chinese(text: str, day: float | None) -> str:
        return said[int(day or 0)] if "handle" in text else else_said if "spring" in text else text

    found = fitted(shop, [(*review[:2], in_chinese(*review[2:4]), *review[3:]) for review in usual()])
    assert terms(found) == {item: ["手柄" if item in HANDLES else "lid"] for item in (*HANDLES, *LIDS)}
    assert all("手柄" in found.mention(row).quote for row in range(len(found.codes)) if found.term(row) == "手柄")


def test_what_is_written_later_or_without_a_date_changes_nothing(shop: Dataset) -> None:
    before = contents(fitted(shop, usual()))
    later: list[Review] = [(f"c{number}", f"i{item}", "The lid is great", 90.0 + number, 5.0) for item in range(12) for number in range(6)]
    undated: list[Review] = [(f"c{number}", "i0", "The spout is great", None, 5.0) for number in range(6)]
    assert contents(fitted(shop, [*later, *usual(), *undated])) == before


def test_whoever_was_not_seen_by_then_does_not_count(shop: Dataset) -> None:
    reviews = [(f"stranger-{number}", *review[1:]) if "handle" in review[2] else review for number, review in enumerate(usual())]
    assert set(terms(fitted(shop, reviews))) == set(LIDS)


def test_no_item_has_more_than_it_may_and_every_row_keeps_its_promises(shop: Dataset) -> None:
    parts = [f"{a}{b}" for a in ("spout", "rim", "foot", "wall") for b in ("ring", "band", "edge", "line")]
    more: list[Review] = [
        (f"c{number}", f"i{item}", ". ".join(f"The {part} is wonderful" for part in parts), 20.0 + number, 5.0)
        for item in (0, 1)
        for number in range(4)
    ]
    found = fitted(shop, [*usual(), *more])
    assert max(np.diff(found.offsets)) == MAX_TERMS
    for item in range(N_ITEMS):
        for row in range(found.offsets[item], found.offsets[item + 1]):
            told = found.mention(row)
            assert told.n_reviewers >= MIN_REVIEWERS
            assert found.term(row) in told.quote.casefold()
            assert LENGTH[0] <= len(told.quote) <= LENGTH[1]


def test_a_part_says_the_same_after_save_and_load(shop: Dataset, tmp_path: Path) -> None:
    found = fitted(shop, usual())
    found.save(tmp_path / "part")
    loaded = Mentions.load(tmp_path / "part")
    assert contents(loaded) == contents(found)
    assert loaded.mention(0) == found.mention(0)


def test_the_part_is_a_stage_and_a_shop_without_reviews_has_none(shop: Dataset, tmp_path: Path) -> None:
    runner = Runner(Config(), Stages(tmp_path / "work"))
    assert mentions_part(runner, shop.before(END)) is None
    assert not (tmp_path / "work").exists()
    write(shop.folder, usual())
    folder = mentions_part(runner, shop.before(END))
    assert folder is not None
    assert terms(Mentions.load(folder)) == terms(fitted(shop, usual()))
    assert mentions_part(runner, shop.before(at(0))) is None


# What may be quoted

QUOTABLE = Quotable(["the handle is wonderful for a mark", "their handle has a mark", "great grip"] * 2, ["Acme mug", "Rill"])


@pytest.mark.parametrize(
    ("clause", "quote"),
    [
        ("The handle is wonderful,", "The handle is wonderful"),
        ("and the handle is wonderful", "the handle is wonderful"),
        ("a wonderful handle for 12 mugs", "a wonderful handle for 12 mugs"),
        ("the Acme handle is wonderful", "the Acme handle is wonderful"),  # the shop's own word
        ("the handle is there", None),  # nothing is said of it
        ("the handle isn't wonderful", None),
        ("the handle is not wonderful", None),
        ("wonderful handle", "wonderful handle"),
        ("good handle", None),  # too short
        ("because the handle is wonderful", None),
        ("the handle is wonderful for 139 0000", None),
        ("the handle is wonderful for $9", None),
        ("the handle (is wonderful", None),
        ("the handle is wonderful for Zelda", None),
        ("Zelda loves the handle", None),
        ("the handle is wonderful for Mark", None),  # a word as well, in small letters
        ("c42 says the handle is wonderful", None),
        ("the handle is wonderful" + " for the mug" * 12, None),
        ("wonderful as it may seem to me at first the handle", None),  # what is wonderful is far from it
    ],
)
def test_a_clause_is_quoted_only_where_it_is_short_whole_kind_and_of_nobody(clause: str, quote: str | None) -> None:
    assert QUOTABLE.quote(clause, ("handle",), "c42") == quote


@pytest.mark.parametrize(
    ("clause", "is_told"), [("这个手柄真的很舒服", True), ("手柄不舒服一点", False), ("手柄不错挺喜欢", True), ("手柄挺好", False)]
)
def test_the_same_in_chinese(clause: str, is_told: bool) -> None:
    assert (QUOTABLE.quote(clause, ("手", "柄"), "c42") is not None) == is_told


@pytest.mark.parametrize("private", ["write to zelda@example.com", "call 138 0013 8000", "my card is 4111 1111 1111 1111"])
def test_a_review_with_personal_data_is_never_quoted(shop: Dataset, private: str) -> None:
    reviews = [(*review[:2], f"{review[2]}. Questions, {private}", *review[3:]) if "handle" in review[2] else review for review in usual()]
    assert set(terms(fitted(shop, reviews))) == set(LIDS)
    reviews[1] = usual()[1]
    assert fitted(shop, [*reviews[:1], *usual()[1:]]).mention(0).time == aware(at(3))


# In a bundle


def test_a_bundle_with_the_part_loads_and_answers_without_a_training_library(small_bundle: Path, tmp_path: Path) -> None:
    rows = np.arange(64)
    quotes = [f"the glaze is wonderful, {row}".encode() for row in rows]
    times = np.full(64, at(1))
    mentions = Mentions(
        ("glaze",), np.arange(65), np.zeros(64, np.int32), np.full(64, 3, np.int32), times, np.cumsum([*map(len, quotes)]),
        np.frombuffer(b"".join(quotes), np.uint8),
    )  # fmt: skip
    folder = with_part(small_bundle, mentions, tmp_path / "bundle")
    script = f"""
import datetime, sys
from pathlib import Path
from recsys.bundle import Bundle
from recsys.engine import Engine, Snapshot
from recsys.types import Query
bundle = Bundle.load(Path({str(folder)!r}))
now = datetime.datetime(2024, 7, 1, tzinfo=datetime.UTC)
queries = [Query(k=10, time=now, customer_id=f"c{{n}}", explain=True, strategy=name) for n in range(40) for name in ("home", "discovery")]
answers = Engine(bundle).recommend_many(queries, Snapshot.of(bundle))
told = [(item, reason) for answer in answers for item in answer.items for reason in item.reasons if reason.mention]
number = bundle.catalogue.items.number
assert all(reason.name == "glaze" and reason.mention.quote.endswith(f", {{number(item.item_id)}}") for item, reason in told)
assert told and not any(answer.trace.degraded for answer in answers), len(told)
heavy = [name for name in ("torch", "transformers", "pandas", "implicit", "scipy") if name in sys.modules]
sys.exit(", ".join(heavy) or None)
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def with_part(bundle: Path, mentions: Mentions, target: Path) -> Path:
    """A bundle with one more part."""
    shutil.copytree(bundle, target)
    mentions.save(target / MENTIONS)
    manifest = json.loads((target / MANIFEST).read_text())
    assert manifest["format"] == FORMAT
    for path in sorted((target / MENTIONS).iterdir()):
        manifest["files"][path.relative_to(target).as_posix()] = {"sha256": sha256(path), "bytes": path.stat().st_size}
    manifest["sha256"] = manifest_sha256(manifest)
    (target / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
    return target


def test_a_bundle_without_the_part_never_mentions(loaded_bundle: Bundle) -> None:
    assert loaded_bundle.mentions is None
