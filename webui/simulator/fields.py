"""Request bodies checked against a recorded schema: names, types, defaults and limits of a running server."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from webui.simulator.answers import InvalidFieldsError
from webui.simulator.grammar import Entry, Grammar, Rule, WrongValueError


@dataclass(frozen=True)
class Schema:
    """Reads the bodies of requests, and looks through answers, as one server does."""

    rules: dict[str, dict[str, Rule]]
    """Kind of request, then name of field."""
    grammar: Grammar

    def read(self, kind: str, content_type: str | None, body: bytes) -> dict[str, Any]:
        """The complete request of this kind. Raises InvalidFieldsError."""
        return self.checked(kind, self.body_value(content_type, body))

    def checked(self, kind: str, value: Any) -> dict[str, Any]:
        """Given values coerced, others at their defaults, unknown dropped.

        Raises InvalidFieldsError with every wrong field, in the order of the schema.
        """
        return completed(self.rules[kind], self.as_object(value, is_model=True), self.grammar)

    def as_object(self, value: Any, *, is_model: bool = False) -> dict[str, Any]:
        """`is_model`: the endpoint names its fields. Raises InvalidFieldsError unless it is a JSON object."""
        if not isinstance(value, dict):
            raise InvalidFieldsError([self.grammar.no_object(value, is_model)])
        return value

    def body_value(self, content_type: str | None, body: bytes) -> Any:
        """The JSON value of a body; a body that is not sent as JSON stays bytes. Raises InvalidFieldsError."""
        if not body:
            raise InvalidFieldsError([self.grammar.missing(["body"], None)])
        kind = (content_type or "application/json").split(";")[0].strip().lower()
        if not (kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json"))):
            return body
        try:
            return json.loads(body)
        except json.JSONDecodeError as error:
            raise InvalidFieldsError([self.grammar.broken_json(error)]) from None
        except UnicodeDecodeError:
            raise InvalidFieldsError([self.grammar.no_object(None, True)]) from None

    def response(self, model: str, rules: dict[str, Rule], values: dict[str, Any]) -> dict[str, Any]:
        """The server's own answer, as the types that it declared make of it. Raises EscapedError."""
        read: dict[str, Any] = {}
        wrong: dict[str, WrongValueError] = {}
        for name, value in values.items():
            try:
                read[name] = self.grammar.value(value, rules[name]) if name in rules else value
            except WrongValueError as error:
                wrong[name] = error
        if wrong:
            raise self.grammar.response(model, values, wrong)
        return read


def completed(rules: dict[str, Rule], given: dict[str, Any], grammar: Grammar) -> dict[str, Any]:
    """The given values as the rules have them. Raises InvalidFieldsError."""
    result: dict[str, Any] = {}
    wrong: list[Entry] = []
    for name, rule in rules.items():
        if name in given:
            try:
                result[name] = grammar.value(given[name], rule)
            except WrongValueError as error:
                wrong.append(grammar.entry(["body", name], given[name], error))
        elif rule.get("required"):
            wrong.append(grammar.missing(["body", name], given))
        else:
            result[name] = _fresh(rule["default"])
    if wrong:
        raise InvalidFieldsError(wrong)
    return result


def _fresh(default: Any) -> Any:
    return type(default)(default) if isinstance(default, (list, dict)) else default
