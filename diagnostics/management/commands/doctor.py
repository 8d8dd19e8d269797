"""`manage.py doctor`: what is wrong with this installation, and what to do."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from diagnostics.health import checks
from jobs.cli import EXIT_REFUSED, AnsweringCommand, CommandAnswer


class Command(AnsweringCommand):
    help = (
        "Look at database, settings, disk, runners, nodes and their servers; say what is wrong and what "
        "to do. Changes nothing. Exit code 1 when something is wrong."
    )
    # Wrong settings are one of its findings, not a reason to stop.
    requires_system_checks = ()

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        found = checks()
        wrong = [check for check in found if not check.ok]
        answer = CommandAnswer(
            {"ok": not wrong, "checks": [asdict(check) for check in found]},
            exit_code=EXIT_REFUSED if wrong else 0,
        )
        for check in found:
            answer.line(f"{'ok   ' if check.ok else 'WRONG'}  {check.name}: {check.message}")
            if check.remedy:
                answer.line(f"       {check.remedy}")
        answer.line(
            f"{len(wrong)} of {len(found)} checks found something wrong." if wrong else "All is well."
        )
        return answer
