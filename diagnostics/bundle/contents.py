"""What stands in a bundle, part by part: each is made when it is its turn, and passes the door."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from django.core.serializers.json import DjangoJSONEncoder

from diagnostics.bundle import surroundings
from diagnostics.bundle.door import MOST_CHARS, Door, somebody
from diagnostics.bundle.people import without_people
from diagnostics.bundle.record_shape import shaped_record
from diagnostics.events import EventFilter, StreamedEvent, stream
from diagnostics.evidence.artifacts import CONTENTS, FIRST_FAILURE, Artifact, ArtifactError, artifacts_of
from diagnostics.explaining.account import Account
from diagnostics.explaining.explain import explain
from diagnostics.explaining.job_facts import situation_of
from diagnostics.replay.recording import recorded_json
from jobs.models import Job, OutputImage, TruthCheck
from jobs.reading.event_sentences import event_text
from jobs.running.envelope import read_envelope
from jobs.running.execution import execution_metadata

#: Newest events, pictures and judgements that are told.
MOST_ROWS: Final = 2_000


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a bundle. `left_out` says why it is not in; then there is no content."""

    name: str
    meaning: str
    content: bytes = b""
    left_out: str = ""


@dataclass(frozen=True, slots=True)
class Telling:
    """What the README tells besides its files: the account, and the events in order as sentences."""

    account: Account
    events: tuple[str, ...]


def telling_of(job: Job, door: Door) -> Telling:
    account = explain(without_people(situation_of(job.pk)))
    return Telling(account, tuple(door.text(_sentence(event)) for event in _events(job)))


def parts_of(
    job: Job, door: Door, telling: Telling, *, with_prompts: bool, most_bytes: int
) -> Iterator[Part]:
    """In the order in which they matter: what comes last is left out first."""
    nodes = surroundings.nodes_of(job)
    account = telling.account
    yield Part("explanation.txt", "what happened and what to do", _text(explanation_text(account, door)))
    yield Part("explanation.json", "the same for programs", _json(door.json(account.as_json())))
    yield _envelope(job, door)
    yield Part("attempts.json", "every request that was sent, and how it ended", _json(_attempts(job, door)))
    yield Part("events.jsonl", "what happened step by step, one JSON object a line", _event_lines(job, door))
    yield _record(job, door, with_prompts=with_prompts)
    yield from _evidence(job, door)
    yield Part(
        "pictures.json", "its pictures: size, seed, hash, and where they lie", _json(_pictures(job, door))
    )
    yield _truth(job, door)
    yield Part(
        "versions.json", "versions of programs and servers", _json(door.json(surroundings.versions(nodes)))
    )
    yield Part("settings.json", "our settings: numbers and switches", _json(surroundings.safe_settings()))
    yield Part("machine.json", "cores, memory and disks", _json(surroundings.machine(nodes)))
    catalogs = surroundings.catalogs(nodes, door)
    if catalogs:
        yield Part("catalog.json", "what the servers had when they were last asked", _json(catalogs))
    else:
        yield Part("catalog.json", "", left_out="it never ran, so there is no server to tell of")
    if with_prompts:
        yield _replay(job, most_bytes)
    else:
        why = "it holds the prompts; ask for a bundle with prompts"
        yield Part("replay.json", "", left_out=why)


def explanation_text(account: Account, door: Door) -> str:
    """The account as `jobs explain` prints it."""
    lines = [f"Job {account.job_id}: {account.status}. {account.headline}"]
    lines += [f"- {' '.join(filter(None, (reason.text, reason.remedy)))}" for reason in account.details]
    return door.text("\n".join(lines)) + "\n"


# --- rows ---------------------------------------------------------------------------------------------------


def _events(job: Job) -> list[StreamedEvent]:
    """In order; of very many the newest."""
    return list(reversed(stream(EventFilter(job_id=job.pk), limit=MOST_ROWS).events))


def _sentence(event: StreamedEvent) -> str:
    data = {**event.data, "by": somebody(str(event.data["by"]))} if event.data.get("by") else event.data
    return f"{event.at:%Y-%m-%d %H:%M:%S} {event.title}: {event_text(event.event_type, data)}"


def _event_lines(job: Job, door: Door) -> bytes:
    lines = (json.dumps(door.json(event.as_json()), ensure_ascii=False) for event in _events(job))
    return _text("".join(f"{line}\n" for line in lines))


