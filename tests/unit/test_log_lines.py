"""Log lines as JSON: one object a line, the same fields in all, and nothing that breaks a line."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from stablenew_site import environment
from stablenew_site.log_lines import FIELDS, JsonLines
from webui.log_fields import know, knowing, known_fields


def line(message: str = "Job %s is done.", *arguments: object, **given: Any) -> dict[str, Any]:
    record = logging.LogRecord(
        "jobs.running", logging.INFO, "x.py", 1, message, arguments, given.pop("exc", None)
    )
    vars(record).update(given)
    text = JsonLines().format(record)
    assert "\n" not in text
    found: dict[str, Any] = json.loads(text)
    return found


def test_every_line_has_the_same_fields_and_what_was_given_besides() -> None:
    found = line("Job %s is done.", 7, job_id=7, event="job.completed", code="X")
    assert {name: found[name] for name in FIELDS} == {
        "event": "job.completed",
        "job": 7,
        "stage": None,
        "attempt": None,
        "node": None,
    }
    assert (found["message"], found["level"], found["logger"], found["code"]) == (
        "Job 7 is done.",
        "INFO",
        "jobs.running",
        "X",
    )
    assert found["at"].endswith("+00:00")
    assert "job_id" not in found


def test_what_a_process_knows_stands_in_all_its_lines_and_a_call_knows_better() -> None:
    with knowing(node="gpu", job=3):
        assert (line()["node"], line()["job"], line(job_id=4)["job"]) == ("gpu", 3, 4)
        with knowing(job=5):
            know(node="other")
            assert (line()["node"], line()["job"]) == ("other", 5)
        assert known_fields() == {"node": "gpu", "job": 3}
    assert known_fields() == {}


def test_odd_values_and_tracebacks_stay_one_line() -> None:
    try:
        raise ValueError("a\nb")
    except ValueError:
        found = line("two\nlines \ud800 %s", "x", path=Path("/a"), odd={1, 2}, exc=sys.exc_info())
    assert found["message"].startswith("two\nlines")
    assert "ValueError: a\nb" in found["exception"]
    assert found["path"] == "/a"


@pytest.mark.parametrize(("given", "expected"), [({}, "plain"), ({"STABLENEW_LOG_FORMAT": "json"}, "json")])
def test_the_setting_chooses_the_format_of_a_process(given: dict[str, str], expected: str) -> None:
    code = (
        "import django; django.setup(); import logging;"
        "logging.getLogger('jobs').warning('hello', extra={'event': 'greeting', 'node': 'gpu'})"
    )
    env = {**os.environ, "DJANGO_SETTINGS_MODULE": "stablenew_site.settings", **given}
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    if expected == "json":
        assert json.loads(done.stderr)["event"] == "greeting"
    else:
        assert done.stderr.endswith("WARNING jobs: hello\n")


def test_another_format_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STABLENEW_LOG_FORMAT", "xml")
    with pytest.raises(ImproperlyConfigured, match="STABLENEW_LOG_FORMAT='xml' is none of plain, json"):
        environment.choice("STABLENEW_LOG_FORMAT", "plain", ("plain", "json"))
