"""What a person does to the queue and its nodes, as a program: one JSON request per line, one JSON answer per line.

Runs in a process of its own with the installation's settings, so that each act costs no start of Django. It calls
the services that the pages and commands call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import django

django.setup()

from django.db import DatabaseError, connections  # noqa: E402

from jobs.building.builder import BuildOptions, PackSource, build  # noqa: E402
from jobs.packs.pack import parse_pack  # noqa: E402
from jobs.queue.control import cancel, pause, resume  # noqa: E402
from jobs.submitting.importing import import_pack  # noqa: E402
from jobs.submitting.submission import BuiltPack, submit_packs  # noqa: E402
from webui.models import Node, Wish  # noqa: E402
from webui.nodes.adding import add_node  # noqa: E402
from webui.nodes.wishes import wish  # noqa: E402

WHO = "campaign"


def submit(name: str, text: str, document: str, build_seed: int) -> list[int]:
    """Import a pack and queue everything that it makes; the ids of the new jobs."""
    source = PackSource(pack_id=name, text=text, document=document)
    revision = import_pack(parse_pack(source)).revision
    built = build(source, BuildOptions(build_seed=build_seed))
    return list(submit_packs([BuiltPack(revision, built)]).job_ids)


def cancel_job(job_id: int) -> str:
    return str(cancel(job_id, by=WHO).result)


def pause_queue() -> bool:
    return pause(by=WHO, reason="an act of the campaign")


def resume_queue() -> bool:
    return resume(by=WHO)


def add(name: str, url: str, command: str, kind: str, card: str) -> int:
    return int(add_node(name, url, start_command=command, kind=kind, card=card).pk)


def ask(name: str, wanted: str, after_job: bool) -> bool:
    """A wish as the page leaves it: for the generation that the person has seen."""
    node = Node.objects.get(name=name)
    more: dict[str, Any] = {"after_job": True} if after_job else {}
    generation = node.generation if wanted == Wish.RESTART else None
    return wish(node.pk, Wish(wanted), by=WHO, reason="an act", generation=generation, **more)


ACTS: dict[str, Callable[..., Any]] = {
    "submit": submit,
    "cancel": cancel_job,
    "pause": pause_queue,
    "resume": resume_queue,
    "add": add,
    "ask": ask,
}


def main() -> None:
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = {"result": ACTS[request.pop("act")](**request)}
        except DatabaseError as exc:
            connections.close_all()
            answer = {"problem": f"{type(exc).__name__}: {exc}"}
        except Exception as exc:  # noqa: BLE001 - told to the campaign, which decides
            answer = {"problem": f"{type(exc).__name__}: {exc}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
