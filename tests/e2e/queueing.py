"""Submit to a stack and read its order, straight through the services: quicker than a command per step."""

from __future__ import annotations

from typing import Any

from tests.e2e.stack import Stack

PRELUDE = """
from jobs.building.builder import BuildOptions, PackSource, build
from jobs.lifecycle import Priority
from jobs.submitting.importing import import_pack
from jobs.packs.pack import parse_pack
from jobs.submitting.preflight import OnMissing
from jobs.submitting.submission import BuiltPack, submit_packs

def submit(name, text, document="", priority="NORMAL", run_now=False, anyway=False, **options):
    source = PackSource(pack_id=name, text=text, document=document)
    revision = import_pack(parse_pack(source)).revision
    options = {"build_seed": 1, "overrides": {"txt2img.steps": 2, "txt2img.width": 64, "txt2img.height": 64}} | options
    built = build(source, BuildOptions(**options))
    missing = OnMissing.ANYWAY if anyway else OnMissing.STOP
    packs = [BuiltPack(revision, built)]
    return list(submit_packs(packs, priority=Priority[priority], run_now=run_now, on_missing=missing).job_ids)
"""

TEXT = "a lighthouse at dusk\nneg: blurry\n"


def submit(stack: Stack, name: str = "pack", text: str = TEXT, **options: Any) -> list[int]:
    """Import a pack and submit it, `anyway` although no node has what it needs; the new job ids."""
    words = "".join(f", {key}={value!r}" for key, value in options.items())
    ids: list[int] = stack.python(f"{PRELUDE}\nresult = submit({name!r}, {text!r}{words})")
    return ids


def posted_jobs(stack: Stack) -> list[int]:
    """The jobs whose requests reached the WebUI, in order: the journal's word, not the database's."""
    return [int(line["task_id"].split("-")[1]) for line in stack.posts()]
