from __future__ import annotations

import random
import re
from dataclasses import replace

import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score

from recsys.synthetic.lexicon import NEEDS
from recsys.synthetic.reviews import ASPECTS, AspectOpinion, Language, ReviewFacts, write_review

BARE = {
    "en": ReviewFacts("shampoo", "Verdanel", "en", sentiment=1, aspects=(), need=None, stars=5),
    "zh": ReviewFacts("洗发水", "Verdanel", "zh", sentiment=1, aspects=(), need=None, stars=5),
}
STARS = {-1: (1, 2), 0: (3,), 1: (4, 5)}
CASES = [(language, sentiment, stars) for language in ("en", "zh") for sentiment in STARS for stars in STARS[sentiment]]

ASPECT_WORDS = {
    "en": {
        "quality": r"quality|(?:well|badly|it's|isn't) made|finish|flimsy|put together|wear\b|ingredients|workmanship|faulty",
        "price": r"price|value|costs|money|paid|affordable|\bcent\b|expensive|cheap|bargain|wallet",
        "delivery": r"deliver|arrived|parcel|doorstep|shipping|on the way|courier|dispatch",
        "fit": r"\bsize|\bfit|measurements|format\b|too big",
        "design": r"looks\b|design|colours|eyesore|eye-catcher|stylish|ugly|pretty",
        "service": r"service|support|answer|staff|query|helpline|called me back",
    },
    "zh": {
        "quality": "质量|做工|用料|没坏|就坏了|质感|品质|耐用|细节处理|好材料|毛病",
        "price": "价格|价钱|性价比|便宜|划算|分钱|贵|钱",
        "delivery": "物流|就到了|才到|包裹|送到|发货|路上|快递|收到",
        "fit": "尺寸|尺码|大小|想放|规格|大也不|太大",
        "design": "颜值|外观|颜色|样子|漂亮|丑|样式|外形",
        "service": "客服|咨询|店家|售后",
    },
}


def texts(facts: ReviewFacts, n: int, seed: int = 0) -> list[str]:
    rng = random.Random(seed)
    return [write_review(facts, rng)[1] for _ in range(n)]


def drawn(language: Language, rng: random.Random) -> ReviewFacts:
    """Facts in which half of the aspects go against the whole."""
    sentiment = rng.choice((-1, 0, 1))
    aspects = tuple(AspectOpinion(aspect, rng.choice((-1, 1))) for aspect in rng.sample(ASPECTS, rng.randint(0, 3)))
    return replace(BARE[language], sentiment=sentiment, aspects=aspects, stars=rng.choice(STARS[sentiment]))


@pytest.mark.parametrize(("language", "sentiment", "stars"), CASES)
def test_no_two_of_a_thousand_reviews_are_equal_even_with_nothing_to_tell(language: Language, sentiment: int, stars: int) -> None:
    written = texts(replace(BARE[language], sentiment=sentiment, stars=stars), 1000)
    assert len(set(written)) == 1000


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("aspect", ASPECTS)
def test_an_aspect_is_told_where_the_facts_have_it_and_only_there(language: Language, aspect: str) -> None:
    words = re.compile(ASPECT_WORDS[language][aspect], re.IGNORECASE)
    rng = random.Random(1)
    for sentiment, need in [(-1, None), (0, "gift"), (1, "small flat"), (1, None)] * 40:
        others = tuple(AspectOpinion(other, rng.choice((-1, 1))) for other in ASPECTS if other != aspect)
        facts = replace(BARE[language], sentiment=sentiment, need=need, aspects=others)
        without = write_review(facts, rng)[1]
        assert not words.search(without), without
        alone = write_review(replace(facts, aspects=(AspectOpinion(aspect, rng.choice((-1, 1))),)), rng)[1]
        assert words.search(alone), alone


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("need", NEEDS)
def test_a_need_adds_a_sentence_that_reviews_without_it_do_not_have(language: Language, need: str) -> None:
    ends = re.compile(r"[.!?](?: |$)|[。！？]")  # noqa: RUF001 - these are the marks of Chinese
    for seed in range(20):
        without, told = (write_review(replace(BARE[language], need=given), random.Random(seed))[1] for given in (None, need))
        assert len(ends.findall(told)) == len(ends.findall(without)) + 1


@pytest.mark.parametrize("language", ["en", "zh"])
def test_sentiment_can_be_learnt_from_words_but_not_perfectly(language: Language) -> None:
    rng = random.Random(2)
    facts = [drawn(language, rng) for _ in range(1500)]
    written, sentiments = [write_review(one, rng)[1] for one in facts], [one.sentiment for one in facts]
    vectors = TfidfVectorizer() if language == "en" else TfidfVectorizer(analyzer="char", ngram_range=(1, 2))
    model = LogisticRegression(C=10, max_iter=500).fit(vectors.fit_transform(written[:1000]), sentiments[:1000])
    found = model.predict(vectors.transform(written[1000:]))
    assert 0.6 < f1_score(sentiments[1000:], found, average="macro") < 0.95


def test_an_aspect_against_the_whole_is_conceded() -> None:
    late = replace(BARE["en"], aspects=(AspectOpinion("delivery", -1),))
    conceding = re.compile(r"\bbut\b|although|even though|never mind|drawback|to improve|downside|minus", re.IGNORECASE)
    assert all(conceding.search(text) for text in texts(late, 200))


def test_strong_words_go_with_one_and_five_stars() -> None:
    strong = "nothing at all"
    by_stars = {stars: " ".join(texts(replace(BARE["en"], stars=stars), 400)) for stars in (4, 5)}
    assert strong in by_stars[5]
    assert strong not in by_stars[4]


def test_reviews_are_whole_sentences_with_every_fact_filled_in() -> None:
    for language in ("en", "zh"):
        rng = random.Random(4)
        for _ in range(300):
            headline, text = write_review(drawn(language, rng), rng)
            assert headline
            assert text.endswith((".", "!", "?") if language == "en" else ("。", "！", "？"))  # noqa: RUF001 - marks of Chinese
            assert not set("{}") & set(headline + text)
            assert headline[0].isupper() or language == "zh"


def test_equal_seeds_give_equal_reviews() -> None:
    assert texts(BARE["en"], 20, seed=5) == texts(BARE["en"], 20, seed=5)
    assert texts(BARE["en"], 20, seed=5) != texts(BARE["en"], 20, seed=6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"language": "de"}, "en or zh, not in 'de'"),
        ({"sentiment": 2}, "-1, 0 or 1, got 2"),
        ({"stars": 0}, "from 1 to 5, got 0"),
        ({"need": "gold"}, "need must be one of vegan, .*, got 'gold'"),
        ({"aspects": (AspectOpinion("fit", 1), AspectOpinion("fit", -1))}, "judged twice: fit, fit"),
    ],
)
def test_facts_that_cannot_be_told_are_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        replace(BARE["en"], **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("aspect", "polarity"), [("smell", 1), ("fit", 0)])
def test_unknown_aspects_and_polarities_are_refused(aspect: str, polarity: int) -> None:
    with pytest.raises(ValueError, match="an aspect is one of quality, price"):
        AspectOpinion(aspect, polarity)
