"""What pages say of acts on many jobs: the question before, the sentence meanwhile, the result."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from jobs.lifecycle import Priority
from jobs.models import BulkAction, BulkVerb
from jobs.queue.filters import JobFilter
from webui.nodes.asking import named
from webui.words import count


@dataclass(frozen=True, slots=True)
class BulkWords:
    """`{jobs}` stands for the number with its noun, `{priority}` for the new priority.

    `unfit` is what the verb can do nothing to.
    """

    question: str
    means: str
    means_for_one: str
    button: str
    doing: str
    done: str
    noun: str = "waiting job"
    unfit: str = "no longer waiting"


WORDS = {
    BulkVerb.CANCEL: BulkWords(
        "Cancel {jobs}?",
        "They have not started. They go to the history as cancelled, and each can be run again from there.",
        "It has not started. It goes to the history as cancelled, and can be run again from there.",
        "Cancel {jobs}",
        "Cancelling {jobs}",
        "{jobs} cancelled.",
        unfit="already ended or being cancelled",
    ),
    BulkVerb.FRONT: BulkWords(
        "Move {jobs} to the front?",
        "They run next, in the order that they have now.",
        "It runs next.",
        "Move {jobs}",
        "Moving {jobs} to the front",
        "{jobs} moved to the front.",
    ),
    BulkVerb.BACK: BulkWords(
        "Move {jobs} to the back?",
        "They run last of their priority, in the order that they have now.",
        "It runs last of its priority.",
        "Move {jobs}",
        "Moving {jobs} to the back",
        "{jobs} moved to the back.",
    ),
    BulkVerb.PRIORITY: BulkWords(
        "Give {jobs} {priority} priority?",
        "They go behind the jobs that have this priority already, in the order that they have now.",
        "It goes behind the jobs that have this priority already.",
        "Change {jobs}",
        "Giving {jobs} {priority} priority",
        "{jobs} now with {priority} priority.",
    ),
    BulkVerb.ANYWAY: BulkWords(
        "Run {jobs} anyway?",
        "No node has everything that they need. They run all the same, with whatever the WebUI does about it, and "
        "nothing holds them for it again.",
        "No node has everything that it needs. It runs all the same, with whatever the WebUI does about it, and "
        "nothing holds it for that again.",
        "Run {jobs} anyway",
        "Letting {jobs} run anyway",
        "{jobs} will run anyway.",
        "held job",
        "not held for what nodes lack",
    ),
    BulkVerb.RETRY: BulkWords(
        "Run {jobs} again?",
        "Each becomes a new job with the very same record, at the end of the queue. "
        "The old ones stay in the history, and failures among them no longer ask for attention.",
        "A new job with the very same record goes to the end of the queue. "
        "The old one stays in the history, and if it failed, it no longer asks for attention.",
        "Run {jobs} again",
        "Queueing {jobs} again",
        "{jobs} queued again.",
        "finished job",
        "not finished, or already run again",
    ),
    BulkVerb.DISMISS: BulkWords(
        "Dismiss {jobs}?",
        "They stay in the history as failed; they only no longer ask for attention.",
        "It stays in the history as failed; it only no longer asks for attention.",
        "Dismiss {jobs}",
        "Dismissing {jobs}",
        "{jobs} dismissed.",
        "failure",
        "not in need of attention",
    ),
}


RUNNING_TOO = (
    "Waiting jobs are cancelled at once. Running jobs end as soon as their request is interrupted. "
    "You can run cancelled jobs again."
)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked before an act: its number, what it means, and what the button says."""

    title: str
    means: str
    button: str


def question(
    verb: BulkVerb,
    total: int,
    chosen: JobFilter,
    priority: Priority | None,
    *,
    running: int = 0,
    unfit: int = 0,
) -> Question:
    """`running` of the `total` jobs run now; `unfit` more were chosen and are left alone."""
    words = WORDS[verb]
    plain = count(total, "job" if running else words.noun)
    title = _fill(words.question, _with_filter(plain, chosen), priority)
    means = words.means_for_one if total == 1 else words.means
    if running:
        means = RUNNING_TOO
    if unfit:
        means += f" {count(unfit, 'other')} that you chose {'is' if unfit == 1 else 'are'} {words.unfit}."
    return Question(title, means, _fill(words.button, plain, priority))


def nothing_fits(verb: BulkVerb, unfit: int) -> str:
    """The answer to a question about jobs that the verb can do nothing to; `unfit` is 0 where a filter found none."""
    if not unfit:
        return "No job matches any more, so nothing was done."
    chosen = "The job that you chose is" if unfit == 1 else f"The {unfit:,} jobs that you chose are"
    return f"Nothing was done. {chosen} {WORDS[verb].unfit}."


@dataclass(frozen=True, slots=True)
class BulkProgress:
    """One act as pages show it. `seen` of `total` jobs were looked at; the others' turn has not come."""

    id: int
    doing: str
    by: str
    at: datetime
    seen: int
    total: int
    ended: bool
    result: str
    """What it did so far, or in the end."""

    @property
    def percent(self) -> int:
        return 100 if self.ended or not self.total else min(99, self.seen * 100 // self.total)


def progress_of(act: BulkAction) -> BulkProgress:
    words, chosen = WORDS[BulkVerb(act.verb)], JobFilter.from_query(act.filters)
    priority = None if act.priority is None else Priority(act.priority)
    return BulkProgress(
        id=act.pk,
        doing=_fill(words.doing, _with_filter(count(act.total, words.noun), chosen), priority),
        by=named(act.asked_by),
        at=act.asked_at,
        seen=act.done + act.skipped,
        total=act.total,
        ended=act.ended_at is not None,
        result=result_of(act),
    )


def result_of(act: BulkAction) -> str:
    """One or two sentences: how many were done, and why the others were not."""
    words = WORDS[BulkVerb(act.verb)]
    priority = None if act.priority is None else Priority(act.priority)
    if not act.total:
        return f"No {words.noun} matches any more, so nothing was done."
    parts = [_fill(words.done, count(act.done, words.noun), priority) if act.done else "Nothing was done."]
    if act.stopped_by:
        left = act.total - act.done - act.skipped
        parts.append(f"{act.stopped_by} stopped it; {left:,} were left as they are.")
    if act.skipped:
        were = "was" if act.skipped == 1 else "were"
        parts.append(f"{count(act.skipped, 'job')} {were} left alone: {words.unfit}.")
    return " ".join(parts)


def _with_filter(jobs: str, chosen: JobFilter) -> str:
    return f"{jobs} {chosen.words()}" if chosen else jobs


def _fill(sentence: str, jobs: str, priority: Priority | None) -> str:
    return sentence.format(jobs=jobs, priority=priority.label.lower() if priority else "")
