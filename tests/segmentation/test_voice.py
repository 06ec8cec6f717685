from __future__ import annotations

import datetime as dt
import math
from pathlib import Path

import numpy as np
import pytest

from segmentation.errors import SegmentationError
from segmentation.saying import SAYING, saying
from segmentation.voice import Named, Namings, Said, Voices

MAY = np.datetime64("2024-05-01", "us")


def _voices() -> Voices:
    """Of three customers: the first is happy and spoke of two things; the second wrote what nothing reads; the third wrote nothing."""
    said = Said(np.array([0.5, np.nan, np.nan], np.float32), np.array([4, 0, 0], np.int32), np.array([MAY, "NaT", "NaT"], "datetime64[us]"))
    return Voices(
        n_texts=np.array([4, 1, 0], np.int32),
        degraded=np.array([False, True, False]),
        mood_score=np.array([0.75, np.nan, np.nan], np.float32),
        mood_trend=np.array([0.25, np.nan, np.nan], np.float32),
        mood=said,
        intents=("buy", "leave"),
        intent_probability=np.array([[0.125, 0.5], [np.nan, np.nan], [np.nan, np.nan]], np.float32),
        intent=said,
        aspects=("fit feel", "物流"),
        need_offsets=np.array([0, 2, 2, 2]),
        need_aspect=np.array([1, 0], np.int16),
        need_polarity=np.array([-1.0, 1.0], np.float32),
        need=Said(np.array([0.5, 0.25], np.float32), np.array([3, 1], np.int32), np.array([MAY, MAY])),
        named=Namings(
            (("brand", "Northwind"), ("price", "5.00 USD")),
            np.array([0, 1, 2, 2]),
            np.array([0, 1], np.int32),
            np.array([3, 1], np.int32),
            np.array([MAY, MAY]),
        ),
    )


def test_a_voice_has_mood_intents_by_likelihood_and_needs_by_mention() -> None:
    voice = _voices().of(0)
    assert voice is not None
    assert voice.mood is not None
    assert (voice.mood.score, voice.mood.trend, voice.mood.n_texts) == (0.75, 0.25, 4)
    assert voice.mood.last_time == dt.datetime(2024, 5, 1, tzinfo=dt.UTC)
    assert [(intent.name, intent.probability) for intent in voice.intents] == [("leave", 0.5), ("buy", 0.125)]
    assert [(need.aspect, need.polarity, need.n_texts) for need in voice.needs] == [("物流", -1.0, 3), ("fit feel", 1.0, 1)]
    assert voice.named == (Named("brand", "Northwind", 3, dt.datetime(2024, 5, 1, tzinfo=dt.UTC)),)


def test_who_wrote_what_cannot_be_read_has_an_empty_voice_and_who_wrote_nothing_has_none() -> None:
    voice = _voices().of(1)
    assert voice is not None
    assert (voice.mood, voice.intents, voice.needs, voice.is_degraded) == (None, (), (), True)
    assert [_voices().of(number) for number in (2, 3, -1)] == [None, None, None]


def test_who_speaks_of_what() -> None:
    wrote = _voices().wrote()
    assert (wrote.customers.tolist(), wrote.phrases.tolist(), wrote.names) == ([0, 0], [1, 0], ("fit feel", "物流"))


def test_the_main_need_is_the_one_most_mentioned() -> None:
    assert _voices().main_needs().tolist() == [1, -1, -1]
    assert Voices.nothing(2).main_needs().tolist() == [-1, -1]


def test_needs_of_others_leave_all_else_as_it_was() -> None:
    voices = _voices()
    dealt = voices.with_needs_of(np.array([2, 0, 0]))
    assert dealt.main_needs().tolist() == [-1, 1, 1]
    told = voices.of(0)
    mine, others = dealt.of(0), dealt.of(1)
    assert told is not None
    assert mine is not None
    assert others is not None
    assert (mine.mood, mine.needs, others.mood, others.needs) == (told.mood, (), None, told.needs)


def test_all_who_have_needs_can_be_given_the_same_one() -> None:
    same = _voices().with_one_need()
    voice = same.of(0)
    assert voice is not None
    assert [(need.aspect, need.polarity, need.n_texts) for need in voice.needs] == [("fit feel", -1.0, 3)]
    assert same.main_needs().tolist() == [0, -1, -1]


def test_columns_for_value_and_churn_say_what_is_known_and_nothing_else() -> None:
    columns = saying(_voices(), MAY + np.timedelta64(2, "D"))
    assert columns[0].tolist() == pytest.approx([4, 2, 0.75, 0.25, 0.125, math.nan, 0.5], nan_ok=True)
    assert columns[2].tolist() == pytest.approx([0, *[math.nan] * 6], nan_ok=True)
    assert columns.shape == (3, len(SAYING))


@pytest.mark.parametrize("voices", [_voices(), Voices.nothing(2), Voices.nothing(0)])
def test_saved_voices_come_back_mapped_and_equal(voices: Voices, tmp_path: Path) -> None:
    voices.save(tmp_path)
    loaded = Voices.load(tmp_path)
    assert isinstance(loaded.mood_score, np.memmap)
    assert repr([loaded.of(number) for number in range(len(voices))]) == repr([voices.of(number) for number in range(len(voices))])


def test_nobody_says_anything() -> None:
    voices = Voices.nothing(3)
    assert (len(voices), [voices.of(number) for number in range(3)]) == (3, [None] * 3)


def test_a_damaged_folder_is_refused(tmp_path: Path) -> None:
    _voices().save(tmp_path)
    (tmp_path / "mood.confidence.npy").write_bytes(b"x")
    with pytest.raises(SegmentationError, match="does not hold voices"):
        Voices.load(tmp_path)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in length"):
        Voices(**{**vars(Voices.nothing(2)), "mood_score": np.zeros(3, np.float32)})
