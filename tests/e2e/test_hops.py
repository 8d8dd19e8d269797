"""`python -m tests.hops` traces this checkout: whoever renames what it calls hears of it here."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.e2e.stack import ROOT
from tests.hops import PARTS, timed_in_turns
from tests.promises import PATIENCE_S

pytestmark = pytest.mark.stack


def test_both_ways_of_a_job_are_counted_from_its_run_to_the_post_and_on() -> None:
    command = [sys.executable, "-m", "tests.hops", "--json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S * 2, check=False
    )
    assert done.returncode == 0, done.stderr
    [ways] = json.loads(done.stdout).values()
    assert ways["failure"]["counts"]["hops"] > ways["record"]["counts"]["hops"] > 0
    for way in ways.values():
        [first, *_, last] = way["lists"]["stack of the POST"]
        assert first.startswith("jobs/")
        assert last.startswith("webui/")
        assert way["lists"]["from the start of its unit to the picture accepted"]


def test_jobs_are_timed_here_and_there_in_turns() -> None:
    here, there = timed_in_turns((ROOT, ROOT), 2)
    assert len(here) == len(there) == 2
    assert all(ms > 0 for job in (*here, *there) for part in PARTS for ms in job[part])


def test_fewer_than_two_pairs_or_nothing_to_compare_with_is_refused() -> None:
    command = [sys.executable, "-m", "tests.hops", "--times"]
    for words in (["1", "--against", str(ROOT)], ["0"], ["2"]):
        done = subprocess.run([*command, *words], cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 2
        assert "needs --against CHECKOUT" in done.stderr
