"""What a WebUI has, from its own lists, and which of it a name of a request means."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.model_names import same_model
from webui.errors import WebUIEndpointMissingError
from webui.work.catalog import Catalog, Entry, Found, Has, Need, Thing

MODELS: Final = frozenset({Thing.CHECKPOINT, Thing.REFINER, Thing.VAE, Thing.MODULE})


def read_catalog(client: WebUIClient) -> Catalog:
    """Every list that the WebUI has; raises `WebUIError` where it does not answer."""
    asked: dict[Thing, Callable[[], Iterable[Entry]]] = {
        Thing.CHECKPOINT: lambda: (
            Entry(
                model.title,
                (model.model_name, model.filename),
                tuple(filter(None, (model.hash, model.sha256))),
            )
            for model in client.sd_models()
        ),
        Thing.VAE: lambda: (Entry(vae.model_name) for vae in client.sd_vae()),
        Thing.MODULE: lambda: (Entry(module.model_name) for module in client.sd_modules()),
        Thing.SAMPLER: lambda: (Entry(one.name, tuple(one.aliases)) for one in client.samplers()),
        Thing.SCHEDULER: lambda: (
            Entry(one.label, (one.name, *(one.aliases or ()))) for one in client.schedulers()
        ),
        Thing.UPSCALER: lambda: (Entry(one.name) for one in client.upscalers()),
        Thing.LORA: lambda: (Entry(one.name, (one.alias,) if one.alias else ()) for one in client.loras()),
        Thing.EMBEDDING: lambda: (Entry(name) for name in client.embeddings().loaded),
    }
    lists = {}
    for thing, ask in asked.items():
        try:
            lists[thing] = tuple(ask())
        except WebUIEndpointMissingError:
            continue
    return Catalog(lists=lists)


def find(catalog: Catalog, need: Need) -> Found:
    """See `webui.driver.Driver.find`."""
    listed = catalog.lists.get(need.thing)
    if listed is None:
        return Found(Has.UNKNOWN)
    for entry in listed:
        if need.name in (entry.name, *entry.aliases) or (
            need.thing in MODELS and same_model(need.name, entry.name, next(iter(entry.hashes), ""))
        ):
            return Found(Has.YES, entry)
    return Found(Has.NO)
