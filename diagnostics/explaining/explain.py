"""What happened to a job, or why it does not run yet: from stored facts and one frozen now to an account. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from diagnostics.explaining.account import (
    Account,
    Action,
    Reason,
    Verb,
)
from diagnostics.explaining.job_facts import MAX_RERUNS, RerunFacts, Situation, situation_of
from diagnostics.explaining.waiting import tell_waiting
from jobs.lifecycle import TERMINAL, EventType, JobStatus
from jobs.queue.hold_words import because, clock_time, unstopped
from jobs.reading.event_sentences import was_restarted
from webui.kinds import WorkKind, count_results, server_noun
from webui.nodes.asking import named
from webui.typed_command import typed
from webui.words import ServerNoun, count, duration, ended

Told = tuple[str, tuple[Reason, ...], tuple[Action, ...]]

#: The steps of recovery, in a running job.
RECOVERY = (EventType.CRASH_SUSPECTED, EventType.WEBUI_RESTARTED, EventType.RETRY_STARTED)
#: What became of a job, behind "which".
BECAME = {
    JobStatus.QUEUED: "waits in the queue",
    JobStatus.RUNNING: "is running",
    JobStatus.COMPLETED: "completed",
    JobStatus.FAILED: "failed too",
    JobStatus.CANCELLED: "was cancelled",
}
#: What becomes of a server that accepts connections and answers nothing.
SILENT_REMEDIES = {
    ServerNoun.WEBUI: (
        "No action needed: if it goes on, it counts as standing still after STABLENEW_HANG_BUSY_S (it was drawing) or "
        "STABLENEW_HANG_IDLE_S (it was loading, or worked on extras), and is restarted."
    ),
    ServerNoun.WORKER: (
        "No action needed: if it goes on, it counts as standing still after STABLENEW_HANG_STEP_S (in a step) or "
        "STABLENEW_HANG_PHASE_S (in a phase without steps), and is restarted."
    ),
}
#: Where and when a request failed, as messages of `webui.errors` tell it.
IN_BRACKETS = re.compile(r" \((?:stage |POST )[^)]*\)")


def account_of(job_id: int) -> Account:
    """Read the facts and tell them; `NotFoundError` when there is no such job."""
    return explain(situation_of(job_id))


def explain(facts: Situation) -> Account:
    headline, reasons, remedies = TELL[JobStatus(facts.status)](facts)
    reasons = (*reasons, *_since_its_end(facts))
    return Account(facts.job_id, facts.status, headline, reasons, (*remedies, *_own_actions(facts)))


def _own_actions(facts: Situation) -> tuple[Action, ...]:
    job = facts.job_id
    if facts.status in TERMINAL:
        return (Action(Verb.RERUN, "Run again", job, typed(f"jobs rerun {job}")),)
    if facts.cancel_requested_by:
        return ()
    return (Action(Verb.CANCEL, "Cancel", job, typed(f"jobs cancel {job}")),)


def _running(facts: Situation) -> Told:
    reasons: list[Reason] = []
    noun = server_noun(facts.kind)
    where = f" on {facts.node}" if facts.node else ""
    if facts.lease_until is not None and facts.lease_until < facts.now:
        heard = clock_time(facts.lease_until, facts.now)
        text = f"Its runner{where} has not renewed its claim, which ended at {heard}."
        command = typed(f"run_node {facts.node}")
        remedy = f"The supervisor of the node decides what becomes of it: {command}."
        reasons.append(Reason("worker_lost", text, remedy, facts.node))
    if facts.cancel_requested_by:
        at = f" at {clock_time(facts.cancel_requested_at, facts.now)}" if facts.cancel_requested_at else ""
        headline = (
            f"{facts.cancel_requested_by} asked{at} to cancel it; "
            "it ends with the answer to its interrupted request."
        )
        return headline, (Reason("cancel_asked", headline), *reasons), ()
    last = facts.last_event(*RECOVERY, EventType.REQUEUED)
    reasons += _crash_reasons(facts)
    if last is not None and last.kind == EventType.CRASH_SUSPECTED and last.data.get("restart"):
        since = clock_time(last.at, facts.now)
        failed = f"The {noun}{where} failed it at {since}"
        headline = f"{failed}; a restart of the {noun} is due, then it gets its one retry."
        return headline, tuple(reasons), ()
    if reasons and reasons[0].code == "worker_lost":
        return reasons[0].text, tuple(reasons), ()
    retry = " This is its one retry." if facts.retry_count else ""
    if facts.silent_s is not None:
        text = f"The {noun}{where} has not answered for {duration(facts.silent_s)}."
        reasons.insert(0, Reason("silent", text, SILENT_REMEDIES[noun], facts.node))
        return f"It is running{where}{_stage_now(facts)}. {text}{retry}", tuple(reasons), ()
    return f"It is running{where}{_stage_now(facts)}.{retry}", tuple(reasons), ()


def _stage_now(facts: Situation) -> str:
    """Which stage of how many, and since when; empty before the first. A film or an edit has one."""
    stage = facts.current_stage
    if stage not in facts.stages:
        return ""
    number, total = facts.stages.index(stage) + 1, len(facts.stages)
    place = f": {stage}, stage {number} of {total}," if facts.kind == WorkKind.IMAGE else ""
    began = next(
        (event.at for event in reversed(facts.events) if event.kind == EventType.STAGE_STARTED), None
    )
    since = f" since {clock_time(began, facts.now)}" if began else ""
    return f"{place}{since}" if since else place.removesuffix(",")


def _crash_reasons(facts: Situation) -> list[Reason]:
    """What the first run met, and what came of it; empty for a job that met nothing."""
    reasons = []
    noun = server_noun(facts.kind)
    for event in facts.events:
        at = clock_time(event.at, facts.now)
        if event.kind == EventType.CRASH_SUSPECTED:
            stage, code = event.data.get("stage") or "that ran", event.data.get("error_code")
            ended = f"Stage {stage} broke off at {at}{f' with {code}' if code else ''}"
            text = f"{ended}{because(_first(event.data.get('reason')))}."
            reasons.append(Reason("crash", text, "", facts.node))
        elif event.kind == EventType.WEBUI_RESTARTED:
            generation = f" as generation {event.data['generation']}" if event.data.get("generation") else ""
            text = f"The {noun} was ready again{generation} at {at}."
            if not was_restarted(event.data):
                text = f"The {noun} was not restarted; it answered again at {at}."
            reasons.append(Reason("restarted", text, "", facts.node))
        elif event.kind == EventType.REQUEUED:
            charge = "this used its one retry" if event.data.get("charged") else "not charged"
            why = because(_first(event.data.get("reason")))
            reasons.append(Reason("requeued", f"It went back to the queue at {at}{why}; {charge}."))
    return reasons


def _first(reason: object) -> str:
    """The first sentence of a reason, without where it was sent: that and what to do are told once, elsewhere."""
    return IN_BRACKETS.sub("", str(reason or ""), count=1).partition(". ")[0]


def _completed(facts: Situation) -> Told:
    where = f" on {facts.node}" if facts.node else ""
    stages = f" in {len(facts.stages)} stages" if len(facts.stages) > 1 else ""
    made = f"It made {count_results({facts.kind: facts.images})}{stages}{where}{_took(facts)}."
    headline = f"{made}{_after_retry(facts)}{_drift(facts)}"
    return headline, tuple(_crash_reasons(facts)), ()


def _drift(facts: Situation) -> str:
    """Of what it made: the settings that are not as asked."""
    end = facts.last_event(EventType.COMPLETED)
    drifts = end.data.get("drifts", ()) if end else ()
    names = ", ".join(dict.fromkeys(str(one["field"]) for one in drifts))
    return f" Differs from the request: {names}." if names else ""


def _took(facts: Situation) -> str:
    if facts.started_at is None or facts.finished_at is None:
        return ""
    return f" in {duration((facts.finished_at - facts.started_at).total_seconds())}"


def _after_retry(facts: Situation) -> str:
    if not facts.retry_count:
        return ""
    crash = facts.last_event(EventType.CRASH_SUSPECTED)
    if crash is None:
        return " It had its one retry, after the process that ran it was lost."
    if facts.error and crash.data.get("error_code") == facts.error.get("code"):
        return " Its one retry ended in the same way."
    code = f" ended with {crash.data['error_code']}" if crash.data.get("error_code") else " crashed"
    return f" It had its one retry, after {crash.data.get('stage') or 'a stage'}{code}."


def _failed(facts: Situation) -> Told:
    error = facts.error or {}
    where = f" on {facts.node}" if facts.node else ""
    stage = f" in {error['stage']}" if error.get("stage") else ""
    code = f" with {error['code']}" if error.get("code") else ""
    headline = f"It failed{stage}{where}{code}.{_after_retry(facts)}"
    told = ended(str(error.get("message") or "It left no message."))
    error_told = Reason("error", told, str(error.get("remediation") or ""), facts.node)
    return headline, (error_told, *_crash_reasons(facts), _tried(facts)), ()


def _tried(facts: Situation) -> Reason:
    if not facts.requests:
        return Reason("tried", f"Nothing was sent to a {server_noun(facts.kind)} for it.")
    boots = sum(
        event.kind == EventType.WEBUI_RESTARTED and was_restarted(event.data) for event in facts.events
    )
    restarts = f" and {count(boots, 'restart')} of the {server_noun(facts.kind)}" if boots else ""
    sent = f"Tried: {count(facts.requests, 'request')} in {count(facts.runs, 'run')}{restarts}."
    return Reason("tried", sent + _kept(facts))


def _kept(facts: Situation) -> str:
    if not facts.pictures:
        return ""
    return f" {count_results({facts.kind: facts.pictures})} {'is' if facts.pictures == 1 else 'are'} kept."


def _cancelled(facts: Situation) -> Told:
    last = facts.last_event(EventType.CANCELLED)
    data = last.data if last else {}
    at = f" at {clock_time(last.at, facts.now)}" if last else ""
    reason = f" ({unstopped(str(data['reason']))})" if data.get("reason") else ""
    headline = f"It was cancelled by {named(str(data.get('by') or ''))}{at}{reason}.{_kept(facts)}"
    return headline, tuple(_crash_reasons(facts)), ()


def _since_its_end(facts: Situation) -> Iterator[Reason]:
    """What people did about it after it had ended: ran it again, dismissed the failure, or neither."""
    if facts.reruns:
        yield Reason("run_again", _run_again(facts.reruns))
    dismissed = facts.last_event(EventType.DISMISSED)
    if dismissed is not None:
        by, at = dismissed.data.get("by") or "somebody", clock_time(dismissed.at, facts.now)
        why = because(str(dismissed.data.get("reason") or ""))
        yield Reason("dismissed", f"The failure was dismissed by {by} at {at}{why}.")
    if facts.needs_attention:
        text = "It needs attention: nobody has run it again or dismissed it."
        yield Reason("attention", text)


def _run_again(reruns: Sequence[RerunFacts]) -> str:
    if len(reruns) == 1:
        [rerun] = reruns
        by = f" by {rerun.by}" if rerun.by else ""
        return f"It was run again{by} as job {rerun.job_id}, which {BECAME[JobStatus(rerun.status)]}."
    told = ", ".join(f"job {rerun.job_id} ({JobStatus(rerun.status).label.lower()})" for rerun in reruns)
    return f"It was run again as {told}{', the latest first' if len(reruns) == MAX_RERUNS else ''}."


TELL: dict[JobStatus, Callable[[Situation], Told]] = {
    JobStatus.QUEUED: tell_waiting,
    JobStatus.RUNNING: _running,
    JobStatus.COMPLETED: _completed,
    JobStatus.FAILED: _failed,
    JobStatus.CANCELLED: _cancelled,
}
