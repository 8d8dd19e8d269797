"""Values and complaints as pydantic 2 has them, which Forge's server uses: stricter, and each with its input."""

from __future__ import annotations

import json
import math
from typing import Any

from webui.simulator.answers import EscapedError
from webui.simulator.grammar import FALSE_WORDS, TRUE_WORDS, Entry, Grammar, WrongValueError

URL = "https://errors.pydantic.dev/2.8/v/"
SHORT = {"integer": "int", "number": "float", "boolean": "bool", "string": "string"}
CONTAINERS: dict[str, tuple[type, str, str]] = {
    "array": (list, "list_type", "Input should be a valid list"),
    "object": (dict, "dict_type", "Input should be a valid dictionary"),
}


def _read(value: Any, kind: str | None) -> Any:
    if kind == "integer":
        return _integer(value)
    if kind == "number":
        return _number(value)
    if kind == "boolean":
        return _boolean(value)
    if kind == "string":
        if isinstance(value, str):
            return value
        raise _no("string")
    if kind in CONTAINERS:
        wanted, name, message = CONTAINERS[kind]
        if not isinstance(value, wanted):
            raise WrongValueError(name, message)
    return value


def _integer(value: Any) -> int:
    if isinstance(value, float):
        if not math.isfinite(value):
            raise WrongValueError("finite_number", "Input should be a finite number")
        if not value.is_integer():
            message = "Input should be a valid integer, got a number with a fractional part"
            raise WrongValueError("int_from_float", message)
        return int(value)
    return int(_parsed(value, "integer"))


def _number(value: Any) -> float:
    return float(_parsed(value, "number"))


def _parsed(value: Any, kind: str) -> Any:
    """The number that a text spells, or the number itself."""
    if isinstance(value, str):
        number = _spelled(value)
        if number is None or (kind == "integer" and not float(number).is_integer()):
            article = "an" if kind == "integer" else "a"
            message = f"Input should be a valid {kind}, unable to parse string as {article} {kind}"
            raise WrongValueError(f"{SHORT[kind]}_parsing", message)
        return number
    if isinstance(value, (int, float)):
        return value
    raise _no(kind)


def _spelled(text: str) -> int | float | None:
    for read in (int, float):
        try:
            return read(text)
        except ValueError:
            continue
    return None


def _boolean(value: Any) -> bool:
    if not isinstance(value, (bool, int, float, str)):
        raise _no("boolean")
    word = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).lower()
    if word in TRUE_WORDS | FALSE_WORDS:
        return word in TRUE_WORDS
    raise WrongValueError("bool_parsing", "Input should be a valid boolean, unable to interpret input")


def _no(kind: str) -> WrongValueError:
    return WrongValueError(f"{SHORT[kind]}_type", f"Input should be a valid {kind}")


def _limit(value: Any, short: str, words: str, bound: Any) -> WrongValueError:
    name = words.replace(" or equal to", "_equal").replace(" ", "_")
    return WrongValueError(name, f"Input should be {words} {bound:g}", {short: bound})


def _not_permitted(value: Any, permitted: list[Any]) -> WrongValueError:
    *others, last = map(repr, permitted)
    expected = f"{', '.join(others)} or {last}" if others else last
    return WrongValueError("literal_error", f"Input should be {expected}", {"expected": expected})


def _entry(place: list[Any], value: Any, error: WrongValueError) -> Entry:
    entry = {"type": error.kind, "loc": place, "msg": error.message, "input": value}
    return entry | ({"ctx": error.context} if error.context else {}) | {"url": URL + error.kind}


def _missing(place: list[Any], around: Any) -> Entry:
    return _entry(place, around, WrongValueError("missing", "Field required"))


def _broken_json(error: json.JSONDecodeError) -> Entry:
    return {
        "type": "json_invalid",
        "loc": ["body", error.pos],
        "msg": "JSON decode error",
        "input": {},
        "ctx": {"error": error.msg},
    }


def _no_object(body: Any, is_model: bool) -> Entry:
    words = ("dict_type", "Input should be a valid dictionary")
    if is_model:
        name = "model_attributes_type"
        words = (name, "Input should be a valid dictionary or object to extract fields from")
    shown = body.decode(errors="replace") if isinstance(body, bytes) else body
    return _entry(["body"], shown, WrongValueError(*words))


def _response(model: str, values: dict[str, Any], wrong: dict[str, WrongValueError]) -> EscapedError:
    entries = [_entry([], values[name], error) | {"loc": ("response", name)} for name, error in wrong.items()]
    text = "".join(f"  {entry}\n" for entry in entries)
    return EscapedError("ResponseValidationError", f"{len(entries)} validation errors:\n{text}", values)


GRAMMAR = Grammar(
    read=_read,
    limit=_limit,
    not_permitted=_not_permitted,
    entry=_entry,
    missing=_missing,
    broken_json=_broken_json,
    no_object=_no_object,
    response=_response,
)
