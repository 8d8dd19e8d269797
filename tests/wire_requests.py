"""Requests as the driver of `/sdapi/v1` makes them, from a body that a test gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from webui.drivers.a1111.client import Payload
from webui.drivers.a1111.schemas import ExtraSingleImageRequest
from webui.drivers.a1111.vocabulary import VOCABULARY
from webui.work.unit import Request


def request_of_payload(payload: Payload, *, stage: str = "txt2img") -> Request:
    """Where the payload goes, and how many pictures must come back for it; by any checkpoint."""
    request = request_of_body(payload.wire(), endpoint=payload.endpoint, stage=stage)
    if isinstance(payload, ExtraSingleImageRequest):
        return replace(request, samples=False)
    return replace(request, pictures=payload.expected_pictures, task_id=payload.force_task_id or "")


def request_of_body(
    body: Mapping[str, Any], *, endpoint: str = "/sdapi/v1/txt2img", stage: str = "txt2img"
) -> Request:
    """Also of a body that no payload of ours has."""
    return Request(stage=stage, endpoint=endpoint, body=body, pictures=1, vocabulary=VOCABULARY)
