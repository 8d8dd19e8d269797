"""What txt2img and img2img refuse, in the words of the real server, which are often those of an accident."""

from __future__ import annotations

import math
from typing import Any

from webui.simulator.answers import EscapedError, RefusedRequestError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.dialects import Dialect
from webui.simulator.pictures import check_memory

NUMBERS = ("steps", "width", "height", "batch_size", "n_iter", "cfg_scale")


def check_before_queue(
    kind: str, fields: dict[str, Any], catalog: SimulatedCatalog, dialect: Dialect
) -> None:
    """Scripts and sampler, refused before the request takes its place in the queue. Raises RefusedRequestError."""
    known, always_on = {name.lower() for name in catalog.scripts(kind)}, catalog.always_on(kind)
    script = fields["script_name"]
    if script and script.lower() not in known - always_on:
        raise RefusedRequestError(422, f"Script '{script}' not found")
    dialect.sampling(catalog, fields["sampler_name"] or fields["sampler_index"], fields["scheduler"])
    for name in fields["alwayson_scripts"] or {}:
        if name.lower() not in known:
            raise RefusedRequestError(422, f"Script '{name}' not found")
        if name.lower() not in always_on:
            raise RefusedRequestError(422, "Cannot have a selectable script in the always on scripts params")


def check_numbers(kind: str, fields: dict[str, Any]) -> None:
    """Raises EscapedError with the odd class that the real server dies of."""
    if not isinstance(fields["prompt"], str) or not isinstance(fields["negative_prompt"], str):
        raise EscapedError("AssertionError", "")
    missing = next((name for name in NUMBERS if fields[name] is None), None)
    if missing or (kind == "img2img" and fields["denoising_strength"] is None):
        raise EscapedError("TypeError", "unsupported operand type(s): 'NoneType' and 'int'")
    if fields["batch_size"] < 1 or fields["n_iter"] < 1:
        raise EscapedError("IndexError", "list index out of range")
    if fields["steps"] == 0:
        raise EscapedError("ZeroDivisionError", "integer division or modulo by zero")
    if fields["steps"] < 0:
        raise EscapedError("RuntimeError", "number of steps must be non-negative")
    _check_size(fields["width"], fields["height"])
    check_memory(fields["width"], fields["height"], fields["batch_size"] * fields["n_iter"])
    if math.isnan(fields["cfg_scale"]):
        where = "A tensor with all NaNs was produced in VAE."
        raise EscapedError(
            "NansException",
            f"{where} Use --disable-nan-check commandline argument to disable this check.",
        )


def _check_size(width: int, height: int) -> None:
    for size in (width, height):
        if size < 0:
            latent = f"[4, {height // 8}, {width // 8}]"
            raise EscapedError(
                "RuntimeError", f"Trying to create tensor with negative dimension {size // 8}: {latent}"
            )
    if min(width, height) < 8:
        padded = f"({height // 8 + 2} x {width // 8 + 2})"
        raise EscapedError(
            "RuntimeError",
            f"Calculated padded input size per channel: {padded}. Kernel size: (3 x 3). "
            "Kernel size can't be greater than actual input size",
        )


def check_init_count(count: int, batch_size: int | None) -> None:
    if count == 0:
        raise EscapedError(
            "RuntimeError",
            "Expected 3D (unbatched) or 4D (batched) input to conv2d, but got input of size: [0]",
        )
    if count > (batch_size or 0):
        raise EscapedError(
            "RuntimeError", f"bad number of images passed: {count}; expecting {batch_size} or less"
        )
