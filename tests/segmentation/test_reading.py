"""Reading what customers write, by stars and by labels that are handed in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sayings import AS_OF, ASKING, FEELINGS, START, THINGS, HeadReader, WordReader, message, shop

from recsys.config import TextConfig
from recsys.text.encoder import load_encoder
from segmentation.entities import Gazetteer
from segmentation.errors import SegmentationError
from segmentation.reading import VoiceModel, fit_voice
from segmentation.voice import Namings, Voices
from segmentation.voice_settings import VoiceSettings
from segmentation.writings import Reader, Writings

SETTINGS = VoiceSettings(n_labelled=80)
N = 36


def _quiet(done: int, total: int, what: str) -> None:
    pass


def _fit(
    writings: Writings,
    *,
    reader: Reader | None = None,
    labels: Mapping[str, Sequence[tuple[str, str]]] | None = None,
    settings: VoiceSettings = SETTINGS,
    as_of: np.datetime64 = AS_OF,
) -> VoiceModel:
    return fit_voice(
        writings,
        as_of,
        reader or WordReader(),
        settings,
        model=None,
        cache=None,
        seed=3,
        n_threads=1,
        progress=_quiet,
        labels=labels or {},
    )


def _read(model: VoiceModel, writings: Writings, n: int = N, as_of: np.datetime64 = AS_OF) -> Voices:
    return model.read(writings, n, as_of, WordReader())


def _saved(voices: Voices, folder: Path) -> dict[str, bytes]:
    voices.save(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def plain() -> VoiceModel:
    """Fitted without a language model and without labels."""
    return _fit(shop())


# What is understood


def test_stars_alone_teach_mood_and_terms_become_needs(plain: VoiceModel) -> None:
    voices = _read(plain, shop())
    for customer in range(N):
        voice = voices.of(customer)
        assert voice is not None
        assert voice.mood is not None
        assert (voice.mood.score < -0.5, abs(voice.mood.score) < 0.5, voice.mood.score > 0.5)[customer % 3]
        assert {need.aspect for need in voice.needs} <= set(THINGS)
        assert not voice.is_degraded
    assert set(voices.aspects) == set(THINGS)
    assert plain.facts()["needs"]["by"] == "terms"


def test_needs_have_the_polarity_of_the_clauses_that_mention_them(plain: VoiceModel) -> None:
    texts = ["The delivery was splendid and superb, but the price was dreadful and hopeless."]
    voice = _read(plain, Writings.in_order([0], texts, [START], [np.nan], [0])).of(0)
    assert voice is not None
    found = {need.aspect: need.polarity for need in voice.needs}
    assert found["delivery"] > 0.3
    assert found["price"] < -0.3


def test_nothing_teaches_intents_without_labels_and_the_facts_say_so(plain: VoiceModel) -> None:
    assert plain.intent is None
    assert "nothing teaches it" in plain.facts()["intent"]["reason"]
    voice = _read(plain, shop()).of(0)
    assert voice is not None
    assert voice.intents == ()


def test_labels_that_are_handed_in_teach_intents() -> None:
    rng = np.random.default_rng(1)
    labels = [(message(intent, rng), intent) for intent in ASKING for _ in range(30)]
    model = _fit(shop(), labels={"intent": labels})
    voices = _read(model, shop())
    assert voices.intents == ("buy", "hesitate", "leave")
    for customer, intent in enumerate(list(ASKING) * (N // 4)):
        voice = voices.of(customer)
        assert voice is not None
        if voice.intents and intent != "other":
            assert voice.intents[0].name == intent
            assert voice.intents[0].probability > 0.5


def test_the_head_that_the_encoder_was_trained_with_is_used() -> None:
    reader = HeadReader()
    model = _fit(shop(), reader=reader)
    facts = model.facts()["sentiment"]
    assert facts["by"] == "encoder"
    assert "flattered" in facts["reason"]
    assert facts["rival"]["kappa_low"] > 0
    voice = model.read(shop(), N, AS_OF, reader).of(2)
    assert voice is not None
    assert voice.mood is not None
    assert voice.mood.score > 0.5


class _ConstantReader(WordReader):
    """One that was trained with a head that says the same of every text, but for noise."""

    def __init__(self, head: str, classes: tuple[str, ...]) -> None:
        super().__init__()
        self.classes = {head: classes}

    def classify(self, texts: Sequence[str]) -> dict[str, NDArray[np.float32]]:
        ((head, classes),) = self.classes.items()
        likely = np.random.default_rng(len(texts)).uniform(0.0, 0.01, (len(texts), len(classes)))
        likely[:, 0] += 1
        return {head: np.asarray(likely / likely.sum(axis=1, keepdims=True), np.float32)}


def test_a_head_of_the_encoder_that_says_one_thing_of_everything_is_not_used() -> None:
    rng = np.random.default_rng(1)
    said = [(message(intent, rng), intent) for intent in ASKING for _ in range(30)]
    shuffled = list(zip((text for text, _ in said), rng.permutation([intent for _, intent in said]).tolist(), strict=True))
    reader = _ConstantReader("intent", ("buy", "hesitate", "leave", "other"))
    found = _fit(shop(n_messages=0), reader=reader, labels={"intent": shuffled})
    assert found.intent is None
    assert "beyond chance" in found.facts()["intent"]["ignored"]
    taught = _fit(shop(n_messages=0), reader=reader, labels={"intent": said})
    assert taught.intent is not None
    assert taught.intent.probe is not None
    by_stars = _fit(shop(), reader=_ConstantReader("sentiment", tuple(FEELINGS)))
    assert by_stars.sentiment is not None
    assert by_stars.sentiment.probe is not None


def test_a_head_of_the_encoder_that_nothing_judges_is_not_used() -> None:
    usual = shop()
    unrated = Writings(usual.customers, usual.texts, usual.times, np.full(len(usual), np.nan, np.float32), usual.kinds)
    model = _fit(unrated, reader=HeadReader())
    assert model.sentiment is None
    few = _fit(unrated, reader=HeadReader(), labels={"sentiment": [("all splendid", "positive")]})
    assert few.sentiment is None
    assert "nothing judges it" in few.facts()["sentiment"]["ignored"]


def test_the_real_encoder_is_read_through() -> None:
    encoder = load_encoder(TextConfig(), 1)
    reader = WordReader()
    reader.encode = encoder.encode  # type: ignore[method-assign]
    usual = shop(n_customers=15, per_customer=2, n_messages=0)
    voices = _fit(usual, reader=reader, settings=VoiceSettings(max_aspects=0)).read(usual, 15, AS_OF, reader)
    assert (voices.mood_score[2::3] > 0.2).all()
    assert (voices.mood_score[0::3] < -0.2).all()


# Time


def test_a_text_of_the_future_is_refused(plain: VoiceModel) -> None:
    late = Writings.in_order([0], ["splendid"], [AS_OF], [5], [0])
    with pytest.raises(ValueError, match="not before as_of"):
        _read(plain, late)
    with pytest.raises(ValueError, match="not before as_of"):
        _fit(late)
    with pytest.raises(ValueError, match="before this model was fitted"):
        plain.read(shop().take(slice(0)), 1, START, WordReader())


def test_deleting_everything_later_changes_nothing(tmp_path: Path) -> None:
    cut = np.datetime64("2024-08-01", "us")
    everything = shop()
    found = []
    for name, writings in (("full", everything), ("deleted", everything.before(cut))):
        model = _fit(writings.before(cut), as_of=cut)
        found.append(_saved(model.read(writings.before(cut), N, cut, WordReader()), tmp_path / name))
    assert found[0] == found[1]


def test_what_is_remembered_of_a_time_is_what_would_have_been_read_then(plain: VoiceModel, tmp_path: Path) -> None:
    cut, writings = np.datetime64("2024-08-01", "us"), shop().before(AS_OF)
    remembered = plain.remembering(writings, N, WordReader())
    for time in (AS_OF, cut, START):
        model = replace(plain, fitted_as_of=time, needs=None)  # as if it had been fitted then
        read = replace(model.read(writings.before(time), N, time, WordReader()), named=Namings.nothing(N))
        assert _saved(remembered(time), tmp_path / "remembered") == _saved(read, tmp_path / "read")
    with pytest.raises(ValueError, match="not before"):
        plain.remembering(Writings.in_order([0], ["splendid"], [AS_OF], [5], [0]), N, WordReader())


def test_recent_texts_count_more_and_the_trend_tells_the_change(plain: VoiceModel) -> None:
    old, new = ["all dreadful", "all hopeless", "all awful"], ["all lovely", "all splendid", "all superb"]
    days = np.array([0, 1, 2, 330, 331, 332], "timedelta64[D]")
    better = _read(plain, Writings.in_order([0] * 6, old + new, START + days, [np.nan] * 6, [0] * 6)).of(0)
    worse = _read(plain, Writings.in_order([0] * 6, new + old, START + days, [np.nan] * 6, [0] * 6)).of(0)
    assert better is not None
    assert worse is not None
    assert better.mood is not None
    assert worse.mood is not None
    assert better.mood.score > 0.2 > -0.2 > worse.mood.score
    assert better.mood.trend > 0.5
    assert worse.mood.trend < -0.5


def test_few_texts_have_no_trend_and_more_texts_more_confidence(plain: VoiceModel) -> None:
    def mood(n: int) -> tuple[float, float]:
        texts = [f"all splendid {word}" for word in ("river", "candle", "marble", "silver", "ribbon")[:n]]
        voice = _read(plain, Writings.in_order([0] * n, texts, [START] * n, [np.nan] * n, [0] * n)).of(0)
        assert voice is not None
        assert voice.mood is not None
        return voice.mood.trend, voice.mood.confidence

    assert np.isnan(mood(3)[0])
    assert not np.isnan(mood(4)[0])
    assert 0 < mood(1)[1] < mood(3)[1] < mood(5)[1] < 1


# One customer and the others


def test_a_voice_depends_on_no_other_customers_texts(plain: VoiceModel) -> None:
    def said(writings: Writings) -> tuple[list[float], list[str]]:
        voice = _read(plain, writings).of(7)
        assert voice is not None
        assert voice.mood is not None
        likely, liked = [intent.probability for intent in voice.intents], [need.polarity for need in voice.needs]
        return [voice.mood.score, voice.mood.trend, *likely, *liked], [need.aspect for need in voice.needs]

    everything = shop()
    among, alone = said(everything), said(everything.take(everything.customers == 7))
    np.testing.assert_allclose(among[0], alone[0], atol=1e-6)
    assert among[1] == alone[1]
    assert _read(plain, everything.take(everything.customers == 7)).of(8) is None


def test_what_customers_name_is_counted_in_texts_the_most_named_first(plain: VoiceModel) -> None:
    listed = Gazetteer(["Northwind"], ["Copper kettle", "Velvet chair"])
    texts = ["northwind, Northwind!", "My northwind copper kettle cost $5", "northwind again", "a velvet chair", "lovely"]
    days = START + np.arange(5).astype("timedelta64[D]")
    voices = plain.read(Writings.in_order([0, 0, 0, 1, 2], texts, days, [np.nan] * 5, [0] * 5), 3, AS_OF, WordReader(), listed)
    named = [[(named.kind, named.value, named.n_texts) for named in voice.named] for number in range(3) if (voice := voices.of(number))]
    assert named[0] == [("brand", "Northwind", 3), ("price", "5.00 USD", 1), ("product", "Copper kettle", 1)]
    assert named[1:] == [[("product", "Velvet chair", 1)], []]
    assert [named.last_time.day for named in voices.named.of(0)] == [3, 2, 2]


def test_a_customer_who_names_everything_is_known_by_what_it_names_most(plain: VoiceModel) -> None:
    texts = [f"it was ${price}" for price in range(1, 30)] + ["and $7 it was"]
    days = START + np.arange(30).astype("timedelta64[D]")
    voice = _read(plain, Writings.in_order([0] * 30, texts, days, [np.nan] * 30, [0] * 30)).of(0)
    assert voice is not None
    assert [named.value for named in voice.named[:3]] == ["7.00 USD", "29.00 USD", "28.00 USD"]
    assert len(voice.named) == 20


def test_equal_texts_of_one_customer_count_once_and_empty_ones_not_at_all(plain: VoiceModel) -> None:
    texts = ["all splendid", "All  SPLENDID", "", "  \n"]
    voice = _read(plain, Writings.in_order([0] * 4, texts, START + np.arange(4).astype("timedelta64[D]"), [np.nan] * 4, [0] * 4)).of(0)
    assert voice is not None
    assert voice.mood is not None
    assert voice.mood.n_texts == 1
    assert voice.mood.last_time.day == 2


def test_a_customer_with_half_of_all_texts_teaches_no_more_than_others() -> None:
    rng = np.random.default_rng(2)
    words = rng.choice(list(FEELINGS["positive"]), 10_000)
    days = rng.integers(0, 360, 10_000).astype("timedelta64[D]")
    flood = Writings.in_order(
        [N] * 10_000, [f"The {word} awful {n % 997}" for n, word in enumerate(words)], START + days, [5] * 10_000, [0] * 10_000
    )
    usual = shop()
    both = Writings.in_order(
        *(np.concatenate([getattr(part, name) for part in (usual, flood)]) for name in ("customers", "texts", "times", "stars", "kinds"))
    )
    model, reader = _fit(both), WordReader()
    assert model.facts()["n_texts"] <= len(usual) + SETTINGS.max_texts_per_customer
    voices = model.read(both, N + 1, AS_OF, reader)
    assert voices.n_texts[N] < 5_000
    assert voices.mood_score[0] < -0.3
    assert reader.n_encoded < 20_000


def test_every_distinct_text_is_encoded_once() -> None:
    rng = np.random.default_rng(1)
    labels = [(message(intent, rng), intent) for intent in ASKING for _ in range(30)]
    model, reader = _fit(shop(), labels={"intent": labels}, settings=VoiceSettings(max_aspects=0)), WordReader()
    model.read(shop(), N, AS_OF, reader)
    assert reader.n_encoded <= len(set(shop().texts))


# Bad input


@pytest.mark.parametrize("texts", [[], ["", " ", "\n"], ["!?"] * 3])
def test_without_a_word_nothing_is_learnt_and_nothing_is_said(texts: list[str]) -> None:
    writings = Writings.in_order(range(len(texts)), texts, [START] * len(texts), [5] * len(texts), [0] * len(texts))
    model = _fit(writings)
    assert (model.sentiment, model.intent, model.needs) == (None, None, None)
    voices = _read(model, writings)
    assert (voices.intents, voices.aspects, voices.named.things) == ((), (), ())
    assert all(voice is None or voice.mood is None for voice in map(voices.of, range(N)))


def test_reviews_that_all_give_five_stars_teach_no_mood_and_the_facts_say_why() -> None:
    usual = shop(n_messages=0)
    model = _fit(Writings(usual.customers, usual.texts, usual.times, np.full(len(usual), 5, np.float32), usual.kinds))
    assert model.sentiment is None
    assert "fewer than two classes" in model.facts()["sentiment"]["reason"]
    assert "no sentiment" in model.facts()["needs"]["reason"]


def test_labels_of_no_declared_class_are_refused() -> None:
    with pytest.raises(ValueError, match="labels of 'intent' must be among buy, hesitate, leave, other, got steal"):
        _fit(shop(), labels={"intent": [("text", "steal")]})


# Keeping


def test_personal_data_of_customers_is_not_kept(tmp_path: Path) -> None:
    usual = shop()
    private = "My mail is anna.jansen@example.org, phone 0612345678. The anna_j@example.org was good. My iban is NL91ABNA0417164300."
    texts = [f"{text} {private} {text[::-1]}" if row % 5 == 0 else text for row, text in enumerate(usual.texts)]
    writings = Writings(usual.customers, np.array(texts, np.object_), usual.times, usual.stars, usual.kinds)
    rng = np.random.default_rng(1)
    labels = [(f"{message(intent, rng)} {private} {message(intent, rng)}", intent) for intent in ASKING for _ in range(30)]
    model = _fit(writings, labels={"intent": labels})
    assert model.intent is not None
    model.save(tmp_path)
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir()).decode("latin-1").casefold()
    assert "invoice" in kept
    assert not [word for word in ("anna", "jansen", "0612345678", "example", "nl91", "abna", "[email") if word in kept]


def test_equal_seeds_learn_the_same(plain: VoiceModel, tmp_path: Path) -> None:
    assert _saved(_read(_fit(shop()), shop()), tmp_path / "one") == _saved(_read(plain, shop()), tmp_path / "two")


def test_a_damaged_model_is_refused(plain: VoiceModel, tmp_path: Path) -> None:
    plain.save(tmp_path)
    (tmp_path / "voice.npz").write_bytes(b"nothing")
    with pytest.raises(SegmentationError, match="does not hold a voice model"):
        VoiceModel.load(tmp_path)


@pytest.mark.parametrize(
    "settings",
    [{"half_life_days": 0.0}, {"intent_half_life_days": float("inf")}, {"n_labelled": -1}, {"max_texts": 0}, {"min_texts_per_aspect": 0}],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(settings))):
        VoiceSettings(**settings)
