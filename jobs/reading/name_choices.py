"""Names that the fields of a submission offer: what any node that draws pictures has."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from webui.kinds import WorkKind
from webui.models import Node
from webui.nodes.catalogs import catalogs_of
from webui.work.catalog import Catalog, Entry, Thing

MOST_OFFERED: Final = 1_000
"""Of one field; a browser that offers more becomes slow."""


@dataclass(frozen=True, slots=True)
class NamedSetting:
    """A setting whose value is a name of a server's list: its field in the form, and where it stands in a pack."""

    field: str
    label: str
    path: str
    thing: Thing


NAMED_SETTINGS: Final = (
    NamedSetting("checkpoint", "Checkpoint", "txt2img.model", Thing.CHECKPOINT),
    NamedSetting("vae", "VAE", "txt2img.vae", Thing.VAE),
    NamedSetting("sampler", "Sampler", "txt2img.sampler_name", Thing.SAMPLER),
    NamedSetting("scheduler", "Scheduler", "txt2img.scheduler", Thing.SCHEDULER),
    NamedSetting("hires_upscaler", "Hires upscaler", "txt2img.hr_upscaler", Thing.HIRES_UPSCALER),
    NamedSetting("upscaler", "Upscaler", "upscale.upscaler", Thing.UPSCALER),
)


def name_choices() -> dict[str, tuple[str, ...]]:
    """By field: the names of all nodes together, sorted, each once; those that cannot be used are left out."""
    nodes = Node.objects.filter(kind=WorkKind.IMAGE).values_list("pk", flat=True)
    catalogs = [known.catalog for known in catalogs_of(nodes).values() if known.catalog is not None]
    return {setting.field: _offered(catalogs, setting.thing) for setting in NAMED_SETTINGS}


def _offered(catalogs: list[Catalog], thing: Thing) -> tuple[str, ...]:
    names = {
        name
        for catalog in catalogs
        for entry in catalog.lists.get(thing, ())
        if entry.usable
        for name in _names(entry)
    }
    return tuple(sorted(names, key=str.casefold)[:MOST_OFFERED])


def _names(entry: Entry) -> Iterator[str]:
    """Without its hash: a server that has not hashed the file yet takes it only so."""
    for begun in entry.hashes:
        if entry.name.endswith(f" [{begun}]"):
            yield entry.name.removesuffix(f" [{begun}]")
            return
    yield entry.name
