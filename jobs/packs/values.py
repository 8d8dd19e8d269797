"""One value of a file as its field's type: what can be meant is taken, and what was bent to it is told.

Which value counts where several are given is for `section_reader`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Annotated, Any, Final

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from jobs.errors import UnreadableError
from jobs.packs.sections import Section

_DECIMAL_COMMA: Final = re.compile(r"[+-]?[0-9]{1,20},[0-9]{1,20}")
_MAX_NUMBER_CHARS: Final = 40
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, default=str)


def is_unset(kind: type[Section], name: str, value: object) -> bool:
    """Whether a value says nothing: null, an empty list, "none" for a number, "" unless that is a text of its own."""
    field = fields_of(kind)[name]
    if value is None or value in ([], {}) or (value is False and field.annotation is str):
        return True
    if not isinstance(value, str):
        return False
    text = value.strip().lower()
    if field.annotation in (int, float, bool):
        return text in ("", "none", "null")
    return text == "" and field.default != "" and "" not in _spellings(kind, name)


@lru_cache(maxsize=32)
def fields_of(kind: type[Section]) -> Mapping[str, FieldInfo]:
    """The fields of a section; asked of pydantic once, which takes its time."""
    return dict(kind.model_fields)


def read_exactly(kind: type[Section], name: str, value: object) -> Any:
    """The value as the field has it, under any of its spellings. Raises UnreadableError."""
    if isinstance(value, str):
        value = _spellings(kind, name).get(value.strip().lower(), value)
    try:
        return _adapter(kind, name).validate_python(value)
    except ValidationError as error:
        raise UnreadableError(_expected(error.errors()[0])) from None
    except OverflowError:
        raise UnreadableError("a smaller number is expected") from None


def read_leniently(kind: type[Section], name: str, value: object) -> tuple[Any, str]:
    """The value that somebody meant, and how it had to be bent ("" where it had not). Raises UnreadableError."""
    notes: list[str] = []
    if isinstance(value, list):
        value = _of_list(kind, name, value, notes)
    annotation = fields_of(kind)[name].annotation
    if isinstance(value, str) and annotation in (int, float, bool):
        value = _number_text(value, notes)
    if annotation is int:
        value = _whole(value, notes)
    return read_exactly(kind, name, value), "; ".join(notes)


def shown(value: object) -> str:
    """A value as JSON, shortened and safe to keep; no more of it is written than is shown."""
    text = ""
    for piece in _ENCODER.iterencode(value):
        text += piece
        if len(text) > 60:
            text = f"{text[:59]}…"
            break
    return text.encode("utf-8", "replace").decode()


def _of_list(kind: type[Section], name: str, values: list[Any], notes: list[str]) -> object:
    if name in kind.LISTS and all(isinstance(value, str) for value in values):
        return ", ".join(values)
    if len(values) > 1 and name in kind.MEANING:
        if "prompt" not in name or not all(isinstance(value, str) for value in values):
            raise UnreadableError("one value is expected, not a list")
        notes.append("the list is read as one text with commas")
        return ", ".join(values)
    notes.append("the list's first value counts" if len(values) > 1 else "the list's one value counts")
    return values[0] if values else None


def _number_text(text: str, notes: list[str]) -> str:
    text = text.strip()
    if len(text) > _MAX_NUMBER_CHARS:
        raise UnreadableError("a shorter number is expected")
    if _DECIMAL_COMMA.fullmatch(text):
        text = text.replace(",", ".")
        notes.append(f"{text} is taken")
    return text


def _whole(value: object, notes: list[str]) -> object:
    """Sliders leave fractions where only whole numbers are."""
    if isinstance(value, bool) or not isinstance(value, str | float):
        return value
    try:
        number = float(value)
    except ValueError:
        return value
    if not math.isfinite(number) or number.is_integer():
        return value
    notes.append(f"the whole number {round(number)} is taken")
    return round(number)


@lru_cache(maxsize=512)
def _adapter(kind: type[Section], name: str) -> TypeAdapter[Any]:
    field = kind.model_fields[name]
    annotated: Any = Annotated[field.annotation, *field.metadata] if field.metadata else field.annotation
    return TypeAdapter(annotated, config=ConfigDict(allow_inf_nan=False, coerce_numbers_to_str=True))


def _spellings(kind: type[Section], name: str) -> Mapping[str, str]:
    return kind.SPELLINGS.get(name, {})


def _expected(detail: ErrorDetails) -> str:
    kind, context = detail["type"], detail.get("ctx", {})
    if kind.startswith("int"):
        return "a whole number is expected"
    if kind.startswith("float") or kind == "finite_number":
        return "a number is expected"
    if kind.startswith("bool"):
        return "true or false is expected"
    if kind == "greater_than_equal":
        return f"at least {context.get('ge')} is expected"
    if kind == "less_than_equal":
        return f"at most {context.get('le')} is expected"
    if kind == "literal_error":
        return f"{str(context.get('expected')).replace(chr(39), chr(34))} is expected"
    if kind.startswith("string_type"):
        return "text is expected"
    if kind in ("string_too_long", "too_long"):
        return f"at most {context.get('max_length')} characters are expected"
    if kind == "value_error":
        return str(context.get("error", detail["msg"]))
    return detail["msg"]
