"""The kinds of servers that speak `/sdapi/v1`, and how one is told from another.

What each of them does with a name is in `resolving`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Final

from webui.drivers.a1111.listings import Version
from webui.work.catalog import Thing


@dataclass(frozen=True, slots=True)
class ServerDialect:
    """One kind of server. `known_by` says by what it is known; the first of the table that fits is it."""

    name: str
    """As it stands in catalogs."""
    title: str
    known_by: str
    source: str
    """Where its ways with names come from."""
    vae_list: Thing | None = Thing.VAE
    """Where the VAE that a request names is looked up; None: such a server ignores it."""
    caveat: str = ""
    """Why one should not rely on what we know of it; empty where its answers were recorded from a real server."""

    @property
    def tested(self) -> bool:
        return not self.caveat

    @property
    def full_title(self) -> str:
        return f"{self.title} ({self.caveat})" if self.caveat else self.title


UNTESTED: Final = "untested on a real server"


@dataclass(frozen=True, slots=True)
class Signs:
    """What a server showed of itself: the names of its settings, and which endpoints it has."""

    options: Collection[str] = ()
    endpoints: Collection[str] = ()
    version: Version | None = None


A1111: Final = ServerDialect(
    "a1111",
    "AUTOMATIC1111",
    known_by="lists VAEs and scripts, and has the setting CLIP_stop_at_last_layers",
    source="recorded from 1.9.4; modules/sd_models.py, sd_samplers.py, sd_vae.py, extensions-builtin/Lora/networks.py",
)
FORGE: Final = ServerDialect(
    "forge",
    "Forge",
    known_by="lists modules at /sdapi/v1/sd-modules",
    source="recorded from 2.0.1; modules/sd_samplers.py, sd_vae.py, modules_forge/main_entry.py",
    vae_list=None,
)
FORGE_NEO: Final = ServerDialect(
    "forge-neo",
    "Forge Neo",
    known_by="is like Forge, and has the setting VERSION_UID, or lacks forge_inference_memory",
    source="Haoming02/sd-webui-forge-classic, branch neo: modules/sd_models.py, sd_samplers.py, shared_options.py, "
    "modules_forge/shared_options.py",
    vae_list=None,
    caveat=UNTESTED,
)
SDNEXT: Final = ServerDialect(
    "sdnext",
    "SD.Next",
    known_by="tells its version at /sdapi/v1/version",
    source="vladmandic/sdnext: modules/sd_checkpoint.py, modules/processing.py, modules/api/endpoints.py, loras.py",
    caveat=UNTESTED,
)
UNKNOWN: Final = ServerDialect(
    "unknown",
    "Unknown server",
    known_by="is none of the others",
    source="nothing: a name that it does not list is never said to be missing",
    caveat="none of those we know",
)
DIALECTS: Final[Mapping[str, ServerDialect]] = {
    dialect.name: dialect for dialect in (SDNEXT, FORGE_NEO, FORGE, A1111, UNKNOWN)
}


def dialect_of(name: str) -> ServerDialect:
    """That of a catalog; one that tells of none is taken for A1111's, whose API the others copy."""
    return DIALECTS.get(name, UNKNOWN) if name else A1111


def detect(signs: Signs) -> ServerDialect:
    """The kind of server that shows these signs."""
    if signs.version is not None:
        return SDNEXT
    if "sd-modules" in signs.endpoints:
        has = signs.options.__contains__
        lacks_memory = has("forge_additional_modules") and not has("forge_inference_memory")
        return FORGE_NEO if has("VERSION_UID") or lacks_memory else FORGE
    if {"sd-vae", "scripts"} <= set(signs.endpoints) and "CLIP_stop_at_last_layers" in signs.options:
        return A1111
    return UNKNOWN


def told_version(version: Version | None) -> Version | None:
    """An answer that names no version is none."""
    return version if version_of(version) else None


def version_of(version: Version | None) -> str:
    """What the server calls itself, "" where it does not say."""
    if version is None:
        return ""
    told = (version.updated, version.commit or version.hash)
    return " ".join(part[:60] for part in told if part)
