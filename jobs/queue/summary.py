"""`UnifiedJobSummary`: the one short form of a job that every list, event and page shows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from functools import lru_cache
from typing import Any

from django.utils import timezone

from jobs.models import Job

#: Longest prompt preview, in characters.
PREVIEW_CHARS = 120


@dataclass(frozen=True, slots=True)
class UnifiedJobSummary:
    """What one line about a job says. Sizes are pixels, indexes are 0-based."""

    job_id: int
    prompt_pack_id: str
    prompt_pack_name: str
    prompt_pack_row_index: int
    positive_prompt_preview: str
    negative_prompt_preview: str
    lora_preview: str
    embedding_preview: str
    base_model: str
    sampler_name: str
    scheduler: str
    seed: int
    cfg_scale: float
    steps: int
    width: int
    height: int
    stage_chain_labels: list[str]
    matrix_slot_values_preview: str
    variant_index: int
    variant_total: int
    batch_index: int
    batch_total: int
    config_variant_label: str
    estimated_image_count: int
    status: str
    retry_count: int
    created_at: datetime
    completed_at: datetime | None

    def facts(self) -> dict[str, Any]:
        """The fields that do not change over the job's life, for events; JSON types only.

        None holds words of the prompt: events are read in logs and streams, the prompt stands in the record.
        """
        return {name: getattr(self, name) for name in _FACTS}


_FACTS = tuple(
    field.name
    for field in fields(UnifiedJobSummary)
    if field.name not in ("status", "retry_count", "created_at", "completed_at")
    and not field.name.endswith("_preview")
)


@lru_cache(maxsize=8)
def facts_of(canonical_json: str) -> Mapping[str, Any]:
    """What every event of a record's job says, but for the job's id (0); the same for its whole life."""
    return summarize_record(canonical_json, job_id=0, status="", created_at=timezone.now()).facts()


def summarize(job: Job) -> UnifiedJobSummary:
    """The summary of a job, read from its frozen record (`job.record` should be loaded)."""
    return summarize_record(
        job.record.canonical_json,
        job_id=job.pk,
        status=job.status,
        retry_count=job.retry_count,
        created_at=job.submitted_at,
        completed_at=job.finished_at,
    )


def summarize_record(
    canonical_json: str,
    *,
    job_id: int,
    status: str,
    created_at: datetime,
    retry_count: int = 0,
    completed_at: datetime | None = None,
) -> UnifiedJobSummary:
    record = _columns(json.loads(canonical_json))
    return UnifiedJobSummary(
        job_id=job_id,
        prompt_pack_id=record["prompt_pack_id"],
        prompt_pack_name=record["prompt_pack_name"],
        prompt_pack_row_index=record["prompt_pack_row_index"],
        positive_prompt_preview=_preview(record["positive_prompt"]),
        negative_prompt_preview=_preview(record["negative_prompt"]),
        lora_preview=", ".join(f"{tag['name']}({tag['weight']:g})" for tag in record["lora_tags"]),
        embedding_preview=" + ".join(record["positive_embeddings"]),
        base_model=record["base_model"],
        sampler_name=record["sampler"],
        scheduler=record["scheduler"] or "",
        seed=record["seed"],
        cfg_scale=record["cfg_scale"],
        steps=record["steps"],
        width=record["width"],
        height=record["height"],
        stage_chain_labels=[stage["stage"] for stage in record["stage_chain"] if stage["enabled"]],
        matrix_slot_values_preview="; ".join(f"{k}={v}" for k, v in record["matrix_slot_values"].items()),
        variant_index=record["variant_index"],
        variant_total=record["variant_total"],
        batch_index=record["batch_index"],
        batch_total=record["batch_total"],
        config_variant_label=record["config_variant_label"],
        estimated_image_count=record["images_per_prompt"],
        status=status,
        retry_count=retry_count,
        created_at=created_at,
        completed_at=completed_at,
    )


def _columns(record: dict[str, Any]) -> dict[str, Any]:
    """The record with what a line shows: a film and an edit keep it in their one stage, and have not all of it."""
    if "kind" not in record:
        return record
    settings = record["stage_chain"][0]["parameters"]
    return {
        "lora_tags": [],
        "positive_embeddings": [],
        "sampler": "",
        "scheduler": "",
        "images_per_prompt": 1,
        "base_model": settings["model"],
        **settings,
        **record,
    }


def _preview(prompt: str) -> str:
    return prompt if len(prompt) <= PREVIEW_CHARS else prompt[: PREVIEW_CHARS - 1] + "…"
