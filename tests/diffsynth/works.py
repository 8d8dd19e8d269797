"""Input pictures and the bodies of jobs."""

from __future__ import annotations

import hashlib
import io
from typing import Any

from PIL import Image, ImageDraw


def picture(
    width: int = 96,
    height: int = 64,
    *,
    colour: str | tuple[int, int, int] = "teal",
    kind: str = "PNG",
    **options: Any,
) -> bytes:
    image = Image.new("RGB", (width, height), colour)
    ImageDraw.Draw(image).ellipse((width // 4, height // 4, width * 3 // 4, height * 3 // 4), fill="orange")
    out = io.BytesIO()
    image.save(out, format=kind, **options)
    return out.getvalue()


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def film_body(job_id: str, *inputs: bytes, **changes: Any) -> dict[str, Any]:
    body = {
        "id": job_id,
        "inputs": [sha256_of(content) for content in inputs],
        "prompt": "a boat in the harbour moves",
        "negative_prompt": "blurry",
        "seed": 42,
        "model": "",
        "width": 64,
        "height": 64,
        "num_frames": 5,
        "fps": 16,
        "steps": 8,
        "cfg_scale": 1.0,
        "boundary": 0.9,
        "sigma_shift": 5.0,
        "fit": "crop",
    }
    return {**body, **changes}


def edit_body(job_id: str, *inputs: bytes, **changes: Any) -> dict[str, Any]:
    body = {
        "id": job_id,
        "inputs": [sha256_of(content) for content in inputs],
        "prompt": "make the sky green",
        "negative_prompt": "",
        "seed": 42,
        "model": "",
        "width": 64,
        "height": 64,
        "steps": 4,
        "cfg_scale": 1.0,
        "scheduler": "lightning",
    }
    return {**body, **changes}
