"""The kinds of work that a node can take, and what they are called that come of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from django.db.models import TextChoices

from webui.words import ServerNoun, count, listed


class WorkKind(TextChoices):
    """What a node takes: jobs of another kind wait for another node."""

    IMAGE = "image", "Images"
    I2V = "i2v", "Image to video"
    EDIT = "edit", "Edits"


_NOUNS: Final[Mapping[str, str]] = {WorkKind.IMAGE: "picture", WorkKind.I2V: "film", WorkKind.EDIT: "edit"}


def result_noun(kind: str) -> str:
    """What a job of this kind makes."""
    return _NOUNS[kind]


def result_name(kind: str, number: int) -> str:
    """`picture 2`, `film`: one result of a job; a film or an edit is all that its job makes."""
    noun = result_noun(kind)
    return f"{noun} {number}" if kind == WorkKind.IMAGE else noun


def server_noun(kind: str) -> ServerNoun:
    """What the servers are called that take this kind."""
    return ServerNoun.WEBUI if kind == WorkKind.IMAGE else ServerNoun.WORKER


def kind_of_stage(stage: str) -> WorkKind:
    """A job of films or edits has one stage, which has the name of its kind."""
    return WorkKind(stage) if stage in WorkKind.values else WorkKind.IMAGE


def count_results(by_kind: Mapping[str, int]) -> str:
    """`3 pictures`, `1 film`, `2 pictures and 1 film`: results counted by the kind of their jobs."""
    told = [count(by_kind[kind], noun) for kind, noun in _NOUNS.items() if by_kind.get(kind)]
    # Of none the noun still says what was to come.
    return listed(told or [count(0, _NOUNS[next(iter(by_kind), WorkKind.IMAGE)])])
