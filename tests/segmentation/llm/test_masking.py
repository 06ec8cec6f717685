# ruff: noqa: RUF001 - full-width letters are what customers write
from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentation.llm.masking import Masker
from segmentation.llm.patterns import is_card, is_chinese_id, is_iban, luhn

MASKED = [
    ("write to anna.smith+shop@mail.example.co.uk please", "write to [EMAIL] please"),
    ("联系abc_123@qq.com谢谢", "联系[EMAIL]谢谢"),
    ("回复．ＣＨＵＮ２１９＠ＳＯＨＵ．ＣＯＭ", "回复．[EMAIL]"),
    ("jürgen@müller.de", "[EMAIL]"),
    ("anna (at) example (dot) com", "[EMAIL]"),
    ("anna[at]example.com", "[EMAIL]"),
    ("reach me at anna77 at gmail dot com", "reach me at [EMAIL]"),
    ("see https://shop.example.com/reset?token=abc123&u=9.", "see https://shop.example.com[LINK]."),
    ("https://anna:pw@example.com/", "[LINK]"),
    ("https://x.example/d/550e8400-e29b-41d4-a716-446655440000", "https://x.example[LINK]"),
    ("www.example.com/u/a8f3k29dk3l4m5n6o7", "www.example.com[LINK]"),
    ("card 4111 1111 1111 1111 exp 12/27", "card [CARD] exp 12/27"),
    ("2 4111111111111111", "2 [CARD]"),
    ("amex 3782-822463-10005", "amex [CARD]"),
    ("卡6222 0212 0000 0000 005", "卡[CARD]"),
    ("order 5500005555555559", "order [CARD]"),
    ("４１１１１１１１１１１１１１１１", "[CARD]"),
    ("pay DE89 3704 0044 0532 0130 00 AND go", "pay [ACCOUNT] AND go"),
    ("gb29nwbk60161331926819", "[ACCOUNT]"),
    ("account number: 12345678", "account number: [ACCOUNT]"),
    ("我的账号是6217000012345", "我的账号是[ACCOUNT]"),
    ("sort code 20-32-06 account 73456789", "sort code 20-32-06 account [ACCOUNT]"),
    ("身份证 11010519491231002X", "身份证 [ID]"),
    ("身份证号码：110105491231002", "身份证号码：[ID]"),
    ("my SSN is 078-05-1120", "my SSN is [ID]"),
    ("passport no. C01X00T478", "passport no. C01X00T478"),
    ("passport number 987654321", "passport number [ID]"),
    ("national insurance AB 12 34 56 C", "national insurance [ID]"),
    ("ring +44 20 7946 0958 now", "ring [PHONE] now"),
    ("call (415) 555-0132 or 415.555.0199", "call [PHONE] or [PHONE]"),
    ("1-800-555-0199", "[PHONE]"),
    ("020 7946 0958, 07700 900123, 0161 496 0000", "[PHONE], [PHONE], [PHONE]"),
    ("01 42 68 53 00", "[PHONE]"),
    ("my mobile is 5550132666", "my mobile is [PHONE]"),
    ("打我手机13812345678吧", "打我手机[PHONE]吧"),
    ("+86 138-1234-5678", "[PHONE]"),
    ("电话010-87860230转3", "电话[PHONE]转3"),
    ("客服400-711-6699", "客服[PHONE]"),
    ("１３８１２３４５６７８", "[PHONE]"),
    ("售后点02062316680，打电话", "售后点[PHONE]，打电话"),
    ("01087860230或03118691199", "[PHONE]或[PHONE]"),
    ("可以加群8757013咨询", "可以加群[CONTACT]咨询"),
    ("QQ：710959285，加我", "QQ：[CONTACT]，加我"),
    ("加微信：anna_shop", "加微信：[CONTACT]"),
    ("微信lic770", "微信[CONTACT]"),
    ("Anna Smith and ANNA SMITH, Anna-Smith's", "[NAME] and [NAME], [NAME]'s"),
    ("我是王小明的朋友", "我是[NAME]的朋友"),
    ("Dear Rose, a rose for you", "Dear [NAME], a rose for you"),
]
KEPT = [
    "order 112-1234567-1234567 came late",
    "订单号13812345678还没到",
    "tracking number 1Z999AA10123456784",
    "tracking 9400111899223197428490",
    "EAN 6901234567892 and ISBN 978-3-16-148410-0",
    "barcode 4006381333931, 036000291452",
    "Fender 073-3150-406 and 099-0502-000",
    "paid $1,299.00 instead of 1 499.99 EUR in 2019",
    "from 2019-05-12 to 01/02/2023 at 11:40",
    "size 10x12, 38-40, EU 42.5, 100% cotton",
    "iPhone 6 128GB, WH-1000XM4, B00BH5N91E, RTX 3080",
    "10000 mAh, 1920x1080, 2020 2021",
    "https://shop.example.com/strap-system-nickel/dp/B0002CZVXM",
    "see www.example.com.",
    "rated 5/5, 10/10, 24/7",
    "the call quality in 2019 2020 was fine",
    "微信支付很方便 wechat payment",
    "价格1299元，2008年5月12日",
    "at gmail they said",
    "and/or U.S./Canada",
    "1234567890123456",
    "My name is Roseanna Smithers",
    "[EMAIL] [PHONE] [NAME]",
]
NAMES = ("Anna Smith", "王小明", "Rose", "李")


