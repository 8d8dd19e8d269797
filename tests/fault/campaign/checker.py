"""Judges a campaign: every broken promise is one sentence.

Knows the tables, the journals and the disk, and nothing of the project's code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tests.fault.campaign import (
    rules_account,
    rules_cards,
    rules_events,
    rules_films,
    rules_results,
    rules_runs,
)
from tests.fault.campaign.books import Books
from tests.fault.campaign.evidence import Evidence

Rule = Callable[[Books], Iterator[str]]

RULES: tuple[Rule, ...] = (
    rules_account.every_submitted_job_ended,
    rules_account.the_ledger_and_the_history_agree,
    rules_account.every_cancelled_job_was_asked_for,
    rules_account.a_cancel_is_obeyed,
    rules_account.every_failure_explains_itself,
    rules_account.poisoned_jobs_fail,
    rules_events.sequences_are_whole,
    rules_events.every_move_is_legal,
    rules_events.events_come_in_a_possible_order,
    rules_events.the_last_event_agrees_with_the_row,
    rules_events.events_never_change,
    rules_results.no_unit_is_accepted_twice,
    rules_results.completed_jobs_are_complete,
    rules_results.accepted_files_are_as_they_were,
    rules_results.results_come_from_completed_attempts,
    rules_results.the_right_checkpoint_rendered,
    rules_films.results_are_what_their_rows_say,
    rules_films.inputs_are_as_they_came,
    rules_films.nothing_half_done_is_left,
    rules_runs.failures_cost_one_retry,
    rules_runs.no_job_runs_more_than_twice_because_of_failures,
    rules_runs.a_node_runs_one_job_at_a_time,
    rules_cards.a_card_serves_one_job_at_a_time,
    rules_runs.a_webui_gets_one_request_at_a_time,
    rules_runs.every_post_was_announced,
    rules_runs.nothing_starts_after_the_end,
    rules_runs.the_first_comes_first,
    rules_runs.a_webui_is_never_doubled,
    rules_account.nothing_is_left_running,
)


def judge(evidence: Evidence) -> list[str]:
    """Every violation, one sentence each; empty when all promises held."""
    books = Books(evidence)
    return [sentence for rule in RULES for sentence in rule(books)]
