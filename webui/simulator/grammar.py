"""How a server reads values and words its complaints: what `pydantic1` and `pydantic2` have in common."""

from __future__ import annotations

import json
import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from webui.simulator.answers import EscapedError

Rule = dict[str, Any]
"""Of one field: type (as in JSON schema), default or required, minimum, maximum, above, permitted, items."""
Entry = dict[str, Any]
"""One complaint, as it stands in `detail`."""

TRUE_WORDS = {"1", "t", "true", "on", "y", "yes"}
FALSE_WORDS = {"0", "f", "false", "off", "n", "no"}

LIMITS: tuple[tuple[str, str, str, Callable[[Any, Any], bool]], ...] = (
    ("above", "gt", "greater than", operator.gt),
    ("minimum", "ge", "greater than or equal to", operator.ge),
    ("maximum", "le", "less than or equal to", operator.le),
)


class WrongValueError(Exception):
    """The value cannot be read as the rule wants it."""

    def __init__(self, kind: str, message: str, context: dict[str, Any] | None = None) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.context = context


@dataclass(frozen=True)
class Grammar:
    read: Callable[[Any, str | None], Any]
    """The value as this JSON schema type; WrongValueError where it is none."""
    limit: Callable[[Any, str, str, Any], WrongValueError]
    """(value, short name, words, bound) of a limit that does not hold."""
    not_permitted: Callable[[Any, list[Any]], WrongValueError]
    entry: Callable[[list[Any], Any, WrongValueError], Entry]
    """(place, value given, what is wrong with it)."""
    missing: Callable[[list[Any], Any], Entry]
    """(place, what was given around it)."""
    broken_json: Callable[[json.JSONDecodeError], Entry]
    no_object: Callable[[Any, bool], Entry]
    """(the body, whether the endpoint reads it field by field)."""
    response: Callable[[str, dict[str, Any], dict[str, WrongValueError]], EscapedError]
    """(model, values, what is wrong with them): the server refuses its own answer."""

    def value(self, value: Any, rule: Rule) -> Any:
        """Raises WrongValueError."""
        if "permitted" in rule:
            if value in rule["permitted"]:
                return value
            raise self.not_permitted(value, rule["permitted"])
        if value is None:
            return None
        found = self.read(value, rule["type"])
        if rule["type"] == "array" and rule.get("items") == "string":
            found = [self.read(item, "string") for item in found]
        for name, short, words, holds in LIMITS:
            if name in rule and not holds(found, rule[name]):
                raise self.limit(value, short, words, rule[name])
        return found
