"""Whether the pictures of an answer are those that were asked for; how many there are is counted in `client`."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Final

from webui.drivers.a1111.model_names import same_model
from webui.drivers.a1111.quirks import SIZE_STEP_PX
from webui.drivers.a1111.schemas import ExtraSingleImageResponse, GenerationResponse
from webui.errors import UnknownCheckpointError, WebUIBadAnswerError, WebUIError, WebUIWrongSizeError
from webui.work.pictures import NoPictureError, read_header
from webui.work.unit import Request

logger = logging.getLogger(__name__)

ROUNDING_PX: Final = 64
"""Models draw in steps of up to so many pixels; a side that is off by less was only rounded."""

IN_STEPS: Final = " Forge Neo draws in steps of 64 pixels: see its setting Resolution Step."


def problem_of(
    request: Request, answer: GenerationResponse | ExtraSingleImageResponse, pictures: Sequence[bytes]
) -> WebUIError | None:
    """Why the pictures cannot be results; None if nothing speaks against them."""
    if request.checkpoint and isinstance(answer, GenerationResponse):
        used, used_hash = answer.checkpoint()
        if not used and not used_hash:
            logger.warning("The WebUI does not say with which checkpoint it drew %s.", request.task_id)
        elif not same_model(request.checkpoint, used, used_hash):
            return UnknownCheckpointError(
                f"asked for {request.checkpoint!r}, rendered with {used or used_hash!r}"
            )
    return next(filter(None, (_problem_of_picture(request, picture) for picture in pictures)), None)


def _problem_of_picture(request: Request, picture: bytes) -> WebUIError | None:
    try:
        header = read_header(picture)
    except NoPictureError as exc:
        return WebUIBadAnswerError(f"the WebUI's picture does not open ({exc})")
    size = header.width_px, header.height_px
    if request.size_px is None or size == request.size_px:
        return None
    if all(abs(came - asked) < ROUNDING_PX for came, asked in zip(size, request.size_px, strict=True)):
        logger.warning(
            "The WebUI rounded the size of %s: %d x %d pixels instead of %d x %d.%s",
            request.task_id or "a picture",
            *size,
            *request.size_px,
            IN_STEPS if all(side % SIZE_STEP_PX == 0 for side in size) else "",
        )
        return None
    asked_width, asked_height = request.size_px
    return WebUIWrongSizeError(
        f"{header.width_px} x {header.height_px} pixels instead of {asked_width} x {asked_height}"
    )
