"""What is said of a picture: by the server, by the picture itself, and of each setting that its request fixed.

A driver brings `Testimony`, because it alone knows the names and rules of its servers; judging it is no driver's.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from webui.work.catalog import Need


class Witness(StrEnum):
    """Who says something. The values stand in stored documents; `words` are for people."""

    INFO = "info"
    ANSWER_TEXT = "answer text"
    PICTURE_TEXT = "picture text"
    LISTS = "lists"
    PIXELS = "pixels"
    ANSWER = "answer"

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = {
    Witness.INFO: "the answer's info",
    Witness.ANSWER_TEXT: "the answer's infotext",
    Witness.PICTURE_TEXT: "the picture's own text",
    Witness.LISTS: "the server's lists",
    Witness.PIXELS: "the pixels",
    Witness.ANSWER: "the answer",
}


@dataclass(frozen=True, slots=True)
class Saying:
    """What one witness says of one setting; `used` in its own words.

    `same`: that is what was asked for. `proves` False: this witness repeats what was asked whatever was done, so that
    it can contradict and never prove.
    """

    witness: Witness
    used: str
    same: bool
    proves: bool = True


@dataclass(frozen=True, slots=True)
class Testimony:
    """One setting that a request fixed for one picture, and everything that is said of it.

    `need` is what a server must have for it, and `listed_proves` says that a server which lists it uses it: it looks
    names up in that very list, or refuses what is not there. `field` is a word for people, and the key of the setting.
    `plain`: what it means that the picture is its input, enlarged by Lanczos and by no model: True that this was asked,
    False that the thing was not used; None where that says nothing.
    """

    field: str
    asked: str
    sayings: tuple[Saying, ...] = ()
    need: Need | None = None
    listed_proves: bool = False
    plain: bool | None = None
