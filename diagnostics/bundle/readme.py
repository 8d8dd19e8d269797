"""The first file that a person reads in a bundle: what happened, where to look, what is not in and why."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from diagnostics.bundle.contents import Part, Telling, explanation_text
from diagnostics.bundle.door import Door
from jobs.models import Job
from webui.typed_command import typed

MOST_EVENTS = 200
NEVER = (
    "Pictures are not in. They lie in the output folder of the installation, at the paths that pictures.json names.",
    "Passwords, host names, names of people, and folders of the machine are taken out: [removed] or … stands there.",
)
WITHOUT_PROMPTS = (
    "Prompts are not in: of each text only its length and hash are told. "
    "A bundle with prompts is another file, which only some people may take out."
)
WITH_PROMPTS = (
    "THIS BUNDLE HOLDS THE PROMPTS of the job, in record.json and replay.json. Give it only to people who may read "
    "them. replay.json also holds pictures that later stages began with."
)
REPLAY = """To send the same requests to another WebUI, where StableNew runs with a node for it:

    {command}

It says whether they fail there in the same way, and whether they are the same requests, by their hashes.
"""


def readme(
    job: Job, telling: Telling, parts: Sequence[Part], door: Door, *, at: datetime, with_prompts: bool
) -> str:
    """`parts` are all that were tried; those without content say why."""
    kept = [part for part in parts if not part.left_out]
    left_out = [part for part in parts if part.left_out]
    events = telling.events
    sections = [
        _section("What happened", explanation_text(telling.account, door).rstrip()),
        _section("In order", "\n".join(_newest(events)) or "Nothing has happened yet."),
        _section("Where to look", "\n".join(f"{part.name:<45} {part.meaning}" for part in kept)),
    ]
    if with_prompts and any(part.name == "replay.json" for part in kept):
        sections.append(
            _section(
                "To try it elsewhere",
                REPLAY.format(command=typed("jobs replay THIS_FILE.zip --node NAME")).rstrip(),
            )
        )
    reasons = [f"{part.name:<45} {part.left_out}" for part in left_out]
    told = [*NEVER, WITH_PROMPTS if with_prompts else WITHOUT_PROMPTS]
    sections.append(
        _section("What is not in, and why", "\n".join([*told, *([""] if reasons else []), *reasons]))
    )
    title = f"Job {job.pk}, {job.status.lower()}: a bundle made by StableNew at {at:%Y-%m-%d %H:%M} UTC"
    return "\n\n".join([title, *sections]) + "\n"


def _section(title: str, text: str) -> str:
    return f"{title}\n{'-' * len(title)}\n{text}"


def _newest(events: Sequence[str]) -> list[str]:
    older = len(events) - MOST_EVENTS
    told = [f"({older} earlier ones are in events.jsonl.)"] if older > 0 else []
    return [*told, *events[-MOST_EVENTS:]]
