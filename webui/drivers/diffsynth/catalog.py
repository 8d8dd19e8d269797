"""What a worker has, and how it resolves names: one model, and the LoRAs that are part of it. Pure."""

from __future__ import annotations

from difflib import get_close_matches
from typing import Final

from webui.drivers.diffsynth.schemas import ToldHealth
from webui.words import writable
from webui.work.catalog import Catalog, Entry, Found, Has, Need, Thing

DIALECT: Final = "diffsynth"
SIMULATED: Final = "diffsynth-simulated"
TITLES: Final = {DIALECT: "DiffSynth worker", SIMULATED: "Simulated DiffSynth worker"}
LONGEST_NAME: Final = 300


def dialect_title(dialect: str) -> str:
    """See `webui.driver.Driver.dialect_title`."""
    return TITLES.get(dialect, TITLES[DIALECT])


def catalog_of(health: ToldHealth) -> Catalog:
    """Of a worker that is ready."""
    loras = tuple(
        Entry(
            _name(one.name), note=f"part of the model ({one.target})" if one.target else "part of the model"
        )
        for one in health.loras
    )
    return Catalog(
        dialect=SIMULATED if health.simulated else DIALECT,
        version=_name(health.versions.get("diffsynth") or ""),
        lists={Thing.CHECKPOINT: (Entry(_name(health.model)),) if health.model else (), Thing.LORA: loras},
        options={"device": _name(health.device)} if health.device else {},
    )


def find(catalog: Catalog, need: Need) -> Found:
    """See `webui.driver.Driver.find`. A worker has one model, and takes it by its exact name."""
    if need.thing is not Thing.CHECKPOINT or Thing.CHECKPOINT not in catalog.lists:
        return Found(Has.UNKNOWN)
    entries = catalog.lists[Thing.CHECKPOINT]
    entry = next((one for one in entries if one.name == need.name), None)
    if entry is not None:
        return Found(Has.YES, entry)
    nearest = get_close_matches(need.name, [one.name for one in entries], n=1, cutoff=0.0)
    return Found(Has.NO, nearest=nearest[0] if nearest else "")


def _name(text: str) -> str:
    return writable(text)[:LONGEST_NAME]
