"""The simulated worker as a process: its command line, journal, switchboard, parent and ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import requests

from tests.contract.simulated_worker import LISTENS, TOKEN, SimulatedWorkerProcess
from tests.contract.simulator_process import ROOT, journal_lines, wait_until
from tests.contract.worker_client import RunningWorker, sha256_of
from tests.free_ports import free_port

SIMULATOR = [sys.executable, "-m", "webui.simulator"]


def run(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SIMULATOR, *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )


# --- command line ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--kind", "music"], "argument --kind: invalid choice: 'music'"),
        (["--kind", "i2v", "--fault", "fire@1"], "there is no fault 'fire'; there are refused, busy, "),
        (["--kind", "edit", "--fault", "frozen@1"], "there is no fault 'frozen'"),
        (["--kind", "edit", "--fault", "die=3@1"], "the fault die takes no seconds"),
        (["--kind", "edit", "--fault", "no-boot~cat"], "strikes starts, which have no words"),
        (["--kind", "i2v", "--port", "70000"], "'70000' is not a port"),
        (["--kind", "i2v", "--checkpoint", "x"], "unrecognized arguments: --checkpoint x"),
    ],
)
def test_wrong_arguments_are_refused_with_a_sentence(words: list[str], sentence: str) -> None:
    ended = run(*words)
    assert ended.returncode == 2
    assert sentence in ended.stderr


def test_help_of_either_names_the_other_and_its_faults() -> None:
    webui, worker = run("--help").stdout, run("--kind", "i2v", "--help").stdout
    assert "--kind i2v" in webui
    assert "--checkpoint" in webui
    assert "STABLENEW_WORKER_TOKEN" in worker
    for name in ("die-decode", "wrong-frames", "failed-load"):
        assert f"\n  {name} " in worker


def test_taken_port_ends_the_start(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v") as process:
        port = process.worker.base_url.rpartition(":")[2]
        second = run("--kind", "edit", "--port", port)
        assert second.returncode == 1
        assert f"cannot listen on 127.0.0.1:{port}" in second.stderr
        assert process.worker.call("GET", "/health").status_code == 200


def test_worker_without_a_token_asks_for_none(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "STABLENEW_WORKER_TOKEN"}
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*SIMULATOR, "--kind", "edit", "--port", str(free_port())],
            cwd=ROOT,
            env=environment,
            stdout=output,
        )
    try:
        wait_until(lambda: LISTENS.search(log.read_text()))
        found = LISTENS.search(log.read_text())
        assert found
        health = RunningWorker(found[1], "", "edit").wait_until_ready()
        assert health["simulated"] is True
        assert health["pid"] == process.pid
    finally:
        process.kill()
        process.wait()


def test_model_is_the_one_that_the_command_line_names(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "edit", "--name", "qwen-ours") as process:
        worker = process.worker
        assert worker.wait_until_ready()["model"] == "qwen-ours"
        for asked in ("", "qwen-ours"):
            assert worker.done(worker.body(model=asked))[0]["result"]["used"]["model"] == "qwen-ours"
        error = worker.post(worker.body(model="another")).json()["error"]
        assert [field["field"] for field in error["fields"]] == ["model"]
    with SimulatedWorkerProcess(tmp_path, "edit", "--any-name") as process:
        worker = process.worker
        assert worker.done(worker.body(model="another"))[0]["result"]["used"]["model"] == "another"


# --- ends -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "how", "code"), [(signal.SIGTERM, "SIGTERM", -15), (signal.SIGINT, "SIGINT", 0)]
)
def test_signal_ends_it_at_once_and_is_told(
    tmp_path: Path, sent: signal.Signals, how: str, code: int
) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v", "--fault", "hang@1") as process:
        worker = process.worker
        worker.post(worker.body())
        wait_until(lambda: process.told("answer"))
        process.process.send_signal(sent)
        assert process.process.wait(timeout=120) == code
        assert [(line["how"], line["code"]) for line in process.told("end")] == [(how, code)]


def test_worker_ends_with_the_process_that_started_it(tmp_path: Path) -> None:
    journal, log = tmp_path / "journal", tmp_path / "log"
    parent = (
        "import subprocess, sys, time\n"
        "with open(sys.argv[1], 'wb') as log:\n"
        "    subprocess.Popen(sys.argv[2:], stdout=log, start_new_session=True)\n"
        "time.sleep(600)\n"
    )
    words = [*SIMULATOR, "--kind", "i2v", "--port", str(free_port()), "--journal", str(journal)]
    process = subprocess.Popen([sys.executable, "-c", parent, str(log), *words], cwd=ROOT)
    try:
        wait_until(lambda: journal.exists() and journal_lines(journal, "ready"))
        worker = psutil.Process(journal_lines(journal, "ready")[0]["pid"])
    finally:
        process.kill()
        process.wait()
    try:
        wait_until(lambda: journal_lines(journal, "end"))
        assert [(line["how"], line["code"]) for line in journal_lines(journal, "end")] == [("parent-gone", 0)]
    finally:
        with suppress(psutil.NoSuchProcess):
            worker.kill()


# --- journal --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_journal_tells_the_whole_way_of_a_job(tmp_path: Path, kind: str) -> None:
    with SimulatedWorkerProcess(tmp_path, kind) as process:
        body = process.worker.body()
        process.worker.done(body)
        lines = [line for line in process.told() if line["event"] != "request"]
    words = [(line["event"], line.get("phase")) for line in lines]
    phases = [("phase", phase) for phase in ("prepare", "encode", "denoise", "decode", "save")]
    assert words == [
        ("start", None),
        ("ready", None),
        ("post", None),
        ("begin", None),
        *phases,
        ("answer", None),
    ]
    start, post, answer = lines[0], lines[2], lines[-1]
    assert start["kind"] == kind
    assert (post["n"], post["path"], post["task_id"]) == (1, "/jobs", body["id"])
    assert post["prompt_sha256"] == sha256_of(body["prompt"].encode())
    assert (answer["n"], answer["status"], answer["outcome"], answer["images"]) == (1, 200, "answered", 1)
    assert {line["task_id"] for line in lines[3:-1]} == {body["id"]}
    assert "a cat" not in process.journal_path.read_text()


def test_cancelled_job_is_told_and_what_is_refused_counts_for_nothing(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "edit", "--seconds-per-step", "0.5") as process:
        worker = process.worker
        assert worker.post(worker.body(steps=0)).status_code == 422
        first, second = worker.body(steps=100), worker.body(steps=1)
        worker.post(first)
        assert worker.post(second).json()["error"]["code"] == "busy"
        worker.cancel(first["id"])
        assert worker.ended(first["id"])["state"] == "cancelled"
        worker.done(second)
        posts = [(line["n"], line["task_id"]) for line in process.told("post")]
        assert posts == [(1, first["id"]), (2, second["id"])]
        assert [line["n"] for line in process.told("cancel")] == [1]
        assert [line["outcome"] for line in process.told("answer")] == ["cancelled", "answered"]


def test_journal_proves_that_no_two_jobs_overlap(tmp_path: Path) -> None:
    with SimulatedWorkerProcess(tmp_path, "i2v") as process:
        for _ in range(5):
            process.worker.done(process.worker.body())
        lines = [line for line in process.told() if line["event"] in ("begin", "answer")]
    assert [(line["event"], line["n"]) for line in lines] == [
        (event, number) for number in range(1, 6) for event in ("begin", "answer")
    ]
    assert [line["time"] for line in lines] == sorted(line["time"] for line in lines)


# --- switchboard ----------------------------------------------------------------------------------------


def put(path: Path, *rules: str) -> None:
    beside = path.with_suffix(".new")
    beside.write_text("\n".join(rules) + "\n")
    os.replace(beside, path)


def test_file_of_faults_steers_the_next_job_and_the_next_start(tmp_path: Path) -> None:
    path = tmp_path / "faults"
    words = ("--fault-file", str(path))
    with SimulatedWorkerProcess(tmp_path, "edit", *words) as process:
        worker = process.worker
        assert worker.done(worker.body())[0]["state"] == "done"
        put(path, "nonsense", "refused~wolf")
        answers = [worker.post(worker.body(prompt="a wolf")), worker.post(worker.body())]
        assert [answer.status_code for answer in answers] == [422, 202]
        assert "skipped a line of" in process.log
        put(path, "no-boot@2")
    process = SimulatedWorkerProcess(tmp_path, "edit", *words)
    try:
        assert process.process.wait(timeout=120) == 1
    finally:
        process.end()
    with SimulatedWorkerProcess(tmp_path, "edit", *words) as process:
        assert process.worker.done(process.worker.body())[0]["state"] == "done"


def test_rule_with_once_survives_a_restart(tmp_path: Path) -> None:
    words = ("--fault", "once die-encode@*")
    with SimulatedWorkerProcess(tmp_path, "i2v", *words) as process:
        body = process.worker.body()
        # It may be dead before its answer is sent.
        with suppress(requests.ConnectionError):
            process.worker.post(body)
        assert process.process.wait(timeout=120) == 1
    with SimulatedWorkerProcess(tmp_path, "i2v", *words) as process:
        worker = process.worker
        error = worker.post(body).json()["error"]
        assert error["code"] == "missing_input", "a new process has no pictures"
        worker.body()
        assert worker.done(body)[0]["state"] == "done"
        assert [line["task_id"] for line in process.told("post")] == [body["id"]] * 2
        assert [(line["boot"], line["kind"]) for line in process.told("fault")] == [(1, "die-encode")]


def test_simulators_with_the_same_options_keep_files_of_their_own(tmp_path: Path) -> None:
    port = free_port()
    words = [*SIMULATOR, "--kind", "i2v", "--port", str(port), "--journal", str(tmp_path / "journal-{port}")]
    process = subprocess.Popen(
        words, cwd=ROOT, env={**os.environ, "STABLENEW_WORKER_TOKEN": TOKEN}, stdout=subprocess.DEVNULL
    )
    try:
        path = tmp_path / f"journal-{port}"
        wait_until(lambda: path.exists() and journal_lines(path, "ready"))
        assert journal_lines(path, "ready")[0]["port"] == port
    finally:
        process.kill()
        process.wait()
