"""What a server has, and what a request needs of it: names as values, by kinds that no server owns.

Reading a server's lists and resolving a name as that server does are its driver's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

JsonScalar = str | int | float | bool | None


class Thing(StrEnum):
    """Kinds of what a request can name. The values are words for people, and stand in stored documents."""

    CHECKPOINT = "checkpoint"
    REFINER = "refiner"
    """A checkpoint by the rules of the refiner, which servers may resolve in another way."""
    VAE = "VAE"
    MODULE = "module"
    """A text encoder or VAE beside the checkpoint (Forge)."""
    SAMPLER = "sampler"
    SCHEDULER = "scheduler"
    UPSCALER = "upscaler"
    HIRES_UPSCALER = "hires upscaler"
    """An upscaler or a latent mode."""
    LORA = "LoRA"
    EMBEDDING = "embedding"
    SCRIPT = "extension"
    DETECTOR = "detector"
    """A model of ADetailer."""
    FACE_RESTORER = "face restorer"


@dataclass(frozen=True, slots=True, order=True)
class Need:
    """One thing that a request names, as it names it."""

    thing: Thing
    name: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One thing of a server's own list.

    `name` is what a request says to get it; `aliases` are other names that the server takes for it; `hashes` are
    beginnings of the SHA-256 of its file or the whole of it. `usable` False: it is listed and cannot be used as it is
    (weights that are not here, an embedding that does not fit the loaded checkpoint), and `note` says why; of one that
    can be used, `note` is what else is worth knowing.
    """

    name: str
    aliases: tuple[str, ...] = ()
    hashes: tuple[str, ...] = ()
    usable: bool = True
    note: str = ""


@dataclass(frozen=True, slots=True)
class Catalog:
    """What a server has, from its own lists. A kind that is not in `lists` is one of which it does not tell.

    `dialect` is the driver's name for what kind of server it is, `version` what the server calls itself ("" where it
    does not say); `options` are those settings of the server that matter to a picture. A kind in `partial` has more
    than its list shows, so what is not in the list is unknown, not missing. `notes` are sentences for a person: lists
    that could not be read or were cut. In `memo` a driver keeps what it has worked out, to find names fast.
    """

    dialect: str = ""
    version: str = ""
    lists: Mapping[Thing, tuple[Entry, ...]] = field(default_factory=dict)
    options: Mapping[str, JsonScalar] = field(default_factory=dict)
    partial: frozenset[Thing] = frozenset()
    notes: tuple[str, ...] = ()
    memo: dict[object, object] = field(default_factory=dict, compare=False, repr=False)

    def names(self, thing: Thing) -> tuple[str, ...] | None:
        """The names that a request may say; None where the server does not tell."""
        listed = self.lists.get(thing)
        return None if listed is None else tuple(entry.name for entry in listed)


class Has(StrEnum):
    """Whether a server has what was named. UNKNOWN is never a reason to hold a job."""

    YES = "yes"
    NO = "no"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Found:
    """How a server resolves a name: `entry` is what it will use, `nearest` the most alike name where it has none.

    `why` says for a person what is wrong with what was found ("its weights are not on this server"); empty where
    nothing is.
    """

    has: Has
    entry: Entry | None = None
    nearest: str = ""
    why: str = ""
