"""The last lines of a boot's output: bounded, and never an exception."""

from __future__ import annotations

from pathlib import Path

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


@pytest.mark.parametrize(
    ("path", "max_lines", "tail"),
    [
        ("\0", 200, "(the log "),
        ("x" * 5000, 200, "(the log "),
        ("/", 200, "(the log "),
        ("/", 0, ""),
        ("/", -1, ""),
    ],
)
def test_tail_never_raises(path: str, max_lines: int, tail: str) -> None:
    captured = tail_capture.tail_of(Path(path), max_lines)
    assert captured.startswith(tail)
    assert bool(captured) is bool(tail)


def test_unreadable_file_says_so_beside_the_readable_one(tmp_path: Path) -> None:
    (tmp_path / "stderr.log").write_text("the last words\n")
    (tmp_path / "stdout.log").mkdir()
    captured = tail_capture.get_tail_logs(Node(log_directory=str(tmp_path)))
    assert "cannot be read" in captured["stdout"]
    assert captured["stderr"] == "the last words"
