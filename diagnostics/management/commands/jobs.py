"""`manage.py jobs`: list jobs, show everything about one, say why, cancel some, run some again.

It stands here and not in `jobs`, because it also tells accounts, which nothing below this app knows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandParser

from diagnostics.explaining.account import Account
from diagnostics.explaining.explain import account_of
from diagnostics.management.job_evidence import day, tell_bundle, tell_recheck, tell_replay
from jobs.cli import (
    EXIT_REFUSED,
    AnsweringCommand,
    ArgumentsRefused,
    CommandAnswer,
    positive_number,
    text_argument,
    who,
)
from jobs.errors import NotFoundError
from jobs.lifecycle import TERMINAL, JobStatus, TruthVerdict
from jobs.models import Job
from jobs.queue import control
from jobs.queue.control import CancelResult
from jobs.queue.summary import summarize
from jobs.reading.document import job_document
from jobs.reading.event_sentences import event_text
from jobs.reading.live import QueueProgress, running_jobs
from jobs.submitting.reruns import finished_jobs, rerun
from webui.kinds import WorkKind
from webui.words import duration

DEFAULT_LIMIT = 20
VERBS = "list|show|explain|cancel|rerun|recheck|bundle|replay"
VERDICTS = {"drift": TruthVerdict.DRIFTED, **{str(verdict): verdict for verdict in TruthVerdict}}


class Command(AnsweringCommand):
    help = (
        "List jobs (list), show everything that is known about one (show ID), say what happened to it or why it "
        "does not run yet (explain ID), cancel some (cancel ID...), "
        "run finished ones again (rerun ID... or rerun --status FAILED --pack NAME), judge stored pictures again "
        "(recheck ID... or recheck --since DATE), put everything about one into a file (bundle ID), send the requests "
        "of such a file to another node (replay FILE --node NAME)."
    )
    paths = frozenset({"output", "file"})

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        verbs = parser.add_subparsers(dest="verb", required=True, metavar=VERBS)
        listing = verbs.add_parser("list", help="the newest jobs first")
        listing.add_argument("--status", type=str.upper, choices=JobStatus.values, help="only these")
        listing.add_argument("--kind", type=str.lower, choices=WorkKind.values, help="only these")
        listing.add_argument("--pack", help="only jobs of this pack")
        listing.add_argument(
            "--truth",
            type=str.lower,
            choices=sorted(VERDICTS),
            help="only those whose pictures were found so",
        )
        listing.add_argument(
            "--limit",
            type=positive_number,
            default=DEFAULT_LIMIT,
            help="at most so many (default: %(default)s)",
        )
        super().add_arguments(listing)
        show = verbs.add_parser("show", help="record, events, attempts, pictures and error of jobs")
        show.add_argument("job_ids", type=positive_number, metavar="ID", nargs="+")
        super().add_arguments(show)
        explain = verbs.add_parser("explain", help="what happened to jobs, or why they do not run yet")
        explain.add_argument("job_ids", type=positive_number, metavar="ID", nargs="+")
        super().add_arguments(explain)
        cancel = verbs.add_parser("cancel", help="cancel queued jobs now, ask running ones to stop")
        cancel.add_argument("job_ids", type=positive_number, metavar="ID", nargs="+")
        super().add_arguments(cancel)
        again = verbs.add_parser("rerun", help="new jobs from the records of finished ones, hashes unchanged")
        again.add_argument("job_ids", type=positive_number, metavar="ID", nargs="*")
        again.add_argument("--status", type=str.upper, choices=sorted(TERMINAL), help="all finished so")
        again.add_argument("--pack", help="all finished ones of this pack")
        again.add_argument("--run-now", action="store_true", help="at the front of their priority")
        super().add_arguments(again)
        bundle = verbs.add_parser(
            "bundle", help="everything about a job in one zip that may leave this place"
        )
        bundle.add_argument("job_id", type=positive_number, metavar="ID")
        bundle.add_argument(
            "--with-prompts",
            action="store_true",
            help="also its prompts and requests, for replay; the job's events tell of it",
        )
        bundle.add_argument("--output", type=Path, help="the file to write (default: job-ID.zip here)")
        super().add_arguments(bundle)
        replay = verbs.add_parser("replay", help="send the requests of a bundle with prompts to a node")
        replay.add_argument("file", type=Path, metavar="FILE", help="a bundle, or the replay.json in it")
        replay.add_argument("--node", required=True, type=text_argument, help="a node that is ready and idle")
        replay.add_argument(
            "--output", type=Path, help="folder for the pictures that come (default: replay-job-ID here)"
        )
        super().add_arguments(replay)
        judge = verbs.add_parser("recheck", help="judge the stored pictures of completed jobs again")
        judge.add_argument("job_ids", type=positive_number, metavar="ID", nargs="*")
        judge.add_argument("--since", type=day, metavar="DATE", help="all that ended since, like 2026-11-29")
        super().add_arguments(judge)

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        match options["verb"]:
            case "show":
                return _show(options["job_ids"])
            case "explain":
                return _explain(options["job_ids"])
            case "cancel":
                return _cancel(options["job_ids"])
            case "rerun":
                return _rerun(options)
            case "bundle":
                return tell_bundle(options)
            case "replay":
                return tell_replay(options)
            case "recheck":
                return tell_recheck(options)
            case _:
                return _list(options)


def _list(options: Mapping[str, Any]) -> CommandAnswer:
    found = Job.objects.select_related("record").order_by("-id")
    if options["status"]:
        found = found.filter(status=options["status"])
    if options["kind"]:
        found = found.filter(kind=options["kind"])
    if options["pack"]:
        found = found.filter(record__pack_name=options["pack"])
    if options["truth"]:
        found = found.filter(truth=VERDICTS[options["truth"]])
    summaries = [summarize(job) for job in found[: options["limit"]]]
    answer = CommandAnswer({"jobs": [{"id": s.job_id, **asdict(s)} for s in summaries]})
    if not summaries:
        return answer.line("No job matches. `submit_pack PATH` queues some.")
    return answer.table(
        "",
        ("job", "status", "pack", "row", "size", "stages", "seed", "prompt"),
        (
            (
                s.job_id,
                s.status,
                s.prompt_pack_name,
                s.prompt_pack_row_index + 1,
                f"{s.width}x{s.height}",
                " > ".join(s.stage_chain_labels),
                s.seed,
                s.positive_prompt_preview[:60],
            )
            for s in summaries
        ),
    )


def _show(job_ids: list[int]) -> CommandAnswer:
    """One job is the whole document; several stand in its `jobs`, in the order asked for."""
    found = {job.pk: job for job in Job.objects.select_related("record").filter(pk__in=job_ids)}
    for job_id in job_ids:
        if job_id not in found:
            raise NotFoundError(f"There is no job {job_id}. `jobs list` shows those that are there.")
    documents = [job_document(found[job_id]) for job_id in dict.fromkeys(job_ids)]
    answer = CommandAnswer(documents[0] if len(documents) == 1 else {"jobs": documents})
    running = {run.line.id: run.progress for run in running_jobs()}
    for document in documents:
        _tell_job(answer, document, running.get(document["id"]))
    return answer


def _tell_job(answer: CommandAnswer, document: Mapping[str, Any], progress: QueueProgress | None) -> None:
    """What `job_document` knows, for people; `progress` of a job that runs."""
    summary = document["summary"]
    pack = f"{summary['prompt_pack_name']} row {summary['prompt_pack_row_index'] + 1}"
    answer.line(f"Job {document['id']}: {document['status']}, {pack}")
    answer.line(f"prompt    {summary['positive_prompt_preview']}")
    answer.line(f"stages    {' > '.join(summary['stage_chain_labels'])}")
    answer.line(f"seed      {summary['seed']}")
    if progress is not None:
        answer.line(f"progress  {progress.line}")
    answer.line(f"record    {document['record_hash']}")
    answer.line(f"retries   {document['retry_count']}")
    if document["error"]:
        _tell_error(answer, document["error"])
    answer.table(
        "Events",
        ("#", "at", "event", "from", "to", "what happened"),
        (
            (
                *(e[k] for k in ("sequence", "at", "event_type", "from", "to")),
                event_text(e["event_type"], e["data"]),
            )
            for e in document["events"]
        ),
    )
    if document["stage_attempts"]:
        answer.table(
            "Attempts",
            ("run", "stage", "attempt", "waited", "outcome", "HTTP", "took", "node", "reason"),
            (_attempt_row(attempt) for attempt in document["stage_attempts"]),
        )
    for image in document["outputs"]:
        answer.line(f"{image['stage']:<9} {image['path']}")


def _tell_error(answer: CommandAnswer, error: Mapping[str, Any]) -> None:
    """The envelope for people; --json has all of it."""
    stage = f" in {error['stage']}" if error.get("stage") else ""
    answer.line(f"error     {error.get('code', '')}{stage}: {error.get('message', '')}")
    if error.get("remediation"):
        answer.line(f"          {error['remediation']}")
    for path in error.get("artifact_paths", ()):
        answer.line(f"evidence  {Path(settings.STABLENEW_OUTPUT_DIR) / path}")


def _attempt_row(attempt: Mapping[str, Any]) -> tuple[Any, ...]:
    picture = "" if attempt["image_index"] is None else f" picture {attempt['image_index'] + 1}"
    return (
        attempt["run_number"],
        f"{attempt['stage']}{picture}",
        f"{attempt['attempt_index']} of {attempt['max_attempts']}",
        duration(attempt["wait_s"]),
        attempt["outcome"] or "under way",
        attempt["http_status"] or "",
        duration(attempt["duration_s"]),
        f"{attempt['node']} gen. {attempt['generation']}",
        attempt["reason"],
    )


def _explain(job_ids: list[int]) -> CommandAnswer:
    """One job is the whole document; several stand in its `jobs`, in the order asked for."""
    accounts = [account_of(job_id) for job_id in dict.fromkeys(job_ids)]
    documents = [account.as_json() for account in accounts]
    answer = CommandAnswer(documents[0] if len(documents) == 1 else {"jobs": documents})
    for account in accounts:
        _tell_account(answer, account)
    return answer


def _tell_account(answer: CommandAnswer, account: Account) -> None:
    answer.line(f"Job {account.job_id}: {account.status}. {account.headline}")
    for reason in account.details:
        answer.line(f"  - {' '.join(filter(None, (reason.text, reason.remedy)))}")
    for action in account.actions:
        answer.line(f"{action.label}: {action.command}")


def _cancel(job_ids: list[int]) -> CommandAnswer:
    """Each job gets its verdict; exit code 1 when one could not be cancelled any more or is not there."""
    verdicts: list[dict[str, Any]] = []
    for job_id in dict.fromkeys(job_ids):
        try:
            cancelled = control.cancel(job_id, by=who())
        except NotFoundError as exc:
            verdicts.append({"job": job_id, "result": "not_found", "message": str(exc)})
        else:
            verdicts.append({"job": job_id, "result": cancelled.result.value, "message": cancelled.message})
    done = (CancelResult.CANCELLED, CancelResult.REQUESTED)
    errors = [
        {"code": verdict["result"], "message": verdict["message"]}
        for verdict in verdicts
        if verdict["result"] not in done
    ]
    answer = CommandAnswer({"jobs": verdicts, "errors": errors}, exit_code=EXIT_REFUSED if errors else 0)
    for verdict in verdicts:
        answer.line(verdict["message"])
    return answer


def _rerun(options: Mapping[str, Any]) -> CommandAnswer:
    """All or nothing: one job that is not there or has not finished refuses them all."""
    chosen, filtered = options["job_ids"], bool(options["status"] or options["pack"])
    if bool(chosen) == filtered:
        message = "Name the jobs by ID, or choose them by --status and --pack: one of the two."
        raise ArgumentsRefused.saying(message, "arguments")
    old = chosen or finished_jobs(status=options["status"] or "", pack=options["pack"] or "")
    new = rerun(old, by=who(), run_now=options["run_now"])
    pairs = [{"job": made, "rerun_of": was} for was, made in zip(dict.fromkeys(old), new, strict=True)]
    answer = CommandAnswer({"jobs": pairs, "job_ids": new, "errors": []})
    return answer.line(f"{len(new)} jobs run again as jobs {new[0]} to {new[-1]}.")
