"""The text with which a picture says how it was made, as people copy it too: parsed, never failing.

Reading it out of a picture is a driver's.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_QUOTED = re.compile(r'"(?:[^\\"]|\\.)++"(?=,|$)')
_NO_NAME = re.compile(r"[^\w \-/]")
_NAME_BEGINS = re.compile(r"\w")
_NEGATIVE = "Negative prompt:"
_FEWEST_FIELDS = 3
"""A last line with fewer fields belongs to the prompt: that is the WebUI's own rule."""


@dataclass(frozen=True)
class Infotext:
    """`fields` keep their order and names ("Steps", "CFG scale"); values are texts, unquoted."""

    prompt: str = ""
    negative_prompt: str = ""
    fields: dict[str, str] = field(default_factory=dict)


def parse_infotext(text: str) -> Infotext:
    """Parse as the WebUI does, and never fail: what cannot be read as fields stays in the prompt."""
    lines = text.strip().splitlines()
    fields: dict[str, str] = {}
    if lines and len(found := list(fields_of_line(lines[-1]))) >= _FEWEST_FIELDS:
        lines.pop()
        fields = dict(found)
    prompt: list[str] = []
    negative: list[str] = []
    target = prompt
    for line in lines:
        stripped = line.strip()
        if target is prompt and stripped.startswith(_NEGATIVE):
            target = negative
            stripped = stripped[len(_NEGATIVE) :].strip()
        target.append(stripped)
    return Infotext("\n".join(prompt).strip(), "\n".join(negative).strip(), fields)


def fields_of_line(line: str) -> Iterator[tuple[str, str]]:
    """`Name: value` pairs as the WebUI's own expression finds them, each character looked at once or twice.

    Values are unquoted; a name that stands twice is there twice.

    A name is the longest run of letters, digits, spaces, `-` and `/` before a colon; a value ends at the next comma,
    or is quoted.
    """
    at = 0
    while (colon := line.find(":", at)) >= 0:
        name = _NAME_BEGINS.search(_NO_NAME.split(line[at:colon])[-1])
        at = colon + 1
        if name is None:
            continue
        while at < len(line) and line[at].isspace():
            at += 1
        quoted = _QUOTED.match(line, at)
        comma = line.find(",", at)
        end = quoted.end() if quoted else comma if comma >= 0 else len(line)
        yield name.string[name.start() :].strip(), _unquote(line[at:end].strip())
        at = end + 1


def _unquote(value: str) -> str:
    if len(value) < 2 or not (value[0] == value[-1] == '"'):
        return value
    try:
        unquoted = json.loads(value)
    except ValueError:
        return value
    return unquoted if isinstance(unquoted, str) else value
