"""Jobs of films and edits for tests, made through the real doors: pictures are kept, packs imported, jobs submitted."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any

from jobs.building.builder import PackSource
from jobs.inputs.facts import read_input
from jobs.inputs.store import keep
from jobs.models import Job, PackRevision, Runner
from jobs.packs.json_lines import line_of, text_of
from jobs.packs.pack import parse_pack
from jobs.packs.rows import RowImage
from jobs.queue.claims import Claim, claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.submitting.importing import import_pack
from tests.factories import its_turn, make_node, make_runner, submit
from tests.sketches import sketch
from webui.models import Node

SIZE = (64, 48)
SMALL: Mapping[str, Mapping[str, Any]] = {
    "i2v": {"width": 64, "height": 64, "num_frames": 9, "fps": 16, "steps": 2},
    "edit": {"width": 64, "height": 64, "steps": 2},
}
"""Settings of a job that takes moments, by kind."""


def input_picture(shade: int = 1, size: tuple[int, int] = SIZE) -> bytes:
    buffer = io.BytesIO()
    sketch(size, shade).save(buffer, "PNG")
    return buffer.getvalue()


def make_film_pack(
    name: str, kind: str = "i2v", prompts: tuple[str, ...] = ("the lamp turns",), **settings: Any
) -> PackRevision:
    """Each prompt is a row with a picture of its own."""
    lines = []
    for number, prompt in enumerate(prompts, 1):
        content = input_picture(number)
        facts = read_input(content, f"{number}.png")
        keep(content, facts, name=f"{number}.png")
        image = RowImage(facts.sha256, f"{number}.png", facts.width_px, facts.height_px)
        lines.append(line_of([image], prompt))
    document = json.dumps({"preset_data": {kind: {**SMALL[kind], **settings}}})
    source = PackSource(pack_id=name, text=text_of(lines), document=document, kind=kind)
    return import_pack(parse_pack(source)).revision


def make_film_node(kind: str = "i2v", **fields: Any) -> Node:
    return make_node(driver="diffsynth", kind=kind, **fields)


def make_running_film(
    kind: str = "i2v", *, runner: Runner | None = None, name: str = "", **settings: Any
) -> tuple[Job, Claim]:
    """A job of this kind, claimed by this very process."""
    runner = runner or make_runner(make_film_node(kind))
    submit(make_film_pack(name or f"some-{kind}", kind, **settings))
    claim = claim_next(its_turn(runner).pk, ProcessIdentity.of_self())
    assert claim is not None
    return Job.objects.select_related("record").get(pk=claim.job_id), claim
