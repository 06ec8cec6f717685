from __future__ import annotations

import random
import re

import pytest

from recsys.synthetic.item_texts import description_of, title_of
from recsys.synthetic.lexicon import ItemType, load_lexicon

LEXICON = load_lexicon()
TYPES = {kind.noun: kind for kind in LEXICON.types}


def words_of(kind: ItemType, rng: random.Random, n: int) -> list[str]:
    return [rng.choice(LEXICON.attributes[group].words) for group in rng.sample(kind.attributes, min(n, len(kind.attributes)))]


def test_a_title_names_brand_attributes_and_noun() -> None:
    assert title_of(TYPES["shampoo"], "Verdanel", ["lavender", "plastic-free"], 0) == "Verdanel Lavender Plastic-free Shampoo"
    assert title_of(TYPES["T-shirt"], "Tessaro", [], 0) == "Tessaro T-shirt"


@pytest.mark.parametrize(
    ("number", "end"), [(1, "Tea Classic"), (2, "Tea Select"), (8, "Tea Basic"), (9, "Tea Classic 2"), (18, "Tea Select 3")]
)
def test_items_that_agree_in_all_else_get_a_line_of_their_own(number: int, end: str) -> None:
    assert title_of(TYPES["tea"], "Hillcote", ["ginger"], number) == f"Hillcote Ginger {end}"


def test_different_items_have_different_titles() -> None:
    rng = random.Random(3)
    items = set()
    for _ in range(20_000):
        kind = rng.choice(LEXICON.types)
        brand = rng.choice(LEXICON.brands[kind.path[0]])
        items.add((kind.noun, brand, tuple(words_of(kind, rng, rng.randint(0, 3))), rng.randint(0, 20)))
    titles = {title_of(TYPES[noun], brand, words, number) for noun, brand, words, number in items}
    assert len(titles) == len(items)


@pytest.mark.parametrize("n_attributes", [0, 1, 2, 3, 4])
def test_a_description_tells_every_attribute_in_two_to_four_sentences(n_attributes: int) -> None:
    rng = random.Random(n_attributes)
    for kind in LEXICON.types:
        words = words_of(kind, rng, n_attributes)
        text = description_of(kind, "Tessaro", words, rng)
        assert 2 <= len(re.findall(r"\.(?: |$)", text)) <= 4, text
        assert kind.noun.lower() in text.lower()
        assert "Tessaro" in text
        assert all(any(clause in text for clause in LEXICON.clauses[word]) for word in words), (words, text)


def test_one_item_can_be_described_in_many_ways_and_equal_seeds_agree() -> None:
    kind, words = TYPES["shampoo"], ["lavender", "gentle", "vegan"]
    texts = [description_of(kind, "Verdanel", words, random.Random(seed)) for seed in range(200)]
    assert len(set(texts)) > 150
    assert texts[5] == description_of(kind, "Verdanel", words, random.Random(5))


def test_an_unknown_attribute_is_refused() -> None:
    with pytest.raises(KeyError, match="purple"):
        description_of(TYPES["tea"], "Hillcote", ["purple"], random.Random(0))
