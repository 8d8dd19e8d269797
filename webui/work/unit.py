"""One request's worth of work as the domain hands it over, and the request that a driver makes of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from webui.work.parameters import Parameters

DEFAULT_DRIVER = "a1111"


@dataclass(frozen=True, slots=True)
class Prompts:
    """Prompts of a part of a stage that are not the stage's own; None for a side that is."""

    positive: str | None
    negative: str | None


@dataclass(frozen=True, slots=True)
class Work:
    """What one request is to do: complete, so that a driver merges nothing into it.

    `seed` and `subseed` are those of the job's first picture; a driver counts up by `images`, the 0-based indexes of
    the pictures that are wanted. `picture` is what a later stage begins with (the first stage has none). An empty
    `checkpoint` or `vae` takes what the server has loaded, as `clip_skip` None takes its own. `modules` belong to
    `checkpoint`; None leaves the server's. `task_id` is how an interrupt knows its own request. `embeddings` are the
    names of those that stand in the prompts. `inputs` are the bytes of the input pictures of a film or an edit, in
    order, as they were uploaded.
    """

    stage: str
    parameters: Parameters
    prompt: str
    negative_prompt: str
    parts: Mapping[str, Prompts]
    """By the name of the part: hires, face, hand."""
    seed: int
    subseed: int
    subseed_strength: float
    images: tuple[int, ...]
    checkpoint: str
    vae: str
    clip_skip: int | None
    task_id: str
    picture: bytes | None = None
    embeddings: tuple[str, ...] = ()
    modules: tuple[str, ...] | None = None
    inputs: tuple[bytes, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Which strings of a request's body are nobody's text, so that they may stay in the evidence of a failure.

    `plain` are fields whose values the server itself lists (a sampler's name), `plain_within` the same inside of an
    object; `pictures` hold base64; every key that is not in `keys` may be somebody's text.
    """

    plain: frozenset[str] = frozenset()
    plain_within: Mapping[str, frozenset[str]] = field(default_factory=dict)
    pictures: frozenset[str] = frozenset()
    keys: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Request:
    """What a driver sends for one unit of work: `body` is the JSON as sent, `pictures` how many must come back.

    `samples`: the server samples for it, so that it can be interrupted and shows in the progress. `checkpoint` is the
    one that the answer must have been drawn with; "" takes any. `size_px` is the width and height that its pictures
    must have, None where that is the server's affair. `source` is the picture that goes in, `enlarges` the factor by
    which it must grow. `changes`: what comes back cannot be that picture; None where only the server can know
    (detectors may find nothing). `embeddings` are those that the prompts name. `uploads` are pictures that the server
    must have before the request, in the order in which the body names them. `frames` and `fps` are those that a film
    must have; 0 for pictures.
    """

    stage: str
    endpoint: str
    body: Mapping[str, Any]
    pictures: int
    vocabulary: Vocabulary
    task_id: str = ""
    samples: bool = True
    checkpoint: str = ""
    size_px: tuple[int, int] | None = None
    source: bytes | None = field(default=None, repr=False)
    enlarges: float = 1.0
    changes: bool | None = False
    embeddings: tuple[str, ...] = ()
    uploads: tuple[bytes, ...] = field(default=(), repr=False)
    frames: int = 0
    fps: float = 0

    @property
    def sha256(self) -> str:
        """Equal for equal bodies, whoever sends them: of the JSON with sorted keys and without blanks."""
        return body_sha256(self.body)


def body_sha256(body: Mapping[str, Any]) -> str:
    """Lower-case hexadecimal SHA-256 of a request's canonical body. Raises ValueError for what is no JSON."""
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode("ascii")).hexdigest()