def _attempts(job: Job, door: Door) -> Any:
    return door.json(execution_metadata(job).as_json())


def _envelope(job: Job, door: Door) -> Part:
    meaning = "the failure as it was stored"
    if not job.error:
        return Part("envelope.json", meaning, left_out="the job has not failed")
    return Part("envelope.json", meaning, _json(door.json(read_envelope(job.error))))


def _record(job: Job, door: Door, *, with_prompts: bool) -> Part:
    text = job.record.canonical_json
    if with_prompts:
        return Part("record.json", "the request as it was submitted, with its prompts", _text(text))
    shaped = {"sha256": job.record.sha256, "record": shaped_record(text, door)}
    return Part(
        "record.json", "the request as it was submitted; each text is its length and hash", _json(shaped)
    )


def _pictures(job: Job, door: Door) -> Any:
    rows = OutputImage.objects.filter(job=job).order_by("take", "stage_index", "image_index")
    fields = ("stage", "image_index", "take", "path", "sha256", "size_bytes", "width_px", "height_px", "seed")
    of_film = ("frames", "fps", "duration_s")
    found = [
        {name: value for name, value in row.items() if name not in of_film or row["frames"] is not None}
        for row in rows.values(*fields, *of_film)[:MOST_ROWS]
    ]
    return door.json(found)


def _truth(job: Job, door: Door) -> Part:
    meaning = "whether the pictures are what was asked for, field by field"
    checks = TruthCheck.objects.filter(output__job=job).select_related("output").order_by("id")[:MOST_ROWS]
    told = [
        {
            "stage": check.output.stage,
            "image_index": check.output.image_index,
            "take": check.output.take,
            "verdict": check.verdict,
            "rules": check.rules,
            "judged_at": check.judged_at,
            "fields": _judged(check.fields),
        }
        for check in checks
    ]
    if not told:
        return Part("truth.json", meaning, left_out="no picture of it has been judged")
    return Part("truth.json", meaning, _json(door.json({"verdict": job.truth, "checks": told})))


def _judged(fields: object) -> object:
    """Names of fields may be anybody's: they stand as values, which the door looks at."""
    if isinstance(fields, dict):
        return [{"field": str(name), "found": found} for name, found in fields.items()]
    return fields


# --- files --------------------------------------------------------------------------------------------------


def _evidence(job: Job, door: Door) -> Iterator[Part]:
    """What failures left beside the pictures, under names of ours, whatever a row says."""
    for artifact in artifacts_of(job.pk):
        path = Path(artifact.path)
        if path.name not in CONTENTS:
            yield Part("evidence/(another file)", "", left_out="it is no file that StableNew writes")
            continue
        folder = f"{FIRST_FAILURE}/" if path.parent.name == FIRST_FAILURE else ""
        name = f"evidence/{folder}{path.name}"
        try:
            yield Part(name, artifact.contents, _evidence_content(artifact, door))
        except ArtifactError:
            yield Part(name, artifact.contents, left_out="it was moved or deleted on disk")
        except OSError as exc:
            yield Part(name, artifact.contents, left_out=f"it cannot be read ({exc.strerror})")


def _evidence_content(artifact: Artifact, door: Door) -> bytes:
    with artifact.file().open("rb") as file:
        size_bytes = file.seek(0, 2)
        file.seek(max(0, size_bytes - MOST_CHARS))
        content = file.read(MOST_CHARS)
    text = content.decode("utf-8", errors="replace")
    if artifact.path.endswith(".json"):
        try:
            return _json(door.json(json.loads(text)))
        except (ValueError, RecursionError):
            pass
    return _text(door.text(text))


def _replay(job: Job, most_bytes: int) -> Part:
    """The one part that the door does not touch: another byte would be another request."""
    meaning = "its requests as they were sent, for `jobs replay`"
    content, left_out = recorded_json(job, most_bytes=most_bytes)
    return Part("replay.json", meaning, content or b"", left_out)


def _json(value: object) -> bytes:
    return _text(json.dumps(value, indent=1, ensure_ascii=False, cls=DjangoJSONEncoder) + "\n")


def _text(text: str) -> bytes:
    return text.encode("utf-8", errors="backslashreplace")
