"""The HTML of an answer as a browser reads it: how its template is laid out in lines makes no difference."""

from __future__ import annotations

import re
from typing import Any

#: White space beside these is never shown.
_BLOCKS = (
    "article aside button body caption dd details div dl dt fieldset figcaption figure footer form h1 h2 h3 "
    "head header html legend li link main meta nav ol optgroup option p section select summary table tbody "
    "td tfoot th thead title tr ul"
)
_ATTRIBUTES = r"(?:\"[^\"]*\"|'[^']*'|[^<>\"'])*"
_TAG = re.compile(rf"(</?[a-z]{_ATTRIBUTES}>)")
_QUOTED_OR_SPACE = re.compile(r"(\"[^\"]*\"|'[^']*')|\s+(>?)")
_BLOCK = re.compile(rf"\s*(</?(?:{'|'.join(_BLOCKS.split())})\b{_ATTRIBUTES}>)\s*")
#: Every line of these is shown, or sent.
_VERBATIM = re.compile(rf"(<(pre|textarea)\b{_ATTRIBUTES}>.*?</\2>)", re.DOTALL)


def markup(answer: Any) -> str:
    """Of a response of the test client, or of bytes; character references stay as they are."""
    content: bytes = getattr(answer, "content", answer)
    parts = _VERBATIM.split(content.decode())
    return "".join(map("".join, zip(map(_flat, parts[::3]), [*parts[1::3], ""], strict=True)))


def _flat(text: str) -> str:
    texts_and_tags = _TAG.split(text)
    texts_and_tags[::2] = [re.sub(r"\s+", " ", part) for part in texts_and_tags[::2]]
    texts_and_tags[1::2] = [_QUOTED_OR_SPACE.sub(_in_tag, part) for part in texts_and_tags[1::2]]
    return _BLOCK.sub(r"\1", "".join(texts_and_tags))


def _in_tag(found: re.Match[str]) -> str:
    quoted, end = found.groups()
    return quoted or end or " "
