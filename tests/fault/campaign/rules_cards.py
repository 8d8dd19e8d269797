"""The cards: nodes that share one never work at the same time, by rows and by what the simulators themselves tell."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

from tests.fault.campaign.books import Books, Span, task_of
from tests.fault.campaign.evidence import Row
from tests.fault.campaign.rules_runs import overlaps


def a_card_serves_one_job_at_a_time(books: Books) -> Iterator[str]:
    for by_node in (books.running_spans(), books.attempt_spans(), _work_spans(books)):
        for card, spans in _by_card(books, by_node).items():
            for one, other in overlaps(spans):
                yield (
                    f"Card {card} had jobs {one.job_id} ({one.what}) and {other.job_id} ({other.what}) "
                    f"at the same time, at {other.began:%H:%M:%S.%f}."
                )


def _by_card(books: Books, by_node: Mapping[str, Iterable[Span]]) -> dict[str, list[Span]]:
    shared: dict[str, list[Span]] = defaultdict(list)
    for node, spans in by_node.items():
        if card := books.cards.get(node, ""):
            shared[card] += spans
    return shared


def _work_spans(books: Books) -> dict[str, list[Span]]:
    """By node: from the moment in which its worker begins with a job to the one in which the card is free again."""
    return {
        node: [*_spans_of(node, journal)]
        for node, journal in books.evidence.journals.items()
        if books.cards.get(node)
    }


def _spans_of(node: str, journal: Sequence[Row]) -> Iterator[Span]:
    answers = {row["n"]: row for row in journal if row["event"] == "answer"}
    last_words: dict[int, datetime] = {row["pid"]: row["time"] for row in journal}
    for begin in journal:
        task = task_of(begin) if begin["event"] == "begin" else None
        if task is None:
            continue
        answer = answers.get(begin["n"])
        # Without an end, and while it hangs, it goes on at least as long as its process says anything.
        goes_on = answer is None or answer["outcome"] == "hung"
        until = last_words[begin["pid"]] if goes_on or answer is None else answer["time"]
        yield Span(task[0], begin["time"], until, f"job {begin['n']} of {node}'s worker")
