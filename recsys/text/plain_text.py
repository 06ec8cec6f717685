"""What a shopper reads of a text: no tags, no entities, no halves of characters."""

from __future__ import annotations

import html
import re

READING = "plain text 1"
"""Part of every encoder's fingerprint: another number says that texts are read in another way."""

_RAW = 4
"""So many characters of raw HTML are looked at for each one wanted."""
_FORMAT = "b|i|u|s|em|strong|small|big|sub|sup|font|mark|tt|strike|ins|del|wbr"
_BLOCK = (
    "a|abbr|address|article|aside|audio|blockquote|body|br|button|caption|center|cite|code|col|colgroup|dd|div|dl|dt|fieldset|figcaption|"
    "figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|label|legend|li|link|main|meta|nav|object|ol|optgroup|option|p|param|"
    "picture|pre|q|section|select|source|span|svg|table|tbody|td|textarea|tfoot|th|thead|title|tr|ul|video"
)
_REST = r"""(?:\s++[\w:.-]++\s*+=\s*+(?:"[^"<]*+"|'[^'<]*+'|[^\s"'<>]++))*+\s*+/?+>"""
_UNSEEN = re.compile(r"<!--.*?(?:-->|\Z)|<!doctype\b[^<>]*+>|<(script|style)\b[^<>]*+>.*?(?:</\1\s*+>|\Z)", re.DOTALL | re.IGNORECASE)
_FORMATTING = re.compile(rf"</?(?:{_FORMAT}){_REST}", re.IGNORECASE)
_TAG = re.compile(rf"</?(?:{_BLOCK}){_REST}", re.IGNORECASE)
_ENTITY = re.compile(r"&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,30});")


def plain_text(text: str, n_most: int) -> str:
    """At most n_most characters of the text as a page would show it; always valid Unicode.

    Tags of HTML become spaces, those that only change the letters' look nothing; comments, scripts and styles go with what they hold.
    Entities that end in a semicolon become their characters, once. Whatever is no tag of HTML stays: '<3', 'a < b', 'x<y'. Halves of a
    surrogate pair become one character where they meet, and a replacement character where they do not.
    """
    text = text[: _RAW * n_most]
    if "<" in text:
        text = _TAG.sub(" ", _FORMATTING.sub("", _UNSEEN.sub(" ", text)))
    if "&" in text:
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    text = text[:n_most]
    return text if text.isascii() else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
