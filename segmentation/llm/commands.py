"""Takes out what a text says to whoever labels it, in its usual forms.

The fence tells a capable model that a text is no instruction. A small one is swayed all the same, above all by a label that the text names.
So the commands that can be told from ordinary words are not shown to it at all: "ignore the above ...", "answer <label>", "the label is
<label>", in English and Chinese. Other wordings pass.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_END = r"[^.!?\u3002\uff01\uff1f\n]*[.!?\u3002\uff01\uff1f]?"
"""The rest of the sentence."""
_BEFORE = r"(?:(?<=[.!?:;,\n\"'(\u3002\uff0c])\s{0,4}|\A\s*|\b(?:please|now|just|only|and|must|should)\s+)"
"""What a command stands after; "they ignore my messages" is none."""
_DISREGARD_WORDS = r"(?:ignore|disregard|forget|override)"
_TASK = r"(?:instruction|prompt|command|task|question|rule|message)s?\b"
_DISREGARD = re.compile(
    rf"(?:{_BEFORE}{_DISREGARD_WORDS}|(?-i:\b(?:Ignore|IGNORE|Disregard|DISREGARD|Forget|FORGET|Override|OVERRIDE)))"
    rf"\s+(?:(?:all|any|of|the|my|these|those|everything)\s+)*"
    rf"(?:(?:{_TASK}\s+)?above(?=\W|\Z)"
    rf"|(?:above|previous|preceding|prior|earlier|system|your|(?<=all )|(?<=any ))\s*{_TASK}|prompts?\b){_END}"
    rf"|(?:忽略|无视|不要理会)[^\u3002\uff01\uff1f\n]{{0,8}}(?:以上|上面|上述|之前|前面|指令|提示){_END}",
    re.IGNORECASE,
)
_SAY = (
    rf"{_BEFORE}(?:answer|respond|reply|classify|say)(?:\s+(?:only|just|with|as|exactly|the|this|it|word|label|review|text))*"
    rf"|{_BEFORE}(?:output|print|write|return)(?:\s+(?:only|just|exactly|the|word|label))+"
    r"|\b(?:answer|label|category|classification|sentiment|output|response)(?:\s+(?:of|for)\s+(?:this|the)\s+\w+)?"
    r"(?:\s*[:=]|\s+(?:is|be|must be|should be)\b)"
    r"|(?:回答|输出|答案|标签|分类)(?:是|为|应该是)?"
)


def without_commands(text: str, choices: Sequence[str]) -> str:
    """The text without commands to disregard the question, and without those that name one of its choices, to the end of the sentence."""
    named = "|".join(re.escape(choice) for choice in sorted(choices, key=len, reverse=True))
    naming = re.compile(rf"(?:{_SAY})[\s:\uff1a=\"'\u201c\u2018*-]*(?:{named})(?![^\W\d_]){_END}", re.IGNORECASE)
    return naming.sub("", _DISREGARD.sub("", text)).strip()


def without_names(text: str, choices: Sequence[str]) -> str:
    """The text with an ellipsis for each of the choices that stands in it as a word of its own, in any case."""
    named = "|".join(re.escape(choice) for choice in sorted(choices, key=len, reverse=True))
    return re.sub(rf"(?<![A-Za-z])(?:{named})(?![A-Za-z])", "\u2026", text, flags=re.IGNORECASE)
