"""Prompts as other programs write them: recognised in a pack's text, and told with the format that reads them.

Making rows of them is `conversion`.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal

from jobs.packs.findings import PackWarning, Report
from jobs.packs.tags import read_tag_line

Format = Literal["lines", "a1111", "civitai"]
FORMATS: Final[dict[Format, str]] = {
    "lines": "one prompt per line",
    "a1111": "A1111's “Prompts from file”",
    "civitai": "copied from pictures (A1111, Civitai)",
}
"""What `--format` takes, in words."""

Line = tuple[int, str]
OPTION_RE: Final = re.compile(r"--[a-z][a-z0-9_]{1,40}+(?=[\s=]|$)", re.IGNORECASE)
STEPS_RE: Final = re.compile(r"Steps\s{0,4}+:\s{0,4}+[0-9]{1,6}+\s{0,4}+(?:,|$)", re.IGNORECASE)
NEGATIVE_RE: Final = re.compile(r"Negative prompt\s{0,4}+:", re.IGNORECASE)
STYLES_RE: Final = re.compile(
    r'"?name"?[ \t]{0,4}+,[ \t]{0,4}+"?prompt"?[ \t]{0,4}+(?:,|\r|\n|$)', re.IGNORECASE
)
NEG_RE: Final = re.compile(r"neg\s*+:", re.IGNORECASE)
"""How a line of negative words begins."""
_WORDS_OF_A_PROMPT: Final = re.compile(r"[,.:;()\[\]{}<>|_#\"]")
_FEWEST_LINES: Final = 4
_FEWEST_ENTRIES: Final = 5
_MOST_WORDS: Final = 3


def lint_formats(blocks: Sequence[Sequence[Line]]) -> list[PackWarning]:
    """What looks like another program's, once for each kind and block."""
    found: list[PackWarning] = []
    for block in blocks:
        number, _ = block[0]
        options = [line for line in block if OPTION_RE.match(line[1])]
        if options:
            words = (
                f"{_lines(len(options))} of options ({OPTION_RE.match(options[0][1])[0]} …) would be sent as words; "  # type: ignore[index]
                "import with --format a1111 to make each a row with its settings."
            )
            found.append(PackWarning(code="option_lines", message=words, line=options[0][0]))
        elif any(STEPS_RE.match(line) or NEGATIVE_RE.match(line) for _, line in block):
            words = (
                "this looks copied from a picture; import with --format civitai to take prompt, negative prompt and "
                "settings apart."
            )
            found.append(PackWarning(code="copied_parameters", message=words, line=number))
        elif _is_lines(block, alone=len(blocks) == 1):
            words = f"{_lines(len(block))} make one row, so one prompt; import with --format lines if each is a prompt."
            found.append(PackWarning(code="lines_as_row", message=words, line=number))
    return found


def refuse_other_files(blocks: Sequence[Sequence[Line]], report: Report) -> None:
    """Refuse a text that is a list of styles, or of wildcard values, and would be drawn as one senseless prompt.

    Its first two blocks are enough: a list of values has only one.
    """
    if blocks and STYLES_RE.match(blocks[0][0][1]):
        report.refuse("styles_file", f"its text is no pack: {STYLES_WORDS}", "text")
    elif len(blocks) == 1 and _is_wildcard_list([line for _, line in blocks[0]]):
        words = (
            f"its {len(blocks[0]):,} short lines look like the values of a wildcard, not like prompts. "
            "Give them to a slot (--matrix NAME=VALUE,VALUE) or to randomization.wildcards in a pack's JSON; import "
            "with --format lines if each is a prompt."
        )
        report.refuse("wildcard_file", words, "text")


def looks_like_styles(text: str) -> bool:
    """Whether the text begins as A1111's styles.csv does."""
    return STYLES_RE.match(text.lstrip("\ufeff \r\n")) is not None


def what_else(suffix: str, beginning: str, expected: str) -> str:
    """What a file of this suffix may be that is no pack, and what to do; `expected` says it where nothing is known."""
    if suffix in (".yaml", ".yml"):
        return WILDCARDS_WORDS
    if suffix == ".csv" and looks_like_styles(beginning):
        return STYLES_WORDS
    return expected


STYLES_WORDS: Final = (
    "it is a list of styles (name, prompt, negative prompt). StableNew has no styles; write their words into the "
    "rows of a pack."
)
WILDCARDS_WORDS: Final = (
    "it looks like a list of wildcards. Give their values to slots (--matrix NAME=VALUE,VALUE), or to "
    "randomization.wildcards in a pack's JSON."
)


def _is_lines(block: Sequence[Line], *, alone: bool) -> bool:
    """Several lines of words and nothing that belongs to a row of several lines: no tags, no negative."""
    if len(block) < (2 if alone else _FEWEST_LINES):
        return False
    return not any(NEG_RE.match(line) or read_tag_line(line) for _, line in block)


def _is_wildcard_list(lines: Sequence[str]) -> bool:
    return len(set(lines)) >= max(_FEWEST_ENTRIES, len(lines)) and all(map(_is_entry, lines))


def _is_entry(line: str) -> bool:
    return len(line.split()) <= _MOST_WORDS and not _WORDS_OF_A_PROMPT.search(line)


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"
