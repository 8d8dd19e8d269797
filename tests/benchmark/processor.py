"""Measurements of what needs nothing but the processor: records from packs, logs without secrets, looks at pictures."""

from __future__ import annotations

import io
import json
import math
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from PIL import Image, ImageFilter

from jobs.building.builder import BuildOptions, PackSource, build
from jobs.truth.look import look_at
from webui.drivers.a1111.schemas import OverrideSettings, Txt2ImgRequest
from webui.drivers.a1111.vocabulary import VOCABULARY
from webui.evidence.redaction import redact_text, secrets_of
from webui.work.unit import Request

ROUNDS = 3
#: Rows of about a kilobyte.
ROWS = 100
TEXT = "\n\n".join(f"row {n} [[x]] " + "word " * 150 + "\nneg: " + "bad " * 60 for n in range(ROWS))
FOUR_STAGES = {
    "txt2img": {"enable_hr": True, "hr_prompt": "sharp [[x]]"},
    "img2img": {"prompt_adjust": "finer"},
    "adetailer": {"prompt": "a face of [[x]]", "negative_prompt": "mush", "hand_enabled": True},
    "pipeline": {f"{stage}_enabled": True for stage in ("img2img", "adetailer", "upscale")},
}
#: Ten slots of ten values.
MATRIX = {f"s{slot}": tuple(f"v{slot}-{n}" for n in range(10)) for slot in range(10)}
TAIL_LINES, PHRASES = 4000, 300
LOOKED_AT = ("PNG", "JPEG", "WEBP")


def processor(count: int) -> dict[str, Any]:
    """Build `count` records of one stage and of four, the first 8 of a matrix of 10 billion, redact a long log, look at
    a picture of one megapixel of each format.

    Medians in seconds of the processor.
    """
    return {
        "records": count,
        "one_stage_s": _median_s(lambda: _build(TEXT, {}, count)),
        "four_stages_s": _median_s(lambda: _build(TEXT, FOUR_STAGES, count)),
        "huge_matrix_s": _median_s(_limit_a_huge_matrix),
        "tail_lines": TAIL_LINES,
        "redact_s": _median_s(_redact),
        **{f"look_{kind.lower()}_s": _median_s(partial(look_at, _photo(kind))) for kind in LOOKED_AT},
    }


def _photo(kind: str) -> bytes:
    """Of one megapixel, as hard to pack as a photograph: about 1.5 MB as a PNG."""
    picture = Image.merge("RGB", [Image.effect_noise((1024, 1024), 90) for _ in "RGB"])
    file = io.BytesIO()
    picture.filter(ImageFilter.GaussianBlur(1.5)).save(file, kind)
    return file.getvalue()


def _median_s(act: Callable[[], object]) -> float:
    times_s = []
    for _ in range(ROUNDS):
        began_s = time.process_time()
        act()
        times_s.append(time.process_time() - began_s)
    return statistics.median(times_s)


def _build(text: str, document: dict[str, Any], count: int) -> None:
    values = tuple(str(n) for n in range(math.ceil(count / ROWS)))
    options = BuildOptions(build_seed=1, matrix={"x": values}, limit=count, max_records=max(count, 10_000))
    _require(build(PackSource("benchmark", text, json.dumps(document)), options).records, count)


def _limit_a_huge_matrix() -> None:
    text = " ".join(f"[[{name}]]" for name in MATRIX)
    options = BuildOptions(build_seed=1, matrix=MATRIX, limit=8)
    _require(build(PackSource("benchmark", text, ""), options).records, 8)


def _require(records: tuple[object, ...], count: int) -> None:
    if len(records) != count:
        raise RuntimeError(f"{len(records)} records were built, not {count}")


def _redact() -> None:
    prompt = ", ".join(f"phrase{number} with seventeen letters" for number in range(PHRASES))
    payload = Txt2ImgRequest(
        prompt=prompt,
        steps=1,
        width=64,
        height=64,
        force_task_id="benchmark",
        override_settings=OverrideSettings(),
    )
    tail = "[2026-01-01] a line of a log with quite ordinary contents, twice\n" * TAIL_LINES
    request = Request("txt2img", payload.endpoint, payload.wire(), 1, VOCABULARY)
    redact_text(tail, secrets_of(request))
