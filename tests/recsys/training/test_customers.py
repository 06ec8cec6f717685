"""Who the customers are, in a training: what the language model is asked, what is read of texts, and who keeps its segment."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import SMALL
from lines import at, load_shop
from trunks import write_trunk
from world import COLOURS, DAY, END, N_CUSTOMERS, N_ITEMS, START, THINGS, write_world

from recsys.bundle import MANIFEST, Bundle, read_manifest
from recsys.config import Config, parse_config
from recsys.data.dataset import Dataset
from recsys.data.vocabulary import Vocabulary
from recsys.errors import ConfigError
from recsys.text.heads import Head, Heads
from recsys.training.customers import BLOCK, ShopReader, fingerprint_of, llm_labels, writings_of
from recsys.training.former import changed_share, load_former
from recsys.training.pipeline import train
from recsys.training.runner import Asked, Runner
from segmentation.llm.cache import LabelCache
from segmentation.llm.language_model import UNREACHABLE, Answer, Answers, Prompt
from segmentation.llm.usage import Usage
from segmentation.model import SegmentationModel
from segmentation.saying import SAYING

AS_OF = END - 28 * DAY
WORDS = ("lovely", "fine", "awful")
WISHES = ("order", "unsure", "goodbye", "parcel")


class Clerk:
    """A language model that knows the words of this world. is_there: False = it cannot be reached; is_contrary: takes praise for blame."""

    def __init__(self, model: str = "clerk-1", is_there: bool = True, is_contrary: bool = False) -> None:
        self.model, self.is_there, self.is_contrary = model, is_there, is_contrary
        self.n_asked = 0

    def choose(self, prompts: Sequence[Prompt], choices: Sequence[str]) -> Answers:
        for number, prompt in enumerate(prompts):
            yield number, self._answer(choices[self._choice(prompt.text, choices)])

    def write(self, prompts: Sequence[Prompt], max_tokens: int, schema: Mapping[str, Any] | None = None) -> Answers:
        for number, prompt in enumerate(prompts):
            if schema is not None:
                yield number, self._answer('{"opinions": []}')
            else:
                first = prompt.text.partition("Set apart by: ")[2].partition(".")[0].partition(",")[0]
                yield number, self._answer(f"Friends of {first.lower()}\nThey buy {first.lower()}.")

    def _choice(self, text: str, choices: Sequence[str]) -> int:
        worst, best = ("lovely", "awful") if self.is_contrary else ("awful", "lovely")
        known = {"negative": worst, "neutral": "fine", "positive": best} | dict(
            zip(("buy", "hesitate", "leave", "other"), WISHES, strict=True)
        )
        said = [known.get(choice, "?") in text for choice in choices]
        return said.index(True) if any(said) else len(choices) - 1

    def _answer(self, text: str) -> Answer:
        self.n_asked += 1
        if not self.is_there:
            return Answer(failure=UNREACHABLE, detail="nobody there", usage=Usage(calls=1))
        return Answer(text, 0.9, usage=Usage(calls=1, tokens_in=20, tokens_out=2))


def write_texts(shop: Path, seed: int = 3, last_day: int = 170) -> None:
    """Reviews of three customers in four, and messages of half of them."""
    rng = np.random.default_rng(seed)
    n = 150
    mood, wish = rng.integers(0, 3, n), rng.integers(0, 4, n)
    times = [pa.array(START + np.sort(rng.integers(1, last_day, n)) * DAY, pa.timestamp("us", "UTC")) for _ in range(2)]
    things = [f"{COLOURS[int(colour)]} {THINGS[int(thing)]}" for colour, thing in rng.integers(0, 8, (n, 2))]
    reviews = {
        "customer_id": [f"c{customer}" for customer in rng.integers(0, 60, n)],
        "item_id": [f"i{item}" for item in rng.integers(0, N_ITEMS - 4, n)],
        "text": [f"{WORDS[m]} {thing}" for m, thing in zip(mood, things, strict=True)],
        "rating": (5.0 - 2 * mood).tolist(),
        "event_time": times[0],
    }
    messages = {
        "customer_id": [f"c{customer}" for customer in rng.integers(0, N_CUSTOMERS // 2, n)],
        "text": [f"{WISHES[w]} {thing}" for w, thing in zip(wish, things, strict=True)],
        "event_time": times[1],
    }
    pq.write_table(pa.table(reviews), shop / "reviews.parquet")
    pq.write_table(pa.table(messages), shop / "messages.parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("customers")


@pytest.fixture(scope="module")
def shop(folder: Path) -> Path:
    path = write_world(folder / "shop")
    write_texts(path)
    return path


@pytest.fixture(scope="module")
def raw(folder: Path) -> dict[str, Any]:
    words = [*(colour.lower() for colour in COLOURS), *THINGS, *WORDS, *WISHES, "drinks", "home", ";", ">"]
    trunk = write_trunk(folder / "trunk", words)
    plain: dict[str, Any] = {"sources": {"popular_segment": 30, "repurchase": 30}, "ranker": "home"}
    return {
        "training": {"n_ranking_periods": 2, "n_threads": 1, "max_queries_per_period": 20},
        "text": {"trunk": str(trunk), "max_tokens": 12, "precision": "float32"},
        "reviews": {"item_weight": 0.0, "customer_weight": 0.0},
        "segmentation": {"n_segments": 2, "voice": {"n_labelled": 60, "max_texts": 150, "max_aspects": 0}},
        "sources": dict.fromkeys(Config().sources.keys() - plain["sources"], False),
        "features": dict.fromkeys(list(Config().features)[1:], False),
        "rankers": {"home": {"train_on": "home", "n_trees": 5}, "discovery": False},
        "strategies": {"home": plain, "product": False, "discovery": False},
        "choose": [],
        "evaluation": {"discovery_strategy": None},
    }


@pytest.fixture(scope="module")
def config(raw: dict[str, Any]) -> Config:
    return parse_config(raw, "test")


@pytest.fixture(scope="module")
def clerk() -> Clerk:
    return Clerk()


@pytest.fixture(scope="module")
def understood(shop: Path, config: Config, folder: Path, clerk: Clerk) -> Path:
    """A bundle trained with a language model that is there."""
    return train(Dataset.load(shop), config, AS_OF, folder / "bundles", work=folder / "work", language_model=clerk)


# the language model


def test_a_language_model_names_segments_and_labels_texts(understood: Path, clerk: Clerk) -> None:
    manifest = read_manifest(understood)
    assert clerk.n_asked > 100
    assert all(name.startswith("Friends of ") for name in manifest["segments"]["names"].values())
    said = manifest["language_model"]
    assert (said["model"], said["is_complete"], said["named_by_terms"]) == ("clerk-1", True, [])
    assert said["naming"]["usage"]["calls"] == 2
    assert said["naming"]["usage"]["tokens_in"] == 40


def test_customers_speak_in_the_profiles(understood: Path) -> None:
    bundle = Bundle.load(understood)
    writer, silent = (bundle.profile(customer) for customer in ("c1", f"c{N_CUSTOMERS - 1}"))
    assert writer is not None
    assert writer.voice is not None
    assert writer.voice.mood is not None
    assert not writer.voice.is_degraded
    assert silent is not None
    assert silent.voice is None


@pytest.mark.parametrize(("is_contrary", "heads"), [(False, {"sentiment", "intent"}), (True, {"intent"})])
def test_labels_that_the_stars_refuse_do_not_teach_the_trunk(shop: Path, raw: dict[str, Any], is_contrary: bool, heads: set[str]) -> None:
    tuned = parse_config({**raw, "finetune": {"n_steps": 5}, "segmentation": {"n_segments": 2, "voice": {"n_labelled": 100}}}, "test")
    with LabelCache(None) as cache:
        runner = SimpleNamespace(
            config=tuned,
            language=Asked(Clerk(is_contrary=is_contrary), cache),
            seed=lambda stage: 7,
            stages=SimpleNamespace(progress=lambda done, total, what: None),
        )
        assert set(llm_labels(cast(Runner, runner), Dataset.load(shop), AS_OF)) == heads


def test_what_was_answered_is_not_asked_again(understood: Path, shop: Path, config: Config, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "answers.sqlite").write_bytes((folder / "work" / "answers.sqlite").read_bytes())
    clerk = Clerk()
    again = train(Dataset.load(shop), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work", language_model=clerk)
    assert clerk.n_asked == 0
    assert read_manifest(again)["segments"] == read_manifest(understood)["segments"]


def test_another_model_is_asked_anew(understood: Path, shop: Path, config: Config, folder: Path, tmp_path: Path) -> None:
    clerk = Clerk("clerk-2")
    other = train(Dataset.load(shop), config, AS_OF, tmp_path, work=folder / "work", language_model=clerk)
    assert clerk.n_asked > 100
    assert read_manifest(other)["language_model"]["model"] == "clerk-2"


def test_one_that_cannot_be_reached_stops_nothing_is_told_and_asked_again(shop: Path, config: Config, tmp_path: Path) -> None:
    down, up = Clerk(is_there=False), Clerk()
    first, second = (
        train(Dataset.load(shop), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work", language_model=clerk) for clerk in (down, up)
    )
    said = read_manifest(first)["language_model"]
    assert not said["is_complete"]
    assert len(said["named_by_terms"]) == 2
    assert "nobody there" in next(iter(said["naming"]["failed"]))
    profile = Bundle.load(first).profile("c1")
    assert profile is not None
    assert profile.voice is not None
    assert profile.voice.is_degraded
    assert up.n_asked > 100
    assert read_manifest(second)["language_model"]["is_complete"]
    assert Bundle.load(second).profiles.segment_names == tuple(read_manifest(second)["segments"]["names"].values())


def test_a_model_that_the_configuration_names_must_be_given(shop: Path, raw: dict[str, Any], tmp_path: Path) -> None:
    config = parse_config({**raw, "llm": {"endpoint": "http://localhost:1/v1", "model": "m"}}, "test")
    with pytest.raises(ConfigError, match=r"names a language model under \[llm\]"):
        train(Dataset.load(shop), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work")


def test_its_labels_teach_the_heads_of_a_trunk_that_is_tuned(shop: Path, raw: dict[str, Any], tmp_path: Path) -> None:
    tuning = {"n_steps": 12, "batch_texts": 32, "micro_batch": 16, "validate_every": 6, "learning_rate": 0.01, "head_texts": 8}
    config = parse_config({**raw, "finetune": tuning}, "test")
    bundle = train(Dataset.load(shop), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work", language_model=Clerk())
    heads = Heads.load(bundle / "encoder" / "heads")
    assert {name: set(classes) for name, classes in heads.classes.items()} == {
        "sentiment": {"negative", "neutral", "positive"},
        "intent": {"buy", "hesitate", "leave", "other"},
    }


def test_a_shop_without_texts_and_without_a_model_says_so(small_bundle: Path) -> None:
    manifest = read_manifest(small_bundle)
    assert (manifest["voice"], manifest["language_model"]) == (None, None)
    assert not (small_bundle / "voice").exists()
    assert all(name.endswith("(by terms)") for name in manifest["segments"]["names"].values())


# as of a time


def test_what_is_written_at_as_of_or_later_changes_nothing(understood: Path, shop: Path, config: Config, tmp_path: Path) -> None:
    write_world(tmp_path / "shop")
    for name in ("reviews", "messages"):
        known = pq.read_table(shop / f"{name}.parquet")
        early = known.filter(pa.array(known["event_time"].to_numpy() < AS_OF))
        other = early.set_column(early.column_names.index("text"), "text", pa.array(["awful goodbye"] * len(early)))
        late = pa.array([AS_OF.item()] * len(early), pa.timestamp("us", "UTC"))
        other = other.set_column(other.column_names.index("event_time"), "event_time", late)
        pq.write_table(pa.concat_tables([other, early]), tmp_path / "shop" / f"{name}.parquet")
    again = train(Dataset.load(tmp_path / "shop"), config, AS_OF, tmp_path / "bundles", work=tmp_path / "work", language_model=Clerk())
    assert (again / MANIFEST).read_bytes() == (understood / MANIFEST).read_bytes()


def test_value_and_churn_are_told_by_what_customers_say_too(understood: Path, small_bundle: Path) -> None:
    assert SegmentationModel.load(understood / "segmentation").outlook.extra_names == SAYING
    assert not SegmentationModel.load(small_bundle / "segmentation").outlook.extra_names


def test_writings_are_reviews_and_messages_of_known_customers(tmp_path: Path) -> None:
    lines = [("one", "a", 1), ("two", "b", 2), ("late", "a", 40)]
    shop = load_shop(tmp_path, [{"customer_id": name, "item_id": item, "day": day} for name, item, day in lines])
    times = [at(day).item() for day in (5, 3, 4)]
    who = {"customer_id": ["two", "one", "late"], "event_time": pa.array(times, pa.timestamp("us", "UTC"))}
    pq.write_table(
        pa.table({**who, "item_id": ["a"] * 3, "text": ["r5", "r3", "r4"], "rating": [4.0, None, 1.0]}), tmp_path / "reviews.parquet"
    )
    pq.write_table(pa.table({**who, "text": ["m5", "m3", "m4"]}), tmp_path / "messages.parquet")
    found = writings_of(shop.before(at(30)))
    assert found.texts.tolist() == ["r3", "m3", "r5", "m5"]
    assert found.customers.tolist() == [0, 0, 1, 1]
    assert found.kinds.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(found.stars, [np.nan, np.nan, 4, np.nan])
    assert fingerprint_of(found) != fingerprint_of(found.before(at(5)))
    assert fingerprint_of(found) == fingerprint_of(writings_of(shop.before(at(30))))
    cut = replace(shop.before(at(30)), since=np.array([at(4), at(0)]))
    assert writings_of(cut).texts.tolist() == ["r5", "m5"]


def test_a_later_reading_finds_the_blocks_of_an_earlier_one() -> None:
    blocks: list[tuple[str, ...]] = []

    def embed(texts: Sequence[str]) -> Any:
        blocks.append(tuple(texts))
        return np.tile(np.array([[1.0, 0.0]], np.float32), (len(texts), 1))

    heads = Heads({"mood": Head(("bad", "good"), np.array([[0.0, 2.0], [1.0, 0.0]], np.float32), np.zeros(2, np.float32))})
    reader = ShopReader(embed, heads, 2)
    texts = [f"text {n}" for n in range(BLOCK + 7)]
    assert reader.encode(texts[: BLOCK + 3]).shape == (BLOCK + 3, 2)
    assert reader.encode(texts).shape == (BLOCK + 7, 2)
    assert blocks[0] == blocks[2]
    assert reader.encode([]).shape == (0, 2)
    assert reader.classes == {"mood": ("bad", "good")}
    np.testing.assert_allclose(reader.classify(["x"])["mood"], [[1 / (1 + np.e**2), np.e**2 / (1 + np.e**2)]], rtol=1e-5)


# who keeps its segment


def moved(bundle: Path) -> list[float]:
    return [move["changed_share"] for move in read_manifest(bundle)["segments"]["moves"]]


def test_a_margin_that_nobody_reaches_keeps_everybody(small_bundle: Path, small_dataset: Dataset, small_work: Path, tmp_path: Path) -> None:
    """With the margin of 1 the segments are those of the first period, whatever is bought after it."""
    settings: dict[str, Any] = json.loads(json.dumps(SMALL))
    settings["segmentation"]["margin"] = 1.0
    kept = train(small_dataset, parse_config(settings, "test"), AS_OF, tmp_path, work=small_work)
    assert moved(kept) == [0.0]
    assert len(moved(small_bundle)) == 1


def test_a_former_bundle_hands_its_ids_on(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    work = shutil.copytree(small_work, tmp_path / "work")  # what is trained at other times stays out of the shared one
    later = train(small_dataset, small_config, END, tmp_path / "bundles", work=work, former=small_bundle)
    segments = read_manifest(later)["segments"]
    succession = segments["succession"]
    assert succession["former"] == small_bundle.name
    assert set(segments["names"]) == set(read_manifest(small_bundle)["segments"]["names"])
    assert (succession["new"], succession["retired"]) == ([], [])
    assert segments["moves"][1]["since"] == f"bundle {small_bundle.name}"
    assert segments["moves"][1]["changed_share"] <= 0.1


def test_a_former_bundle_that_was_fitted_later_hands_nothing_on(
    small_bundle: Path, small_dataset: Dataset, small_config: Config, small_work: Path, tmp_path: Path
) -> None:
    work = shutil.copytree(small_work, tmp_path / "work")
    earlier = train(small_dataset, small_config, AS_OF - 14 * DAY, tmp_path / "bundles", work=work, former=small_bundle)
    segments = read_manifest(earlier)["segments"]
    assert segments["succession"] is None
    assert len(segments["moves"]) == 1


def test_customers_of_a_former_bundle_are_known_by_their_ids(small_bundle: Path) -> None:
    former = load_former(small_bundle)
    turned = Vocabulary(("stranger", *reversed(former.customers.ids)))
    held = former.held(turned)
    assert len(held) == len(turned.ids)
    assert held.segment[0] == -1
    np.testing.assert_array_equal(held.segment[1:][::-1], former.profiles.segment)
    with pytest.raises(ConfigError, match="knows no customer of this shop"):
        former.held(Vocabulary(("stranger",)))


def test_the_share_that_changed_is_of_those_who_had_a_segment_before_and_after(small_bundle: Path) -> None:
    profiles = load_former(small_bundle).profiles
    assert changed_share(profiles, profiles) == 0.0
    held = load_former(small_bundle).held(load_former(small_bundle).customers)
    other = type(held)(np.where(np.arange(len(held)) < 20, 1 - held.segment, held.segment), held.segment_ids, held.as_of)
    assert changed_share(other, profiles) == pytest.approx(20 / len(held))
    nobody = type(held)(np.full(len(held), -1, np.int16), held.segment_ids, held.as_of)
    assert np.isnan(changed_share(nobody, profiles))
