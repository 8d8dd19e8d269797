"""Logs of boots: the newest kept, their files bounded while a process goes on writing them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from pytest_django import Settings

from webui.processes import boot_logs, tail_capture

#: Appends numbered lines as fast as it can until the file of its argument is there, then dies with a last one.
WRITER = """
import os, sys
number, last = 0, False
while not last:
    last = os.path.exists(sys.argv[1])
    print(f"line {number}", flush=True)
    number += 1
sys.exit(f"RuntimeError: the last words after {number} lines")
"""


def test_logs_of_the_last_ten_boots_are_kept(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_LOG_DIR = tmp_path
    for number in range(1, 14):
        directory = boot_logs.boot_directory("gpu", number)
        directory.mkdir(parents=True)
        os.utime(directory, (number, number))
    (tmp_path / "gpu" / "notes").mkdir()
    boot_logs.boot_directory("other", 1).mkdir(parents=True)
    assert boot_logs.remove_old_boots("gpu") == 3
    left = {path.name for path in (tmp_path / "gpu").iterdir()}
    assert left == {"notes", *(f"boot-{number}" for number in range(4, 14))}
    assert boot_logs.boot_directory("other", 1).exists()


def test_logs_of_an_earlier_database_go_before_the_new_first_boot(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_LOG_DIR = tmp_path
    for number in range(90, 100):
        directory = boot_logs.boot_directory("gpu", number)
        directory.mkdir(parents=True)
        os.utime(directory, (number, number))
    boot_logs.boot_directory("gpu", 1).mkdir()
    boot_logs.remove_old_boots("gpu")
    assert boot_logs.boot_directory("gpu", 1).exists()
    assert not boot_logs.boot_directory("gpu", 90).exists()


def test_old_outputs_of_restart_commands_go_and_boots_stay(tmp_path: Path, settings: Settings) -> None:
    settings.STABLENEW_LOG_DIR = tmp_path
    boot_logs.boot_directory("gpu", 1).mkdir(parents=True)
    for number in range(1, 13):
        path = boot_logs.restart_log("gpu", number)
        path.write_text("done")
        os.utime(path, (number, number))
    assert boot_logs.remove_old_restart_logs("gpu") == 2
    assert not boot_logs.restart_log("gpu", 2).exists()
    assert boot_logs.restart_log("gpu", 3).exists()
    assert boot_logs.boot_directory("gpu", 1).exists()


def test_log_within_its_bound_is_not_touched(tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    log.write_bytes(b"x" * 1000)
    assert boot_logs.cap(tmp_path, max_bytes=1000) == 0
    assert log.stat().st_size == 1000


@pytest.mark.parametrize("offers_collapse", [True, False])
def test_log_that_is_too_long_loses_its_beginning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offers_collapse: bool
) -> None:
    if not offers_collapse:
        monkeypatch.setattr(boot_logs, "_collapse", lambda descriptor, cut_bytes: False)
    log = tmp_path / "stderr.log"
    content = b"".join(b"line %08d\n" % number for number in range(100_000))
    log.write_bytes(content)
    assert boot_logs.cap(tmp_path, max_bytes=400_000) == 1
    left = log.read_bytes()
    assert 200_000 <= len(left) <= 200_000 + 65_536
    assert content.endswith(left)


@pytest.mark.parametrize("offers_collapse", [True, False])
def test_log_of_a_process_that_goes_on_writing_stays_bounded_and_keeps_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offers_collapse: bool
) -> None:
    if not offers_collapse:
        monkeypatch.setattr(boot_logs, "_collapse", lambda descriptor, cut_bytes: False)
    paths = [tmp_path / "stdout.log", tmp_path / "stderr.log"]
    enough = tmp_path / "enough"
    cuts = 0
    with (
        open(paths[0], "ab") as out,
        open(paths[1], "ab") as err,
        subprocess.Popen([sys.executable, "-c", WRITER, str(enough)], stdout=out, stderr=err) as writer,
    ):
        ends_at = time.monotonic() + 60
        try:
            while cuts < 10 and time.monotonic() < ends_at:
                cuts += boot_logs.cap(tmp_path, max_bytes=200_000)
                time.sleep(0.005)
        finally:
            # From here no cut meets a write: where the file can only be rewritten, a line of that instant is lost.
            enough.touch()
            writer.wait(timeout=60)
        boot_logs.cap(tmp_path, max_bytes=200_000)
    assert cuts == 10
    assert paths[0].stat().st_size <= 200_000
    last = tail_capture.last_words(tmp_path)
    written = int(last.removeprefix("RuntimeError: the last words after ").removesuffix(" lines"))
    # A rewritten file may begin amid a line, and has that place further down if a line came in meanwhile.
    numbers = [int(number) for number in re.findall(r"^line (\d+)$", paths[0].read_text(), re.MULTILINE)]
    assert numbers[-1] == written - 1
    if offers_collapse:
        assert numbers == list(range(numbers[0], written)), "no line is lost between the cuts"
