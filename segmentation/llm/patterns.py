"""How personal data looks: one finder per kind, over texts with plain digits and letters (`folded`)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

Span: TypeAlias = tuple[int, int]
Finder: TypeAlias = Callable[[str], Iterable[Span]]

_WIDE = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20, 0xA0: 0x20, 0x202F: 0x20}
_WIDE |= dict.fromkeys((0x2010, 0x2011, 0x2012, 0x2013, 0x2014, 0x2212), 0x2D)

START, END = r"(?<![A-Za-z0-9])(?<!\d[.,/-])", r"(?![A-Za-z0-9])(?![.,/-]\d)"
"""Edges of a number that is not part of a longer one. Not \\b: a Chinese letter beside a number is no part of it."""


def folded(text: str) -> str:
    """The text with full-width letters and digits, and spaces and hyphens of every kind, as plain ones; every letter in its place."""
    return text.translate(_WIDE)


def _finder(pattern: str, accept: Callable[[re.Match[str]], bool] = lambda match: True, flags: int = re.IGNORECASE) -> Finder:
    """Finds what the pattern's first group matches, or the whole where it has none."""
    compiled = re.compile(pattern, flags)
    group = min(compiled.groups, 1)
    return lambda text: [match.span(group) for match in compiled.finditer(text) if accept(match)]


def _n_digits(text: str) -> int:
    return sum(letter.isdigit() for letter in text)


# Links

