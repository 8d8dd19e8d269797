"""A job from a file, proved to be one of ours: it comes from anybody, and must make a worker do nothing but draw.

The file holds the hashes of the input pictures and not their bytes. Such a request runs on a worker that still keeps
those pictures (it keeps the last 64), and is refused by every other one: `sending` says which picture is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from pydantic import ValidationError

from webui.drivers.diffsynth.client import JOBS
from webui.drivers.diffsynth.requests import BODY_KEYS, STAGES, request_for
from webui.work.limits import LIMITS, MAX_PROMPT_CHARACTERS, Choice
from webui.work.unit import Request, body_sha256

SHA256: Final = re.compile(r"[0-9a-f]{64}")
MOST_SEED: Final = 2**63
LONGEST_MODEL: Final = 300


def restored_request(stage: str, endpoint: str, body: Mapping[str, Any]) -> Request:
    """See `webui.driver.Driver.restore`."""
    if endpoint != JOBS or stage not in STAGES:
        raise ValueError(f"it goes to {endpoint[:100]!r} for {stage[:50]!r}; films and edits go to {JOBS}")
    if other := sorted(body.keys() ^ BODY_KEYS[stage]):
        lacks = "lacks" if other[0] in BODY_KEYS[stage] else "has"
        raise ValueError(f"it {lacks} the field {other[0][:100]!r}, unlike every request of a job")
    values = {name: value for name, value in body.items() if name in STAGES[stage].model_fields}
    try:
        parameters = STAGES[stage].model_validate(values, strict=True)
    except ValidationError as exc:
        wrong = exc.errors(include_input=False, include_url=False)[0]
        raise ValueError(f"its field {'.'.join(map(str, wrong['loc']))} is wrong: {wrong['msg']}") from None
    _require_limits(stage, values)
    _require_words(body)
    body_sha256(body)  # of what is no JSON, such as an infinite number, there is none
    return request_for(stage, parameters, dict(body), ())


def _require_limits(stage: str, values: Mapping[str, Any]) -> None:
    for name, limit in LIMITS[stage].items():
        if not isinstance(limit, Choice) and not limit.allows(values[name]):
            raise ValueError(f"its field {name} is {values[name]!r}; {limit.range_words} are sent")
    if len(values["model"]) > LONGEST_MODEL:
        raise ValueError("its model has a name longer than any")


def _require_words(body: Mapping[str, Any]) -> None:
    for name in ("prompt", "negative_prompt"):
        text = body[name]
        if not isinstance(text, str) or len(text) > MAX_PROMPT_CHARACTERS:
            raise ValueError(f"its field {name} is no text of at most {MAX_PROMPT_CHARACTERS} characters")
    seed = body["seed"]
    if not isinstance(seed, int) or isinstance(seed, bool) or not 0 <= seed < MOST_SEED:
        raise ValueError("its seed is no whole number from 0")
    inputs = body["inputs"]
    if not isinstance(inputs, list) or not all(
        isinstance(one, str) and SHA256.fullmatch(one) for one in inputs
    ):
        raise ValueError("its input pictures are no list of SHA-256")
