"""The last lines of a boot's output: bounded, and never an exception."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from webui.models import Node
from webui.processes import tail_capture


def test_tail_is_the_last_lines(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_text("".join(f"line {number}\n" for number in range(1000)))
    assert tail_capture.tail_of(log, 3) == "line 997\nline 998\nline 999"


def test_file_of_any_size_is_read_only_near_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail_capture, "BYTES_PER_LINE", 10)
    log = tmp_path / "log"
    log.write_text("x" * 1_000_000)
    assert len(tail_capture.tail_of(log, 2)) == 20


def test_bytes_that_are_no_text_are_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"before \xff\x00 after\n")
    assert tail_capture.tail_of(log) == "before �\x00 after"


def test_missing_file_is_empty_and_an_unreadable_one_says_so(tmp_path: Path) -> None:
    assert tail_capture.tail_of(tmp_path / "missing") == ""
    assert "cannot be read" in tail_capture.tail_of(tmp_path)


def test_placeholder_stands_where_nothing_was_captured(tmp_path: Path) -> None:
    assert tail_capture.tails_of([tmp_path / "missing"]) == "(no output was captured)"


def test_last_words_prefer_the_error_output(tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_text("all is well\n")
    assert tail_capture.last_words(tmp_path) == "all is well"
    (tmp_path / "stderr.log").write_text("Traceback\nOSError: no space\n\n")
    assert tail_capture.last_words(tmp_path) == "OSError: no space"


def test_tail_of_a_node_has_both_streams(tmp_path: Path) -> None:
    (tmp_path / "stdout.log").write_text("out\n")
    node = Node(name="n", log_directory=str(tmp_path))
    assert tail_capture.get_tail_logs(node) == {"stdout": "out", "stderr": ""}
    assert tail_capture.get_tail_logs(Node(name="attached")) == {"stdout": "", "stderr": ""}


def test_progress_bar_is_one_line_as_a_person_saw_it(tmp_path: Path) -> None:
    log = tmp_path / "log"
    bar = "".join(f"\r{percent}%|####" for percent in range(0, 101, 5))
    log.write_text(f"Loading weights\n{bar}\r\nOutOfMemoryError\r\n50%|##\rTraceback")
    assert tail_capture.tail_of(log).split("\n") == [
        "Loading weights",
        "100%|####",
        "OutOfMemoryError",
        "Traceback",
    ]


# --- capture_tail ---------------------------------------------------------------------------------------

TALKER = (
    "import sys, time; print('to output', flush=True); print('to errors', file=sys.stderr); time.sleep(60)"
)


@pytest.fixture
def talker(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    with (
        open(tmp_path / "stdout.log", "ab") as out,
        open(tmp_path / "stderr.log", "ab") as err,
        subprocess.Popen([sys.executable, "-c", TALKER], stdout=out, stderr=err) as process,
    ):
        deadline = time.monotonic() + 120
        while not (tmp_path / "stderr.log").read_bytes().endswith(b"\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield process
        process.kill()


SEEN = "==> stdout.log <==\nto output\n==> stderr.log <==\nto errors"


def test_output_of_a_process_is_found_by_its_pid(talker: subprocess.Popen[bytes]) -> None:
    assert tail_capture.capture_tail(talker.pid) == SEEN
    assert tail_capture.capture_tail(talker) == SEEN
    assert tail_capture.capture_tail(psutil.Process(talker.pid)) == SEEN


def test_given_files_are_read_instead_of_those_of_the_process(
    talker: subprocess.Popen[bytes], tmp_path: Path
) -> None:
    (tmp_path / "other.log").write_text("one\ntwo\n")
    captured = tail_capture.capture_tail(talker, [str(tmp_path / "other.log")], 1)
    assert captured == "==> other.log <==\ntwo"


def test_output_and_errors_in_one_file_are_shown_once(tmp_path: Path) -> None:
    with (
        open(tmp_path / "log", "ab") as log,
        subprocess.Popen([sys.executable, "-c", TALKER], stdout=log, stderr=log) as process,
    ):
        deadline = time.monotonic() + 120
        while not (tmp_path / "log").read_bytes().endswith(b"errors\n"):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        tail = tail_capture.capture_tail(process.pid)
        assert tail == "==> log <==\nto output\nto errors"
        process.kill()


def test_dead_process_leaves_a_placeholder() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert tail_capture.capture_tail(process) == tail_capture.NOTHING


@pytest.mark.parametrize(
    ("process_or_pid", "paths", "max_lines"),
    [
        (None, (), 200),
        (-1, (), 200),
        (2**70, (), 200),
        ("no pid", (), 200),
        (object(), (), 200),
        (None, ["/nowhere/log"], 200),
        (None, ["\0"], 200),
        (None, ["x" * 5000], 200),
        (None, [None], 200),
        (None, 7, 200),
        (None, ["/"], 0),
        (None, ["/"], -1),
        (None, ["/"], None),
    ],
)
def test_capture_never_raises_and_always_returns_something(
    process_or_pid: object, paths: Any, max_lines: Any
) -> None:
    captured = tail_capture.capture_tail(process_or_pid, paths, max_lines)
    assert captured.startswith(("(", "==> "))
    assert "\n" not in captured.removeprefix("==> ").partition("<==\n")[2]


def test_unreadable_file_says_so_beside_the_readable_one(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_text("the last words\n")
    (tmp_path / "stdout.log").mkdir()
    captured = tail_capture.capture_tail(None, [tmp_path / "stdout.log", tmp_path / "stderr.log"])
    assert "cannot be read" in captured
    assert captured.endswith("==> stderr.log <==\nthe last words")
