"""The tree of our own errors, and what a stored failure says of them."""

from __future__ import annotations

import ast
import builtins
from pathlib import Path

import pytest

import jobs.cli  # noqa: F401 - two errors of the tree stand there
from jobs import errors
from jobs.errors import JobsError, RunError
from jobs.running.envelope import envelope_of, read_envelope
from webui.errors import RequestValidationError, WebUIError

ROOT = Path(__file__).parents[2]
#: Ends of a run that are no errors, and what only a fault of the program raises.
NO_ERRORS = {
    "UnitFailed",
    "CancelledRun",
    "DrainedRun",
    "LackingRun",
    "NodeLostRun",
    "KeptPictureChanged",
    "StorageRun",
    "WorkerLeaves",
    "ImmutableRowError",
    "NoSuchPartError",
}


def tree(root: type[JobsError] = JobsError) -> list[type[JobsError]]:
    """`root` and all of this app below it, in the order in which they are written."""
    own = (child for child in root.__subclasses__() if child.__module__.startswith("jobs."))
    return [root, *(kind for child in own for kind in tree(child))]


def test_tree_in_the_module_docstring_is_the_tree_in_the_code() -> None:
    assert errors.__doc__ is not None
    drawn = [line.split("─")[-1].split()[0] for line in errors.__doc__.splitlines() if "──" in line]
    assert sorted(drawn) == sorted(kind.__name__ for kind in tree()[1:])


def test_no_error_of_the_app_stands_outside_the_tree() -> None:
    foreign = {
        name
        for name, kind in vars(builtins).items()
        if isinstance(kind, type) and issubclass(kind, BaseException)
    }
    outside = {
        node.name
        for path in (ROOT / "jobs").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
        and foreign & {base.id for base in node.bases if isinstance(base, ast.Name)}
    }
    assert outside == NO_ERRORS | {"JobsError"}


@pytest.mark.parametrize("kind", tree(), ids=lambda kind: kind.__name__)
def test_every_error_has_a_code_and_a_sentence_of_its_own(kind: type[JobsError]) -> None:
    assert kind.code
    assert kind.__doc__
    assert sum(other.sentence() == kind.sentence() for other in tree()) == 1


@pytest.mark.parametrize("kind", RunError.__subclasses__(), ids=lambda kind: kind.__name__)
def test_failed_job_says_what_happened_and_apart_from_it_what_to_do(kind: type[RunError]) -> None:
    assert sum(other.code == kind.code for other in tree()) == 1
    said = envelope_of(kind("It broke.", path="x"), job_id=1)
    assert (said.code, said.message, said.remediation) == (kind.code, "It broke.", kind.remediation)
    assert said.remediation
    assert (said.subsystem, said.context) == (kind.subsystem, {"path": "x"})
    assert said.cause_chain == (f"{kind.__name__}: It broke.",)
    assert envelope_of(kind(), job_id=1).message == kind.sentence()
    assert str(kind("It broke.")) == f"It broke. {kind.remediation}"


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (
            OSError(28, "No space left on device", "a.png"),
            "OUTPUT_NOT_WRITTEN",
            "[Errno 28] No space left on device: 'a.png'",
        ),
        (KeyError(), "INTERNAL_ERROR", "KeyError"),
        (ZeroDivisionError("by zero"), "INTERNAL_ERROR", "by zero"),
    ],
)
def test_error_that_nobody_foresaw_gets_a_code_and_a_remedy(
    error: Exception, code: str, message: str
) -> None:
    said = envelope_of(error, job_id=1)
    assert (said.code, said.message, said.error_type) == (code, message, type(error).__name__)
    assert said.remediation


def test_message_of_the_webui_s_error_does_not_repeat_the_remedy() -> None:
    said = envelope_of(RequestValidationError("steps: too many", stage="txt2img", status=422), job_id=1)
    assert said.message == (
        "The WebUI found a field of the request wrong (stage txt2img, HTTP 422): steps: too many."
    )
    assert said.remediation == RequestValidationError.remediation
    assert said.subsystem == WebUIError.subsystem == "webui"


def test_older_envelope_with_the_remedy_in_its_message_reads_like_one_of_today() -> None:
    today = envelope_of(RequestValidationError("steps: too many"), job_id=1).as_json()
    older = {**today, "message": f"{today['message']} {today['remediation']}"}
    assert read_envelope(older) == read_envelope(today) == today
    assert read_envelope({"message": "It broke."}) == {"message": "It broke."}
    assert read_envelope(None) == {}


@pytest.mark.parametrize("kind", RunError.__subclasses__(), ids=lambda kind: kind.__name__)
@pytest.mark.parametrize("words", ["[Errno 28] No space left on device", "It broke.", "Why?"])
def test_what_to_do_is_a_sentence_of_its_own_however_the_words_before_it_end(
    kind: type[RunError], words: str
) -> None:
    told = str(kind(words))
    assert told == f"{words.rstrip('.')}{'' if words.endswith('?') else '.'} {kind.remediation}"