_LINK = re.compile(r"(?:https?://|www\.|(?:[a-z0-9-]{1,63}\.){1,8}[a-z]{2,24}/)[!#-;=?-Z\\^-~]+", re.IGNORECASE)
_HOST = re.compile(r"(?:https?://)?[a-z0-9.-]+(?::\d+)?(?=[/?#]|$)", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_LONG_PIECE = re.compile(r"(?<![A-Za-z0-9])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{16,}")


def _links(text: str) -> Iterator[Span]:
    """What follows the host in links with a query, a fragment or something like a token; all of a link with a user in it."""
    for match in _LINK.finditer(text):
        link = match[0].rstrip(".,;:!?)]}'\"")
        host = _HOST.match(link)
        kept = host.end() if host else 0
        rest = link[kept:]
        private = not host or any(mark in rest for mark in ("?", "#", "@")) or _UUID.search(rest) or _LONG_PIECE.search(rest)
        if private and rest:
            yield match.start() + kept, match.start() + len(link)


# Money

_CARD_PREFIXES = {
    "4": (13, 16, 19),
    **{str(prefix): (16,) for prefix in range(51, 56)},
    **{str(prefix): (16,) for prefix in range(2221, 2721)},
    **dict.fromkeys(("34", "37"), (15,)),
    **{str(prefix): (14, 16, 19) for prefix in (300, 301, 302, 303, 304, 305, 36, 38, 39)},
    **{str(prefix): (16, 17, 18, 19) for prefix in (6011, 65, *range(644, 650), 62, 81)},
    **{str(prefix): (16, 17, 18, 19) for prefix in range(3528, 3590)},
    **{str(prefix): (16, 17, 18, 19) for prefix in (50, 56, 57, 58, 60, 61, 63, 64, 66, 67, 68, 69)},
}
"""Lengths by first digits (ISO/IEC 7812): Visa, Mastercard, American Express, Diners, Discover, UnionPay, JCB, Maestro and other debit
cards. Maestro's lengths below 16 are left out: too many order numbers and barcodes look like them."""

_MOST_GROUPS = 7
"""Of 3 digits and more, but for the last, in the 19 digits of the longest card number."""
_DIGIT_GROUPS = re.compile(r"(?<![A-Za-z0-9.,/-])\d+(?:[ -]\d+)*(?![A-Za-z0-9])(?![.,/]\d)")


def is_card(digits: str) -> bool:
    """Whether digits are a card number: known first digits with a length that goes with them, and the check digit right (Luhn)."""
    lengths = next((_CARD_PREFIXES[digits[:n]] for n in (4, 3, 2, 1) if digits[:n] in _CARD_PREFIXES), ())
    return len(digits) in lengths and luhn(digits)


def luhn(digits: str) -> bool:
    """Whether the last digit is the check digit of the others, by ISO/IEC 7812-1, annex B."""
    doubled = [int(digit) * (1 + at % 2) for at, digit in enumerate(reversed(digits))]
    return sum(value - 9 * (value > 9) for value in doubled) % 10 == 0


def _cards(text: str) -> Iterator[Span]:
    """Card numbers among groups of digits with one space or hyphen between them; a shorter number may stand before or after."""
    for run in _DIGIT_GROUPS.finditer(text):
        groups = [(run.start() + group.start(), run.start() + group.end()) for group in re.finditer(r"\d+", run[0])]
        first = 0
        while first < len(groups):
            ends = [
                last for last in range(first, min(first + _MOST_GROUPS, len(groups))) if _is_grouped_card(text, groups[first : last + 1])
            ]
            if ends:
                yield groups[first][0], groups[ends[-1]][1]
            first = ends[-1] + 1 if ends else first + 1


def _is_grouped_card(text: str, groups: list[Span]) -> bool:
    parts = [text[start:end] for start, end in groups]
    return len("".join(parts)) <= 19 and all(len(part) >= 3 for part in parts[:-1]) and is_card("".join(parts))


_IBAN_COUNTRIES = """
AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 EE20 EG29 ES24 FI18 FO18 FR27
GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 MC27 MD24
ME22 MK19 MR27 MT31 MU30 NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 TN24
TR26 UA29 VA22 XK20
"""
_IBAN_LENGTHS = {entry[:2]: int(entry[2:]) for entry in _IBAN_COUNTRIES.split()}
"""SWIFT IBAN registry."""
_IBAN = re.compile(r"(?<![A-Za-z0-9])(?=([A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){11,30}))")
"""Looks ahead only: the words behind an IBAN may be another one."""


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN.finditer(text):
        places = [match.start() + at for at, letter in enumerate(match[1]) if letter not in " -"]
        places = places[: _IBAN_LENGTHS.get(match[1][:2].upper(), 0)]
        if places and is_iban("".join(text[place] for place in places)):
            yield places[0], places[-1] + 1


def is_iban(letters: str) -> bool:
    """Whether letters and digits without spaces are an IBAN: a country's length, and the remainder by 97 is 1 (ISO 13616-1)."""
    letters = letters.upper()
    if not letters.isalnum() or not letters.isascii() or len(letters) != _IBAN_LENGTHS.get(letters[:2]):
        return False
    return int("".join(str(int(letter, 36)) for letter in letters[4:] + letters[:4])) % 97 == 1


# Numbers that a word before them explains

_LINKING = r"(?:[\s:#.=(-]|no\b|number|num\b|nr\b|code|id\b|is\b|was\b|me\b|us\b|at\b|on\b|号码|号|是|为){0,8}"
_ORDER = re.compile(
    r"(?:order|tracking|parcel|invoice|item|sku|asin|isbn|ean|upc|barcode|model|part|serial|订单|单号|运单|快递|货号|型号|编号|条码)"
    + _LINKING
    + r"\Z",
    re.IGNORECASE,
)
_DATES = re.compile(r"(?:19|20)\d\d[ ./-](?:\d{1,2}[ ./-]\d{1,2}|(?:19|20)\d\d)\Z")


def _is_no_order(match: re.Match[str]) -> bool:
    return not _ORDER.search(match.string, max(match.start() - 40, 0), match.start())


def _is_number(match: re.Match[str]) -> bool:
    return _n_digits(match[1]) >= 7 and not _DATES.match(match[1])


_ACCOUNT_WORDS = r"(?:account|acct|a/c|sort code|routing|konto(?:nummer)?|bank card|银行卡|卡号|账号|帐号|账户|帐户)"
_ID_WORDS = (
    r"(?:passport|driver'?s licen[cs]e|national insurance|social security|ssn|nino|identity card|id card|护照|身份证|驾照|驾驶证|社保)"
)
_PHONE_WORDS = (
    r"(?:(?<![a-z])(?:call|phone|telephone|tel|mobile|mob|cell|cellphone|whatsapp|text|ring|fax)(?![a-z])"
    r"|电话|手机|致电|热线|联系方式|座机)"
)

_BRITISH = (
    r"(?:(?:\(02\d\)|02\d)[ -]\d{4}[ -]\d{4}|(?:\(0[1-9]\d\d\)|0[1-9]\d\d)[ -]\d{3}[ -]\d{3,4}|(?:\(0[17]\d{3}\)|0[17]\d{3})[ -]\d{6})"
)
_AT, _DOT = r"[\[({] ?(?:at|@) ?[\])}]", r"(?:[\[({] ?(?:dot|\.) ?[\])}]|\.)"

# Identity numbers

_CN_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)


def is_chinese_id(number: str) -> bool:
    """Whether 18 characters end in the check character of the first 17 (GB 11643-1999, ISO 7064 MOD 11-2)."""
    total = sum(int(digit) * weight for digit, weight in zip(number, _CN_WEIGHTS, strict=False))
    return "10X98765432"[total % 11] == number[17].upper()


