"""From a unit of work to the job that a worker is sent. Pure."""

from __future__ import annotations

import hashlib
from typing import Any, Final

from webui.drivers.diffsynth.client import JOBS
from webui.work.limits import AUTO, MAX_INPUTS
from webui.work.parameters import EditParameters, I2VParameters
from webui.work.unit import Request, Vocabulary, Work

STAGES: Final[dict[str, type[I2VParameters | EditParameters]]] = {
    "i2v": I2VParameters,
    "edit": EditParameters,
}
MOST_INPUTS: Final = {"i2v": 1, "edit": MAX_INPUTS}
BODY_KEYS: Final = {
    stage: frozenset({"inputs", "prompt", "negative_prompt", "seed", *kind.model_fields})
    for stage, kind in STAGES.items()
}
VOCABULARY: Final = Vocabulary(
    plain=frozenset({"fit", "scheduler", "model"}),
    keys=frozenset().union(*BODY_KEYS.values()),
)


def request_of(work: Work) -> Request:
    """See `webui.driver.Driver.request`."""
    kind = STAGES.get(work.stage)
    if kind is None or not isinstance(work.parameters, kind):
        raise ValueError(f"a DiffSynth worker makes films and edits; it has no stage {work.stage!r}")
    if work.images != (0,):
        raise ValueError("a job of a DiffSynth worker has one result")
    body = {
        "inputs": [hashlib.sha256(content).hexdigest() for content in work.inputs],
        "prompt": work.prompt,
        "negative_prompt": work.negative_prompt,
        "seed": work.seed,
        **work.parameters.model_dump(),
    }
    return request_for(work.stage, work.parameters, body, work.inputs, work.task_id)


def request_for(
    stage: str,
    parameters: I2VParameters | EditParameters,
    body: dict[str, Any],
    uploads: tuple[bytes, ...],
    task_id: str = "",
) -> Request:
    """`uploads` may be empty where only their hashes are known. Raises ValueError."""
    if not 1 <= len(body["inputs"]) <= MOST_INPUTS[stage]:
        raise ValueError(f"{stage} takes 1 to {MOST_INPUTS[stage]} input pictures, not {len(body['inputs'])}")
    film = parameters if isinstance(parameters, I2VParameters) else None
    return Request(
        stage=stage,
        endpoint=JOBS,
        body=body,
        pictures=1,
        vocabulary=VOCABULARY,
        task_id=task_id,
        checkpoint=parameters.model,
        size_px=None
        if AUTO in (parameters.width, parameters.height)
        else (parameters.width, parameters.height),
        source=uploads[0] if uploads else None,
        uploads=uploads,
        frames=film.num_frames if film else 0,
        fps=film.fps if film else 0,
    )
