"""What a person asks of a build, and the short forms in which people type it."""

from __future__ import annotations

import csv
import json
import re
from typing import Annotated, Any, Final, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
)

from jobs.errors import OptionError
from jobs.packs.grammar import MAX_ROWS

JsonScalar = bool | int | float | str | None

DEFAULT_MAX_RECORDS: Final = 10_000
MAX_SHOWN: Final = 120
_PATH: Final = r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)+"
DEFAULT_NEGATIVE: Final = "lowres, bad quality, blurry"


def _clean(text: str) -> str:
    """Refuse what no database and no request can carry."""
    if "\0" in text:
        raise ValueError("holds a NUL character")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("is not valid text") from None
    return text


def _in_order(rows: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(set(rows)))


CleanText = Annotated[str, AfterValidator(_clean)]


class BuildOptions(BaseModel):
    """One build's options; with the pack's content they decide every byte of its records.

    `rows` are 0-based, in the order of the pack; None takes all. `overrides` maps settings
    (`txt2img.steps`) to values and wins over the pack. `matrix` defines or replaces slots; it means all
    combinations (fanout without the pack's limit) unless `overrides` sets `matrix.mode` or
    `matrix.limit`. `sweeps` maps settings of stages to the values that each row is built with. `preset` is a JSON
    document whose settings hold where the pack has none. `repeat`
    multiplies the pack's `loop_count`. `limit` bounds the records of the build. `skip_unfilled` leaves rows out
    that have a token without values, instead of refusing them. `strict` refuses what would be sent to the WebUI as
    words although it was written for another program, instead of only telling it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    build_seed: int
    rows: Annotated[tuple[Annotated[int, Field(ge=0)], ...], AfterValidator(_in_order)] | None = None
    overrides: dict[CleanText, bool | int | float | CleanText | None] = Field(default_factory=dict)
    matrix: dict[CleanText, tuple[CleanText, ...]] = Field(default_factory=dict)
    sweeps: dict[CleanText, tuple[bool | int | float | CleanText | None, ...]] = Field(default_factory=dict)
    preset: CleanText = ""
    repeat: Annotated[int, Field(ge=1)] = 1
    limit: Annotated[int, Field(ge=1)] | None = None
    max_records: Annotated[int, Field(ge=1)] = DEFAULT_MAX_RECORDS
    global_positive: CleanText = ""
    global_negative: CleanText = DEFAULT_NEGATIVE
    queue_source: Literal["ADD_TO_QUEUE", "RUN_NOW"] = "ADD_TO_QUEUE"
    skip_unfilled: bool = False
    strict: bool = False

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Requests of before these options are compared with those of today by their stored text."""
        data: dict[str, Any] = handler(self)
        for name in ("skip_unfilled", "strict"):
            if not data.get(name):
                data.pop(name, None)
        return data


def parse_rows(text: str) -> tuple[int, ...]:
    """`1-3,7` as people count becomes (0, 1, 2, 6). Raises OptionError; nothing is counted out before it fits."""
    runs: list[tuple[int, int]] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*(?:-\s*([0-9]{1,6})\s*)?", part)
        if match is None:
            raise OptionError(f"{shortened(text)} is no list of rows; write numbers and ranges, like 1-3,7.")
        first = int(match[1])
        last = int(match[2]) if match[2] else first
        if first < 1:
            raise OptionError(f"{shortened(text)}: rows count from 1.")
        if last < first:
            raise OptionError(f"{shortened(text)}: the range {first}-{last} runs backwards.")
        if last > MAX_ROWS:
            raise OptionError(f"There is no row {last:,}: a pack has at most {MAX_ROWS:,} rows.")
        runs.append((first - 1, last))
    rows: list[int] = []
    for first, last in sorted(runs):
        rows += range(max(first, rows[-1] + 1 if rows else 0), last)
    return tuple(rows)


def shortened(text: str) -> str:
    """What a person typed, in quotes, as long as a sentence bears."""
    return repr(text if len(text) <= MAX_SHOWN else f"{text[: MAX_SHOWN - 1]}…")


def parse_override(text: str) -> tuple[str, JsonScalar]:
    """`txt2img.steps=4` becomes ("txt2img.steps", 4).

    A value that reads as a JSON number, true, false, null or "quoted text" is that; all else is text.
    Raises OptionError.
    """
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not re.fullmatch(_PATH, path):
        raise OptionError(f"{shortened(text)} is no setting; write SECTION.NAME=VALUE, like txt2img.steps=4.")
    return path, _read_scalar(value.strip(), text)


def parse_sweep(text: str) -> tuple[str, tuple[JsonScalar, ...]]:
    """`txt2img.cfg_scale=5,7` becomes ("txt2img.cfg_scale", (5, 7)). Raises OptionError.

    A value that holds a comma stands in double quotes.
    """
    path, equals, rest = text.partition("=")
    path = path.strip()
    if not equals or not re.fullmatch(_PATH, path):
        raise OptionError(
            f"{shortened(text)} is no sweep; write SECTION.NAME=VALUE,VALUE, like txt2img.cfg_scale=5,7."
        )
    values = _split_values(path, rest)
    if not values or not all(values):
        raise OptionError(f"{shortened(text)}: the sweep has an empty value; remove the stray comma.")
    return path, tuple(_read_scalar(value, text) for value in values)


def _read_scalar(value: str, text: str) -> JsonScalar:
    parsed: Any
    try:
        parsed = json.loads(value, parse_constant=str)
    except (ValueError, RecursionError):
        # Brackets that nobody closes, or that go deeper than anybody reads, are text as well.
        parsed = value
    if isinstance(parsed, dict | list):
        raise OptionError(f"{shortened(text)}: a setting is one value, not a list or an object.")
    if isinstance(parsed, float) and parsed in (float("inf"), float("-inf")):
        raise OptionError(f"{shortened(text)}: the number is too large.")
    scalar: JsonScalar = parsed
    return scalar


def parse_matrix(text: str) -> tuple[str, tuple[str, ...]]:
    """`environment=forest,castle` becomes ("environment", ("forest", "castle")).

    A value that holds a comma stands in double quotes (`place="a keep, at dusk",forest`). Raises OptionError.
    """
    name, equals, rest = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise OptionError(
            f"{shortened(text)} is no slot; write NAME=VALUE,VALUE, like environment=forest,castle."
        )
    return name, parse_slot_values(name, rest)


def parse_slot_values(name: str, text: str) -> tuple[str, ...]:
    """`forest,castle` becomes ("forest", "castle"), as `parse_matrix` reads it. Raises OptionError."""
    values = _split_values(name, text)
    if not values or not all(values):
        raise OptionError(f"{shortened(text)}: the slot {name!r} has an empty value; remove the stray comma.")
    return values


def _split_values(name: str, text: str) -> tuple[str, ...]:
    try:
        return tuple(value.strip() for row in csv.reader([text], skipinitialspace=True) for value in row)
    except csv.Error as error:
        raise OptionError(f"{name!r}: the values cannot be read: {error}.") from None
