"""What varies in one row: its tokens, rules, wildcards and choices, found in all that may come into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from jobs.building.layers import RowTemplate, tokens_in
from jobs.packs.choices import choices_in
from jobs.packs.document import PackDocument
from jobs.packs.matrix import Slot
from jobs.packs.randomization import WILDCARD_RE


@dataclass(frozen=True, slots=True)
class Inventory:
    """What a row uses: its tokens as written, the rules that find something in it, its wildcards and its choices.

    A choice is a wildcard that its row alone has.
    """

    tokens: tuple[str, ...]
    rules: tuple[Slot, ...]
    wildcards: tuple[Slot, ...]


@dataclass(frozen=True, slots=True)
class _Words:
    """What some values say: the tokens and the wildcards in them."""

    tokens: tuple[str, ...]
    wildcards: frozenset[str]


@dataclass(frozen=True, slots=True)
class Said:
    """What rules and wildcards say, by name, and all slots together; looked through once for all rows."""

    rules: Mapping[str, _Words]
    wildcards: Mapping[str, _Words]
    slots: _Words


def said_by(document: PackDocument) -> Said:
    """What the document's rules, wildcards and slots may put into any row."""
    choices = document.choices
    in_slots = (value for slot in document.matrix_slots for value in slot.values if "__" in value)
    return Said(
        rules={rule.name: _words_in(rule.values) for rule in choices.rules},
        wildcards={wildcard.name: _words_in(wildcard.values) for wildcard in choices.wildcards},
        slots=_words_in(tuple(in_slots) if choices.wildcards else ()),
    )


def _words_in(values: Sequence[str]) -> _Words:
    names = frozenset(name for value in values for name in WILDCARD_RE.findall(value))
    return _Words(tokens_in(values), names)


def inventory_of(template: RowTemplate, document: PackDocument, said: Said) -> Inventory:
    """Look through the layers and through every word that a rule, wildcard or slot may put into them."""
    choices = document.choices
    rules = tuple(rule for rule in choices.rules if rule.name in template.row_text)
    found = [_words_in(template.texts), *(said.rules[rule.name] for rule in rules), said.slots]
    names = frozenset[str]().union(*(words.wildcards for words in found))
    wildcards = tuple(wildcard for wildcard in choices.wildcards if wildcard.name in names)
    found += [said.wildcards[wildcard.name] for wildcard in wildcards]
    # What the values of a choice say stands in the text that it is written in.
    written = {choice.name: choice for text in template.texts for choice in choices_in(text)}
    tokens = dict.fromkeys(token for words in found for token in words.tokens)
    return Inventory(tuple(tokens), rules, (*wildcards, *written.values()))
