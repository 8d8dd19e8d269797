"""What differs between servers that speak `/sdapi/v1`, as values: A1111's words and ways, and Forge's.

All else in the simulator is the same for both, and asks its dialect instead of its name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from webui.simulator import pydantic1, pydantic2
from webui.simulator.answers import (
    Failure,
    InvalidFieldsError,
    RefusedRequestError,
    SimulatedAnswer,
    json_answer,
)
from webui.simulator.catalog import SimulatedCatalog, embedding_hash
from webui.simulator.documents import recorded
from webui.simulator.fields import Schema
from webui.simulator.grammar import Grammar

Sampling = tuple[str, str | None]
"""The sampler that is used, and what the infotext calls its schedule; None says nothing."""


@dataclass(frozen=True)
class Dialect:
    name: str
    """Also the folder of its recorded documents."""
    version: str
    grammar: Grammar
    failure: Callable[[Failure], SimulatedAnswer]
    """How an error is worded."""
    sampling: Callable[[SimulatedCatalog, str, str | None], Sampling]
    """Of the sampler and scheduler asked for. Raises RefusedRequestError where it refuses unknown ones."""
    embeddings_told: Callable[[list[str]], dict[str, str]]
    """What the infotext tells of the embeddings that were used."""
    has_modules: bool
    """VAEs are among the modules of a setting of their own; `sd_vae` is still there, and nothing reads it."""
    vae_path: str
    """Where the installed VAEs are listed, below `/sdapi/v1/`."""
    tells_time: bool
    """Answers carry `x-process-time`."""
    packs_answers: bool
    """Longer answers are gzipped for clients that take it."""
    coerces_options: bool
    """Every number in `/options` is sent as a float."""
    tells_config: bool
    """Checkpoints are listed with the path of their configuration."""
    loads_at_start: bool
    """The first checkpoint is loaded at start, not by the first job."""
    dies_of_early_requests: bool
    """An HTTP request between open port and ready API ends the process."""
    echoes_refused_overrides: bool
    """`parameters` still name a checkpoint override that was not known."""
    needs_hires_modules: bool
    """A hires fix without `hr_additional_modules` breaks off after its first pass."""

    def document(self, name: str) -> dict[str, Any]:
        return recorded(f"{self.name}/{name}.json")

    @cached_property
    def schema(self) -> Schema:
        return Schema(self.document("request_fields"), self.grammar)


def _a1111_failure(failure: Failure) -> SimulatedAnswer:
    if isinstance(failure, InvalidFieldsError):
        return json_answer({"detail": failure.details}, 422)
    if isinstance(failure, RefusedRequestError):
        body = {"error": "HTTPException", "detail": failure.detail, "body": "", "errors": ""}
        return json_answer(body, failure.status)
    body = {"error": failure.error_class, "detail": "", "body": "", "errors": failure.text}
    return replace(json_answer(body, 500), is_timed=False)


def _forge_failure(failure: Failure) -> SimulatedAnswer:
    if isinstance(failure, InvalidFieldsError):
        return json_answer({"detail": failure.details}, 422)
    if isinstance(failure, RefusedRequestError):
        challenge = (("www-authenticate", "Basic"),) if failure.status == 401 else ()
        return json_answer({"detail": failure.detail}, failure.status, challenge)
    body = {
        "error": failure.error_class,
        "detail": "",
        "body": failure.body or "",
        "message": failure.text,
    }
    return json_answer(body, 500)


def _a1111_sampling(catalog: SimulatedCatalog, sampler: str, scheduler: str | None) -> Sampling:
    """Only the very name will do; a wrong scheduler is even repeated."""
    if sampler not in catalog.sampler_options:
        raise RefusedRequestError(404, "Sampler not found")
    return sampler, scheduler


def _forge_sampling(catalog: SimulatedCatalog, sampler: str, scheduler: str | None) -> Sampling:
    """Names of old, with the schedule at their end, are split; an unknown sampler is the first one."""
    names = {
        name: known
        for known in catalog.document["schedulers"]
        for name in (known["label"], known["name"], *(known["aliases"] or ()))
    }
    found = next((known for known in names.values() if known["name"] == scheduler), None)
    found = found or next((known for known in names.values() if known["label"] == scheduler), None)
    for name, known in names.items():
        if sampler.endswith(f" {name}"):
            found, sampler = known, sampler.removesuffix(f" {name}")
            break
    if sampler not in catalog.sampler_options:
        sampler = next(iter(catalog.sampler_options))
    own = catalog.sampler_options[sampler].get("scheduler")
    return sampler, str(found["label"]) if found and found["name"] != own else "Automatic"


def _hashes(embeddings: list[str]) -> dict[str, str]:
    return {"TI hashes": ", ".join(f"{name}: {embedding_hash(name)}" for name in embeddings)}


def _names(embeddings: list[str]) -> dict[str, str]:
    return {"TI": ", ".join(embeddings)}


A1111 = Dialect(
    name="a1111",
    version="v1.9.3-amd-28-g371f53ed",
    grammar=pydantic1.GRAMMAR,
    failure=_a1111_failure,
    sampling=_a1111_sampling,
    embeddings_told=_hashes,
    has_modules=False,
    vae_path="sd-vae",
    tells_time=True,
    packs_answers=True,
    coerces_options=False,
    tells_config=True,
    loads_at_start=True,
    dies_of_early_requests=True,
    echoes_refused_overrides=True,
    needs_hires_modules=False,
)
FORGE = Dialect(
    name="forge",
    version="f2.0.1v1.10.1-previous-669-gdfdcbab6",
    grammar=pydantic2.GRAMMAR,
    failure=_forge_failure,
    sampling=_forge_sampling,
    embeddings_told=_names,
    has_modules=True,
    vae_path="sd-modules",
    tells_time=False,
    packs_answers=False,
    coerces_options=True,
    tells_config=False,
    loads_at_start=False,
    dies_of_early_requests=False,
    echoes_refused_overrides=False,
    needs_hires_modules=True,
)
DIALECTS = {dialect.name: dialect for dialect in (A1111, FORGE)}
