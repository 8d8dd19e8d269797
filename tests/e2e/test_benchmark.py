"""The benchmark measures what it says, on small numbers, and leaves nothing behind."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from tests.benchmark.command import PARTS
from tests.benchmark.measures import compare, recovering
from tests.benchmark.page_list import POLL
from tests.benchmark.seed_cache import keep, prepare
from tests.e2e.stack import Stack

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def test_benchmark_measures_all_parts_without_touching_the_database_at_hand(stack: Stack) -> None:
    stack.env["TMPDIR"] = str(stack.folder)
    small = shlex.split("--records 40 --jobs 4 --queued 300 --finished 50 --crashes 2 --requests 1 --acts 20")
    parts = [word for part in PARTS if part != "demo" for word in ("--only", part)]
    document = stack.program("tests.benchmark", *small, *parts, timeout_s=500)
    assert document["processor"]["records"] == document["submit"]["records"] == 40
    assert all(
        document["processor"][f"{what}_s"] > 0
        for what in ("one_stage", "four_stages", "huge_matrix", "redact")
    )
    assert document["submit"]["ratio"] == pytest.approx(
        document["submit"]["submit_s"] / document["submit"]["bare_bulk_create_s"]
    )
    # Four steps of 75 ms, whoever asks for them.
    assert document["overhead"]["bare_post_p50_ms"] >= 290
    assert document["overhead"]["job_p50_ms"] >= 290
    assert 0 < document["claim"]["p50_ms"] <= document["claim"]["p95_ms"]
    assert document["recovery"]["crashes"] == 2
    assert document["recovery"]["boot_p50_s"] >= 0.5
    assert len(document["pages"]["pages"]) > 50
    assert all(page["p95_ms"] >= page["p50_ms"] > 0 for page in document["pages"]["pages"])
    poll = next(page for page in document["pages"]["pages"] if page["page"] == POLL)
    assert poll["own_queries"] == 1
    assert document["bulk"]["ledger_holds"]
    assert [act["act"] for act in document["bulk"]["acts"] if not act["done"]] == []
    measured = [document[part] for part in PARTS if part != "demo"]
    assert all(part["calibration"][name] > 0 for part in measured for name in ("squares_s", "fsync_ms"))
    assert document["claim"]["bare_transaction_ms"] > 0
    assert document["bulk"]["bare_transaction_ms"] > 0
    assert stack.status()["ledger"]["submitted"] == 0
    assert not list(stack.folder.glob("stablenew-benchmark-*"))


def test_benchmark_takes_the_time_of_the_demo_which_touches_no_installation(stack: Stack) -> None:
    assert stack.program("tests.benchmark", "--only", "demo", timeout_s=500)["demo"]["seconds"] > 0
    assert stack.status()["ledger"]["submitted"] == 0


def test_benchmark_here_refuses_a_database_that_holds_jobs(stack: Stack) -> None:
    stack.manage("submit_pack", stack.pack_file("one", "a castle\n"))
    document = stack.program("tests.benchmark", "--here", "submit", expect=1)
    assert "holds jobs" in document["errors"][0]["message"]


OLDER = """
import json, sys
if "--help" in sys.argv:
    print("--only {submit,overhead}")
else:
    with open("asked", "a") as asked:
        print(*sys.argv[1:], file=asked)
    print(json.dumps({"machine": {"cpus": 2}, "submit": {"records": 5, "rounds": 3, "submit_s": 2.0}}))
"""


def test_two_checkouts_are_measured_in_turns(stack: Stack, tmp_path: Path) -> None:
    """The other one stands for a checkout whose benchmark is a command still, and has fewer parts."""
    older = tmp_path / "older"
    for place in (".venv/bin", "stablenew_site/management/commands"):
        (older / place).mkdir(parents=True)
    python = older / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} "$@"\n')
    python.chmod(0o755)
    (older / "stablenew_site/management/commands/benchmark.py").touch()
    (older / "manage.py").write_text(OLDER)
    asked = shlex.split("--rounds 2 --only submit --only claim --records 5 --requests 7")
    document = stack.program("tests.benchmark", "--against", older, *asked)
    found = {number["name"]: number for number in document["numbers"]}
    submit = found["submit submit_s"]
    assert submit["other"] == 2.0
    assert submit["ratio"] == pytest.approx(submit["this"] / 2)
    assert found["submit calibration squares_s"]["other"] is None
    assert not [name for name in found if name.startswith("claim") or name.endswith("records")]
    said = (older / "asked").read_text().splitlines()
    assert len(said) == document["rounds"] == 2
    assert said[0].startswith("benchmark --json --only=submit --records=5")
    assert "--rounds=7" in said[0]


def test_a_folder_that_is_no_checkout_with_an_environment_is_refused(stack: Stack, tmp_path: Path) -> None:
    document = stack.program("tests.benchmark", "--against", tmp_path, expect=1)
    assert "has no .venv/bin/python" in document["errors"][0]["message"]
    stack.program("tests.benchmark", "--rounds", 2, expect=2)


def test_our_time_is_each_job_minus_its_own_request() -> None:
    jobs = [0.0, 1.1, 2.3, 3.4]
    bare = [10.0, 11.0, 12.0, 13.0]
    found = compare([*jobs, *bare], 4)
    assert found["ours_p50_ms"] == pytest.approx(100)
    assert found["ours_p95_ms"] == pytest.approx(200)


def test_recovery_is_timed_from_the_death_to_the_retry_without_boot_and_settling() -> None:
    def line(second: float, event: str, **facts: object) -> dict[str, object]:
        return {"time": f"2026-01-01T00:00:{second:06.3f}+00:00", "event": event, **facts}

    journal = [
        line(1, "post"),
        line(2, "answer", outcome="died"),
        line(2.9, "start", age_s=0.4),
        line(4.5, "ready"),
        line(6, "post"),
        line(7, "answer", outcome="answered"),
        line(8, "post"),
    ]
    found = recovering(journal, settle_s=1.0)
    assert found["crashes"] == 1
    assert found["to_retry_p95_s"] == pytest.approx(4.0)
    assert found["boot_p50_s"] == pytest.approx(2.0)
    assert found["ours_p95_s"] == pytest.approx(1.0)


def test_a_kept_database_is_used_again_only_if_it_is_whole_and_what_is_asked_for(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    prepare(folder, 5, 10)
    database = folder / "stablenew.sqlite3"
    database.write_text("half")
    prepare(folder, 5, 10)
    assert not database.exists(), "an interrupted run left it"
    database.write_text("whole")
    keep(folder, 5, 10)
    prepare(folder, 5, 10)
    assert database.read_text() == "whole"
    prepare(folder, 5, 11)
    assert not database.exists()


def test_a_folder_with_something_else_is_not_emptied(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="something else"):
        prepare(tmp_path, 5, 10)
    assert (tmp_path / "mine.txt").exists()
