"""Values and complaints as pydantic 1 has them, which A1111's server uses: much is coerced in silence."""

from __future__ import annotations

import json
from typing import Any

from webui.simulator.answers import EscapedError
from webui.simulator.grammar import FALSE_WORDS, TRUE_WORDS, Entry, Grammar, WrongValueError

COMPLAINTS = {
    "integer": ("type_error.integer", "value is not a valid integer"),
    "number": ("type_error.float", "value is not a valid float"),
    "boolean": ("type_error.bool", "value could not be parsed to a boolean"),
    "string": ("type_error.str", "str type expected"),
    "array": ("type_error.list", "value is not a valid list"),
    "object": ("type_error.dict", "value is not a valid dict"),
}


def _read(value: Any, kind: str | None) -> Any:
    try:
        if kind == "integer":
            return int(value)
        if kind == "number":
            return float(value)
    except (TypeError, ValueError, OverflowError):
        raise WrongValueError(*COMPLAINTS[str(kind)]) from None
    if kind == "boolean":
        return _boolean(value)
    if kind == "string" and isinstance(value, (str, int, float)):
        return str(value)
    if (kind == "array" and isinstance(value, list)) or (kind == "object" and isinstance(value, dict)):
        return value
    if kind in COMPLAINTS:
        raise WrongValueError(*COMPLAINTS[kind])
    return value


def _boolean(value: Any) -> bool:
    word = str(value).lower()
    if isinstance(value, (bool, int, str)) and word in TRUE_WORDS | FALSE_WORDS:
        return word in TRUE_WORDS
    raise WrongValueError(*COMPLAINTS["boolean"])


def _limit(value: Any, short: str, words: str, bound: Any) -> WrongValueError:
    message = f"ensure this value is {words} {bound}"
    return WrongValueError(f"value_error.number.not_{short}", message, {"limit_value": bound})


def _not_permitted(value: Any, permitted: list[Any]) -> WrongValueError:
    message = f"unexpected value; permitted: {', '.join(map(str, permitted))}"
    return WrongValueError("value_error.const", message, {"given": value, "permitted": permitted})


def _entry(place: list[Any], value: Any, error: WrongValueError) -> Entry:
    entry = {"loc": place, "msg": error.message, "type": error.kind}
    return entry | ({"ctx": error.context} if error.context else {})


def _missing(place: list[Any], around: Any) -> Entry:
    return {"loc": place, "msg": "field required", "type": "value_error.missing"}


def _broken_json(error: json.JSONDecodeError) -> Entry:
    context = {
        "msg": error.msg,
        "doc": error.doc,
        "pos": error.pos,
        "lineno": error.lineno,
        "colno": error.colno,
    }
    wrong = WrongValueError("value_error.jsondecode", str(error), context)
    return _entry(["body", error.pos], None, wrong)


def _no_object(body: Any, is_model: bool) -> Entry:
    return _entry(["body"], body, WrongValueError(*COMPLAINTS["object"]))


def _response(model: str, values: dict[str, Any], wrong: dict[str, WrongValueError]) -> EscapedError:
    count = f"{len(wrong)} validation error{'s' if len(wrong) > 1 else ''} for {model}"
    lines = [f"response -> {name}\n  {error.message} (type={error.kind})" for name, error in wrong.items()]
    return EscapedError("ValidationError", "\n".join([count, *lines]))


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
