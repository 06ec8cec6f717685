from __future__ import annotations

import random

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from recsys.synthetic.messages import INTENTS, write_message
from recsys.synthetic.reviews import Language

NOUNS: dict[Language, str] = {"en": "tea", "zh": "茶叶"}


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("intent", INTENTS)
def test_no_two_of_a_thousand_messages_are_equal(language: Language, intent: str) -> None:
    rng = random.Random(0)
    assert len({write_message(intent, NOUNS[language], "Hillcote", language, rng) for _ in range(1000)}) == 1000


@pytest.mark.parametrize("language", ["en", "zh"])
def test_intents_can_be_learnt_but_a_few_examples_do_not_tell_all(language: Language) -> None:
    rng = random.Random(1)
    intents = [rng.choice(INTENTS) for _ in range(1100)]
    written = [write_message(intent, NOUNS[language], "Hillcote", language, rng) for intent in intents]
    vectors = TfidfVectorizer() if language == "en" else TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    found = {}
    for n in (100, 600):
        model = LogisticRegression(C=10, max_iter=500).fit(vectors.fit_transform(written[:n]), intents[:n])
        found[n] = f1_score(intents[600:], model.predict(vectors.transform(written[600:])), average="macro")
    assert 0.5 < found[100] < 0.95
    assert found[600] > 0.9


@pytest.mark.parametrize("language", ["en", "zh"])
def test_messages_are_whole_sentences_with_every_fact_filled_in(language: Language) -> None:
    rng = random.Random(2)
    for intent in INTENTS:
        for _ in range(100):
            text = write_message(intent, NOUNS[language], "Hillcote", language, rng)
            assert text.endswith((".", "?") if language == "en" else ("。", "？"))  # noqa: RUF001 - marks of Chinese
            assert not set("{}") & set(text)


def test_noun_and_brand_are_named_in_many_messages_but_not_in_all() -> None:
    rng = random.Random(3)
    named = ["tea" in write_message("buy", "tea", "Hillcote", "en", rng) for _ in range(500)]
    assert 0.5 < sum(named) / 500 < 0.95


def test_equal_seeds_give_equal_messages() -> None:
    first, second = (write_message("leave", "tea", "Hillcote", "en", random.Random(4)) for _ in range(2))
    assert first == second


def test_an_unknown_intent_is_refused() -> None:
    with pytest.raises(ValueError, match="intent must be one of buy, hesitate, leave, service, got 'gossip'"):
        write_message("gossip", "tea", "Hillcote", "en", random.Random(0))