@pytest.mark.parametrize(("text", "expected"), MASKED)
def test_personal_data_is_masked_and_the_rest_stays(text: str, expected: str) -> None:
    assert Masker(NAMES).mask(text).text == expected


@pytest.mark.parametrize("text", KEPT)
def test_what_a_shop_needs_is_kept(text: str) -> None:
    assert Masker(NAMES).mask(text).text == text


def test_findings_say_what_was_where() -> None:
    masked = Masker().mask("a@b.de or 13812345678")
    assert [(finding.kind, finding.start, finding.end) for finding in masked.findings] == [("EMAIL", 0, 6), ("PHONE", 10, 21)]
    assert masked.n == 2


def test_check_digits_of_published_examples() -> None:
    assert luhn("79927398713")
    assert not luhn("79927398710")
    assert is_iban("GB82WEST12345698765432")
    assert not is_iban("GB82WEST12345698765433")
    assert is_chinese_id("11010519491231002X")
    assert not is_chinese_id("110105194912310021")
    assert is_card("378282246310005")
    assert not is_card("1234567812345670")


def _check_digit(digits: str) -> str:
    return next(last for last in "0123456789" if luhn(digits + last))


WORDS = st.sampled_from(["good", "box", "我买了", "很好", "the", "broke,", "99.90", "2019", "XL", "B00BH5N91E"])
AROUND = st.lists(WORDS, max_size=4).map(" ".join)


@given(AROUND, st.from_regex(r"4[0-9]{14}", fullmatch=True), st.sampled_from(["", " ", "-"]), AROUND)
def test_every_card_is_found_whatever_stands_around_it(before: str, digits: str, gap: str, after: str) -> None:
    number = digits + _check_digit(digits)
    text = f"{before}: {gap.join(number[at : at + 4] for at in range(0, 16, 4))}; {after}"
    assert Masker().mask(text).text == f"{before}: [CARD]; {after}"


@given(AROUND, st.from_regex(r"[a-z][a-z0-9]{0,10}(\.[a-z0-9]{1,5})?@[a-z0-9]{1,10}\.(com|cn|co\.uk)", fullmatch=True), AROUND)
def test_every_address_is_found_whatever_stands_around_it(before: str, address: str, after: str) -> None:
    assert Masker().mask(f"{before} <{address}> {after}").text == f"{before} <[EMAIL]> {after}"


@given(AROUND, st.from_regex(r"1[3-9][0-9]{9}", fullmatch=True), AROUND)
def test_every_chinese_mobile_number_is_found_beside_chinese_words(before: str, number: str, after: str) -> None:
    masked = Masker().mask(f"{before}手机{number}谢谢{after}").text
    assert number not in masked
    assert "手机[" in masked


PIECES = st.sampled_from([text for text, _ in MASKED] + KEPT)


@given(st.lists(st.one_of(PIECES, st.text(max_size=12)), max_size=5).map(" ".join))
def test_masking_twice_changes_nothing_and_findings_never_overlap(text: str) -> None:
    masker = Masker(NAMES)
    masked = masker.mask(text)
    assert masker.mask(masked.text).text == masked.text
    ends = [0] + [finding.end for finding in masked.findings]
    assert all(end <= finding.start < finding.end for end, finding in zip(ends, masked.findings, strict=False))


@pytest.mark.parametrize("letter", ["1", "1 ", "a", "a.", "@", "-", "+1", "(", "http://a", "QQ", "call ", "\0", "4-", "a@", "电话"])
def test_long_odd_texts_do_not_hang(letter: str) -> None:
    masked = Masker(NAMES).mask(letter * 20_000)
    assert Masker(NAMES).mask(masked.text).text == masked.text


def test_ten_thousand_names_are_looked_up_not_tried_one_by_one() -> None:
    names = [f"First{chr(97 + number % 26)} Last{number}" for number in range(10_000)]
    masker = Masker([*names, "Anna Smith"])
    assert masker.mask("Anna Smith " * 500).n == 500
