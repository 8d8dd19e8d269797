"""Entry points of django-q2: a task is only a wake-up; it carries no job and returns nothing."""

from __future__ import annotations

from jobs.running.run import run_one


def run_next(runner_id: int) -> None:
    run_one(runner_id)
