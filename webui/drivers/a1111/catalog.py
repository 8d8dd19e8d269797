"""What a WebUI has, from its own lists: read, bounded, and in the words of `webui.work.catalog`.

Which entry a name of a request means is in `resolving`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Final, TypeVar

from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.dialects import Signs, detect, told_version, version_of
from webui.drivers.a1111.listings import Lora, SdModel, ServerOptions, Upscaler, Version
from webui.errors import (
    WebUIAuthError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIGatewayError,
    WebUIUnavailableError,
)
from webui.work.catalog import Catalog, Entry, JsonScalar, Thing

logger = logging.getLogger(__name__)
T = TypeVar("T")

MOST_ENTRIES: Final = 10_000
LONGEST_NAME: Final = 300
MOST_ALIASES: Final = 8
MOST_NOTES: Final = 20
LONGEST_OPTION: Final = 300
OPTIONS: Final = (
    "sd_model_checkpoint",
    "sd_vae",
    "CLIP_stop_at_last_layers",
    "samples_format",
    "upscaler_for_img2img",
    "face_restoration_model",
    "forge_preset",
    "lora_add_hashes_to_infotext",
    "textual_inversion_add_hashes_to_infotext",
)
"""Settings that change a picture whose request says nothing of them, or what the server tells of a picture."""
TAKES_ANY_NAME: Final = "simulator_any_name"
"""A simulator that makes up what it is asked for says so by this setting; its lists are no proof of a lack."""
NO_FILE: Final = (
    "its list has an address in place of a file: whether its weights are there is not told, and without them a picture "
    "is only resized"
)
NOT_LOADED: Final = "it does not fit the checkpoint that is loaded now"


def read_catalog(client: WebUIClient) -> Catalog:
    """Every list that the WebUI has. A list that cannot be read is left out, and a note says so.

    Raises `WebUIError` where it does not answer, or refuses our password.
    """
    reading = _Reading(client)
    options = reading.ask("settings", client.options)
    version = told_version(reading.ask("version", client.version))
    reading.add(Thing.CHECKPOINT, "sd-models", client.sd_models, _checkpoint(by_path=version is not None))
    reading.add(Thing.VAE, "sd-vae", client.sd_vae, lambda one: Entry(one.model_name))
    reading.add(Thing.MODULE, "sd-modules", client.sd_modules, lambda one: Entry(one.model_name))
    reading.add(Thing.SAMPLER, "samplers", client.samplers, lambda one: Entry(one.name, tuple(one.aliases)))
    reading.add(
        Thing.SCHEDULER,
        "schedulers",
        client.schedulers,
        # Its name comes first of the aliases: a request may say that or the label, and none of the others.
        lambda one: Entry(one.label or one.name, (one.name, *(one.aliases or ()))),
    )
    reading.add(Thing.UPSCALER, "upscalers", client.upscalers, _upscaler)
    reading.add(
        Thing.HIRES_UPSCALER, "latent modes", client.latent_upscale_modes, lambda one: Entry(one.name)
    )
    reading.add(Thing.LORA, "loras", client.loras, _lora)
    embeddings = reading.ask("embeddings", client.embeddings)
    if embeddings is not None:
        skipped = (Entry(name, usable=False, note=NOT_LOADED) for name in embeddings.skipped)
        reading.put(Thing.EMBEDDING, [*map(Entry, embeddings.loaded), *skipped])
    scripts = reading.ask("scripts", client.scripts)
    if scripts is not None:
        titles = dict.fromkeys(title.lower() for title in (*scripts.txt2img, *scripts.img2img))
        reading.put(Thing.SCRIPT, map(Entry, titles))
    detectors = reading.ask("detectors", client.adetailer_models)
    if detectors is not None:
        reading.put(Thing.DETECTOR, map(Entry, detectors.ad_model))
    elif version is not None:
        reading.add(Thing.DETECTOR, "detailers", client.detailers, lambda one: Entry(one.name))
    reading.add(Thing.FACE_RESTORER, "face restorers", client.face_restorers, lambda one: Entry(one.name))
    return reading.catalog(options, version)


@dataclass(slots=True)
class _Reading:
    """Asks one question after the other, and remembers what came of them."""

    client: WebUIClient
    lists: dict[Thing, tuple[Entry, ...]] = field(default_factory=dict)
    partial: set[Thing] = field(default_factory=set)
    notes: list[str] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)

    def ask(self, what: str, question: Callable[[], T]) -> T | None:
        """None where there is no such endpoint, or an answer that cannot be read."""
        try:
            answer = question()
        except WebUIEndpointMissingError:
            return None
        except (WebUIAuthError, WebUIUnavailableError) as exc:
            # A proxy in front of it may fail at one list alone; any other silence means all of them.
            if not isinstance(exc, WebUIGatewayError):
                raise
            self._note(what, exc)
            return None
        except WebUIError as exc:
            self._note(what, exc)
            return None
        self.answered.add(what)
        return answer

    def add(
        self, thing: Thing, what: str, question: Callable[[], Iterable[T]], entry: Callable[[T], Entry]
    ) -> None:
        answer = self.ask(what, question)
        if answer is not None:
            self.put(thing, map(entry, answer))

    def put(self, thing: Thing, entries: Iterable[Entry]) -> None:
        """Keeps as much of the list as is bounded; what is cut makes it partial."""
        told, kept = 0, list[Entry]()
        for entry in entries:
            told += 1
            if len(kept) < MOST_ENTRIES and 0 < len(entry.name) <= LONGEST_NAME:
                kept.append(_bounded(entry))
        self.lists[thing] = tuple(kept)
        if told > len(kept):
            self.partial.add(thing)
            self.notes.append(
                f"Only {len(kept):,} of {told:,} names of its list of {thing.value}s are kept: the others are "
                f"longer than {LONGEST_NAME} characters, or more than {MOST_ENTRIES:,}."
            )

    def catalog(self, options: ServerOptions | None, version: Version | None) -> Catalog:
        settings = {} if options is None else options.model_dump(exclude_unset=True)
        if self.answered.isdisjoint(("settings", "sd-models", "samplers")):
            self.notes.append("It told of none of its lists.")
        self._derive()
        if settings.get(TAKES_ANY_NAME) is True:
            self.partial.update(set(self.lists) - {Thing.SAMPLER, Thing.SCHEDULER, Thing.SCRIPT})
        dialect = detect(Signs(frozenset(settings), self.answered, version))
        return Catalog(
            dialect=dialect.name,
            version=version_of(version),
            lists=self.lists,
            options=dict(_kept_options(settings)),
            partial=frozenset(self.partial),
            notes=tuple(self.notes[:MOST_NOTES]),
        )

    def _derive(self) -> None:
        """A refiner is any checkpoint, and hires fix takes upscalers and latent modes: known where both are."""
        if Thing.CHECKPOINT in self.lists:
            self.lists[Thing.REFINER] = self.lists[Thing.CHECKPOINT]
        upscalers, latent = self.lists.get(Thing.UPSCALER), self.lists.pop(Thing.HIRES_UPSCALER, None)
        if upscalers is not None and latent is not None:
            self.lists[Thing.HIRES_UPSCALER] = (*latent, *upscalers)
        for part, whole in (
            (Thing.CHECKPOINT, Thing.REFINER),
            (Thing.UPSCALER, Thing.HIRES_UPSCALER),
        ):
            if part in self.partial:
                self.partial.add(whole)

    def _note(self, what: str, error: WebUIError) -> None:
        logger.info("The list %s of %s is not known: %s", what, self.client.base_url, error)
        words = error.words.strip()[:120] or error.code
        self.notes.append(f"Its list of {what} could not be read: {words}")


def _bounded(entry: Entry) -> Entry:
    aliases = dict.fromkeys(name for name in entry.aliases if 0 < len(name) <= LONGEST_NAME)
    hashes = tuple(one.lower() for one in entry.hashes if 0 < len(one) <= 64)
    return Entry(
        entry.name, tuple(islice(aliases, MOST_ALIASES)), hashes[:MOST_ALIASES], entry.usable, entry.note
    )


def _kept_options(settings: dict[str, object]) -> Iterator[tuple[str, JsonScalar]]:
    for name in OPTIONS:
        value = settings.get(name)
        if isinstance(value, (int, float, bool)):
            yield name, value
        elif isinstance(value, str):
            yield name, value[:LONGEST_OPTION]


def _checkpoint(*, by_path: bool) -> Callable[[SdModel], Entry]:
    """`by_path`: such a server takes the whole path of a file for its name."""

    def entry(model: SdModel) -> Entry:
        names = (model.model_name, model.title.removesuffix(f" [{model.hash}]"))
        hashes = (model.hash or "", model.sha256 or "")
        return Entry(model.title, (*names, model.filename) if by_path else names, hashes)

    return entry


def _upscaler(one: Upscaler) -> Entry:
    """Built-in ones have no path. One that was once to be downloaded keeps its address, also when it was.

    See modules/realesrgan_model.py: the API tells `data_path`, and a file that is there is in `local_data_path`.
    """
    here = not (one.model_path or "").lower().startswith(("http://", "https://"))
    return Entry(one.name, note="" if here else NO_FILE)


def _lora(one: Lora) -> Entry:
    """By the name of its file; its alias is the name that its trainer gave it."""
    told = one.metadata
    weights = (told.sshs_model_hash if told else "") or ""
    made_for = (told.ss_sd_model_name if told else "") or ""
    note = f"made with {made_for}" if 0 < len(made_for) <= 100 else ""
    return Entry(one.name, (one.alias,) if one.alias else (), (weights,) if weights else (), note=note)
