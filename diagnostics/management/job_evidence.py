"""What the evidence of a job is good for, as the `jobs` command answers it: a bundle, a replay, another judgement."""

from __future__ import annotations

import argparse
import shutil
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict
from datetime import datetime, time
from pathlib import Path
from typing import Any

from django.utils import timezone
from django.utils.dateparse import parse_date, parse_datetime

from diagnostics.bundle.building import build_bundle
from diagnostics.replay.reading import read_replay
from diagnostics.replay.sending import Replay
from jobs.cli import EXIT_REFUSED, ArgumentsRefused, CommandAnswer, CommandRefused, who
from jobs.errors import NotFoundError
from jobs.lifecycle import JobStatus
from jobs.models import Job
from jobs.running.recheck import recheck
from webui.models import Node
from webui.private_files import private


def tell_bundle(options: Mapping[str, Any]) -> CommandAnswer:
    """The file is there whole or not at all, and never takes the place of another one."""
    prompts_for = who() if options["with_prompts"] else ""
    bundle = build_bundle(options["job_id"], prompts_for=prompts_for)
    path = Path(options["output"] or bundle.name)
    with bundle.file:
        try:
            with open(path, "xb", opener=private) as file:
                shutil.copyfileobj(bundle.file, file)
        except OSError as exc:
            raise CommandRefused.saying(f"{path} cannot be written: {exc.strerror}.") from exc
    left_out = [{"name": name, "reason": reason} for name, reason in bundle.left_out]
    document = {"job": options["job_id"], "file": str(path), "size_bytes": bundle.size_bytes}
    answer = CommandAnswer({**document, "left_out": left_out, "errors": []})
    answer.line(f"{path} has {bundle.size_bytes:,} bytes; its README.txt says what is in it.")
    for name, reason in bundle.left_out:
        answer.line(f"  not in: {name} ({reason})")
    return answer


def tell_replay(options: Mapping[str, Any]) -> CommandAnswer:
    node = Node.objects.filter(name=options["node"]).first()
    if node is None:
        raise NotFoundError(f"There is no node {options['node']!r}. `node list` shows those that are there.")
    document = read_replay(options["file"])
    folder = Path(options["output"] or f"replay-job-{document.job}")
    replay = Replay(document, node, who(), folder)
    done = replay.run()
    answer = CommandAnswer(replay.as_json(done))
    for one in done:
        same = "the same request as in the file" if one.same_request else "NOT the request that the file says"
        answer.line(f"{one.stage}, POST {one.endpoint}: {same}, SHA-256 {one.sha256}")
        verdict = "as it did there" if one.alike else f"there it ended with {one.there}"
        answer.line(f"  on {node.name} it ended with {one.here}: {verdict}. {one.message}")
        for path in one.pictures:
            answer.line(f"  {path}")
        if one.same_pictures is not None:
            answer.line(f"  The pictures are {'the same' if one.same_pictures else 'others'}, byte for byte.")
    return answer


def tell_recheck(options: Mapping[str, Any]) -> CommandAnswer:
    """By number, or all that ended since a day; exit code 1 where one is not there or did not complete."""
    if bool(options["job_ids"]) == bool(options["since"]):
        message = "Name the jobs by ID, or choose them by --since: one of the two."
        raise ArgumentsRefused.saying(message, "arguments")
    wanted = list(dict.fromkeys(options["job_ids"]))
    if options["since"]:
        ended = Job.objects.filter(status=JobStatus.COMPLETED, finished_at__gte=options["since"])
        wanted = list(ended.order_by("finished_at", "id").values_list("id", flat=True))
    judged, errors = [], []
    for job_id in wanted:
        found = recheck(job_id)
        if found is None:
            message = f"There is no completed job {job_id}."
            errors.append({"code": "not_found", "message": message})
        else:
            judged.append(found)
    counts = Counter(one.after or "not judged" for one in judged)
    changed = [one for one in judged if one.before != one.after]
    answer = CommandAnswer(
        {"jobs": [asdict(one) for one in judged], "verdicts": dict(counts), "errors": errors},
        exit_code=EXIT_REFUSED if errors else 0,
    )
    for one in changed:
        answer.line(
            f"Job {one.job_id}: {one.before or 'not judged'} before, {one.after or 'not judged'} now."
        )
    for error in errors:
        answer.line(error["message"])
    told = ", ".join(f"{number:,} {verdict}" for verdict, number in sorted(counts.items()))
    return answer.line(f"{len(judged):,} judged{': ' if told else ''}{told}; {len(changed):,} changed.")


def day(text: str) -> datetime:
    """A day, from its beginning, or a moment of one."""
    day = parse_date(text) if len(text) <= len("2026-11-29") else None
    moment = datetime.combine(day, time.min) if day else parse_datetime(text)
    if moment is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no day like 2026-11-29")
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment)
