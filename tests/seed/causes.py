"""Why jobs of a seeded database failed: ten causes, told by the exceptions that a real run raises."""

from __future__ import annotations

import errno
import random
from collections.abc import Callable
from dataclasses import dataclass

from jobs.envelope import RunError
from jobs.models import AttemptOutcome
from jobs.records import NormalizedJobRecord
from webui.errors import (
    RequestValidationError,
    SamplerNotFoundError,
    UnknownCheckpointError,
    WebUIConnectionLostError,
    WebUIError,
    WebUIHangError,
    WebUINaNError,
    WebUIOutOfMemoryError,
    WebUIServerError,
)

_TXT2IMG = "/sdapi/v1/txt2img"


@dataclass(frozen=True, slots=True)
class Cause:
    """`weight` is its share among the failures. `retried`: it cost the job its one retry before it failed."""

    weight: int
    outcome: AttemptOutcome
    status: int | None
    retried: bool
    error: Callable[[NormalizedJobRecord], Exception]


def _webui(
    kind: type[WebUIError], status: int | None, words: str
) -> Callable[[NormalizedJobRecord], Exception]:
    def error(record: NormalizedJobRecord) -> Exception:
        told = words.format(sampler=record.sampler, checkpoint=record.base_model)
        return kind(told, endpoint=_TXT2IMG, method="POST", stage="txt2img", status=status)

    return error


def _worker_lost(record: NormalizedJobRecord) -> Exception:
    return RunError(
        "WORKER_LOST",
        "The job failed: its worker was lost in the retry too.",
        "Look for the reason in the log of run_node and the machine's (killed for memory?), then run it again.",
    )


def _disk_full(record: NormalizedJobRecord) -> Exception:
    return OSError(errno.ENOSPC, "No space left on device", f"{record.prompt_pack_id}.png")


CAUSES = (
    Cause(
        22,
        AttemptOutcome.SERVER_ERROR,
        500,
        True,
        _webui(
            WebUIOutOfMemoryError,
            500,
            "CUDA out of memory. Tried to allocate 2.25 GiB (GPU 0; 11.76 GiB total)",
        ),
    ),
    Cause(
        18,
        AttemptOutcome.UNAVAILABLE,
        None,
        True,
        _webui(WebUIConnectionLostError, None, "Connection reset by peer"),
    ),
    Cause(
        12,
        AttemptOutcome.SERVER_ERROR,
        500,
        True,
        _webui(WebUIServerError, 500, "CUDA error: an illegal memory access was encountered"),
    ),
    Cause(
        10,
        AttemptOutcome.REJECTED,
        422,
        False,
        _webui(UnknownCheckpointError, 422, "{checkpoint!r} is not listed"),
    ),
    Cause(8, AttemptOutcome.UNAVAILABLE, None, True, _webui(WebUIHangError, None, "step 11 of 30 for 181 s")),
    Cause(
        8,
        AttemptOutcome.REJECTED,
        404,
        False,
        _webui(SamplerNotFoundError, 404, "Sampler {sampler!r} not found"),
    ),
    Cause(
        6,
        AttemptOutcome.SERVER_ERROR,
        500,
        True,
        _webui(WebUINaNError, 500, "A tensor with all NaNs was produced in Unet."),
    ),
    Cause(
        5,
        AttemptOutcome.REJECTED,
        422,
        False,
        _webui(RequestValidationError, 422, "alwayson_scripts: value is not a valid dict"),
    ),
    Cause(4, AttemptOutcome.LOST, None, True, _worker_lost),
    Cause(3, AttemptOutcome.ERROR, None, False, _disk_full),
)


def pick_cause(rng: random.Random) -> Cause:
    return rng.choices(CAUSES, [cause.weight for cause in CAUSES])[0]