_ID_NUMBER = r"(?=[A-Z -]{0,4}\d(?:[ -]?\d){4})[A-Z0-9](?:[ -]?[A-Z0-9]){5,19}"
"""Six letters and digits or more; five digits among them follow each other, after four letters at most."""
_CN_DATE = r"(?:18|19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])"

RULES: tuple[tuple[str, Finder], ...] = (
    ("LINK", _links),
    ("EMAIL", _finder(r"(?<![a-zÀ-ɏ0-9_%+-])[a-zÀ-ɏ0-9][a-zÀ-ɏ0-9._%+'-]{0,200}@(?:[a-zÀ-ɏ0-9-]{1,63}\.){1,8}[a-z]{2,24}(?![a-z0-9])")),
    (
        "EMAIL",
        _finder(r"(?<![\w.+-])[a-z0-9._+-]{1,64} ?" + _AT + r" ?[a-z0-9-]{1,63}(?: ?" + _DOT + r" ?[a-z]{2,24}){1,3}"),
    ),
    (
        "EMAIL",
        _finder(r"(?<![\w.+-])[a-z0-9._+-]{1,64} at (?:gmail|hotmail|outlook|yahoo|icloud|qq|163|126)(?: dot |\.| \. )(?:com|net|cn|co)\b"),
    ),
    ("ACCOUNT", _ibans),
    ("ID", _finder(rf"{START}[1-9]\d{{5}}{_CN_DATE}\d{{3}}[\dX](?![A-Za-z0-9])", lambda match: is_chinese_id(match[0]))),
    ("CARD", _cards),
    ("ID", _finder(rf"{START}(?!000|666|9)\d{{3}}-(?!00)\d\d-(?!0000)\d{{4}}{END}(?!-)", _is_no_order)),
    (
        "ID",
        _finder(rf"{_ID_WORDS}{_LINKING}({_ID_NUMBER})(?![A-Z0-9])"),
    ),
    ("ACCOUNT", _finder(rf"{_ACCOUNT_WORDS}{_LINKING}(\d(?:[ -]?\d){{5,29}})(?!\d)", _is_number)),
    ("CONTACT", _finder(rf"(?<![a-z])(?:qq|扣扣|企鹅号|加群|群号){_LINKING}(?:群)?{_LINKING}([1-9]\d{{4,10}})(?!\d)")),
    (
        "CONTACT",
        _finder(
            r"(?:wechat|weixin|微信|薇信|(?<![a-z])vx)\s?(?:(?:id|号码|号)\s?[:是为]?|[:是为])\s?([a-z][a-z0-9_-]{5,19})(?![a-z0-9_-])"
        ),
    ),
    ("CONTACT", _finder(r"(?:wechat|weixin|微信|薇信|(?<![a-z])vx)\s?([a-z](?=[a-z_-]{0,18}\d)[a-z0-9_-]{5,19})(?![a-z0-9_-])")),
    ("PHONE", _finder(r"(?<![A-Za-z0-9+])\+[1-9](?:[ .()/-]{0,3}\d){7,14}(?!\d)")),
    ("PHONE", _finder(rf"{START}(?:(?:00)?86[ -]?)?1[3-9]\d(?:[ -]?\d{{4}}){{2}}{END}", _is_no_order)),
    ("PHONE", _finder(rf"(?<![A-Za-z0-9])(?:\(0\d{{2,3}}\) ?|0\d{{2,3}}[ -])\d{{7,8}}(?:-\d{{1,4}})?{END}", _is_no_order)),
    ("PHONE", _finder(rf"{START}(?:(?:010|02[0-57-9])[2-8]\d{{7}}|0[3-9]\d\d[2-8]\d{{6}}){END}", _is_no_order)),
    ("PHONE", _finder(rf"{START}[48]00-?\d{{3,4}}-\d{{3,4}}{END}", _is_no_order)),
    ("PHONE", _finder(rf"{START}(?:1[ .-])?(?:\([2-9]\d\d\)[ .-]?|[2-9]\d\d[.-])[2-9]\d\d[ .-]\d{{4}}{END}", _is_no_order)),
    ("PHONE", _finder(rf"{START}(?:07\d{{9}}|{_BRITISH}|0[1-9](?:[ .]\d\d){{4}}){END}", _is_no_order)),
    ("PHONE", _finder(rf"{_PHONE_WORDS}{_LINKING}(\+?\d(?:[ .()/-]{{0,2}}\d){{6,14}}){END}", _is_number)),
)
"""Kinds with their finders, in the order in which they take letters."""
