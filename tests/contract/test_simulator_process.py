"""The simulator as a process: boot, fragile start, ports, signals, queue, faults, journal."""

import os
import signal
import socket
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest
import requests

from tests.contract.simulator_process import ROOT, STARTS, SimulatorProcess, journal_lines, wait_until
from tests.free_ports import free_port

EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "webui.simulator", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)


# --- start --------------------------------------------------------------------------------------------


def test_start_is_logged_as_the_real_server_logs_it(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--checkpoint", "tinyA") as simulator:
        wait_until(lambda: "Model loaded in" in simulator.log)
        assert simulator.log.startswith("Launching Web UI with arguments: ")
        assert f"Running on local URL:  http://127.0.0.1:{simulator.port}\n" in simulator.log
        assert "\nStartup time: " in simulator.log
        assert simulator.get("progress")["state"]["job_count"] == 0


def test_port_stays_closed_while_booting(tmp_path: Path) -> None:
    port = free_port()
    started_at = time.monotonic()
    simulator = SimulatorProcess(tmp_path, "--boot-seconds", "2", port=port)
    try:
        wait_until(lambda: "Launching" in simulator.log)
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port))
        with simulator:
            assert time.monotonic() - started_at >= 2
            assert simulator.get("progress")["progress"] == 0.0
    finally:
        simulator.process.kill()


def test_taken_port_ends_the_start_in_the_real_servers_words(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as simulator:
        second = _run("--port", str(simulator.port))
        assert second.returncode == 1
        assert (
            f"OSError: Cannot find empty port in range: {simulator.port}-{simulator.port}." in second.stderr
        )
        assert simulator.get("progress")["progress"] == 0.0


def test_http_right_after_the_port_opens_kills_a_fragile_start(tmp_path: Path) -> None:
    for _ in range(STARTS):
        with SimulatorProcess(tmp_path, "--fragile-start") as simulator:
            answer = requests.get(f"{simulator.url}/sdapi/v1/progress", timeout=120)
            if answer.ok:
                continue  # a busy machine let us come too late
            assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})
            assert simulator.process.wait(timeout=120) == 1
            assert "RuntimeError: Cannot add middleware after an application has started" in simulator.log
            assert "Startup time" not in simulator.log
            return
    pytest.fail("no request came right after the port opened")


def test_bare_connects_do_no_harm_to_a_fragile_start(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--fragile-start") as simulator:
        for _ in range(5):
            socket.create_connection(("127.0.0.1", simulator.port)).close()
        time.sleep(1.0)
        assert simulator.get("progress")["state"]["job_count"] == 0
        assert simulator.process.poll() is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--fault", "fire@1"], "there is no fault 'fire'; there are 500, 500-echo, "),
        (["--fault", "500"], "'500' is not a fault; write KIND@N, KIND@N-M, KIND@* or KIND~WORD"),
        (["--port", "99999"], "'99999' is not a port"),
        (["--seconds-per-step", "-1"], "'-1' is not a time"),
        (["--seconds-per-step", "nan"], "'nan' is not a time"),
        (["--api-auth", "alice"], "write it as user:password"),
        (["--checkpoint", " "], "a name cannot be empty"),
    ],
)
def test_wrong_arguments_end_with_code_2_and_a_sentence(arguments: list[str], sentence: str) -> None:
    ended = _run(*arguments)
    assert ended.returncode == 2
    assert sentence in ended.stderr


def test_unwritable_journal_is_told_before_anything_starts(tmp_path: Path) -> None:
    ended = _run("--port", "0", "--journal", str(tmp_path / "no" / "journal"))
    assert ended.returncode == 1
    assert "cannot write the journal" in ended.stderr


def test_help_explains_every_kind_of_fault() -> None:
    ended = _run("--help")
    assert ended.returncode == 0
    for words in ("AUTOMATIC1111", "--fragile-start", "  die ", "  hang ", "  no-boot ", "once", "example: "):
        assert words in ended.stdout


# --- end ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "code"), [(signal.SIGTERM, -15), (signal.SIGINT, 0)])
def test_signals_end_the_process_in_the_middle_of_a_job(
    tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.5") as simulator:
        waiting = [simulator.in_background(steps=50) for _ in range(3)]
        simulator.wait_for_step(1)
        simulator.process.send_signal(sent)
        assert simulator.process.wait(timeout=120) == code
        for pending in waiting:
            assert "RemoteDisconnected" in str(pending.failure())


def test_server_kill_ends_without_an_answer(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--api-server-stop") as simulator:
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            simulator.post("server-kill")
        assert simulator.process.wait(timeout=120) == 0


def test_server_restart_ends_only_where_somebody_starts_it_again(tmp_path: Path) -> None:
    wrapped = {**os.environ, "SD_WEBUI_RESTART": "1"}
    with SimulatorProcess(tmp_path, "--api-server-stop", environment=wrapped) as simulator:
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            simulator.post("server-restart")
        assert simulator.process.wait(timeout=120) == 0


def test_server_stop_finishes_what_is_queued(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--api-server-stop", "--seconds-per-step", "0.1") as simulator:
        waiting = [simulator.in_background(steps=20) for _ in range(3)]
        simulator.wait_for_step(1)
        assert simulator.post("server-stop").text == "Stopping."
        wait_until(lambda: _refuses(simulator.port))
        assert simulator.process.poll() is None
        assert [pending.answer().status_code for pending in waiting] == [200, 200, 200]
        assert simulator.process.wait(timeout=120) == 0


def _refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port)).close()
    except ConnectionRefusedError:
        return True
    return False


def test_stopping_over_http_must_be_allowed(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as simulator:
        assert [simulator.post(f"server-{verb}").status_code for verb in ("stop", "kill", "restart")] == [
            404
        ] * 3


# --- queue --------------------------------------------------------------------------------------------


def test_jobs_run_one_at_a_time_in_the_order_of_arrival(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.03", "--journal", str(journal)) as simulator:
        waiting = []
        for number in range(8):
            waiting.append(simulator.in_background(seed=number, steps=5, force_task_id=f"task-{number}"))
            wait_until(partial(_has_posts, journal, number + 1))
        for pending in waiting:
            assert pending.answer().status_code == 200
    assert [line["n"] for line in journal_lines(journal, "answer")] == list(range(1, 9))
    assert [line["task_id"] for line in journal_lines(journal, "post")] == [f"task-{n}" for n in range(8)]


def _has_posts(journal: Path, count: int) -> bool:
    return len(journal_lines(journal, "post")) >= count


def test_task_id_is_queued_then_active_then_completed(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.05") as simulator:
        first = simulator.in_background(steps=20, force_task_id="first")
        wait_until(lambda: simulator.task("first")["active"])
        second = simulator.in_background(force_task_id="second")
        wait_until(lambda: simulator.task("second")["queued"])
        assert simulator.task("second")["textinfo"] == "In queue: 1/1"
        assert requests.get(f"{simulator.url}/internal/pending-tasks", timeout=120).json()["tasks"] == [
            "second"
        ]
        first.answer()
        second.answer()
        for name in ("first", "second"):
            assert simulator.task(name)["completed"]
            assert not simulator.task(name)["active"]
        assert not simulator.task("never")["completed"]


def test_client_that_goes_away_changes_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.05", "--journal", str(journal)) as simulator:
        for _ in range(2):
            with pytest.raises(requests.ReadTimeout):
                simulator.post(steps=40, timeout_s=0.15)
        wait_until(lambda: len(journal_lines(journal, "answer")) == 2)
        assert simulator.post().status_code == 200
    assert [line["outcome"] for line in journal_lines(journal, "answer")] == [
        "dropped",
        "dropped",
        "answered",
    ]


def test_forty_waiting_jobs_block_every_other_endpoint(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(tmp_path, "--seconds-per-step", "30", "--journal", str(journal)) as simulator:
        for _ in range(39):
            simulator.in_background(steps=1)
        wait_until(partial(_has_posts, journal, 39))
        assert simulator.get("progress")["state"]["job_count"] == 1
        simulator.in_background(steps=1)
        wait_until(partial(_has_posts, journal, 40))
        with pytest.raises(requests.ReadTimeout):
            requests.get(f"{simulator.url}/sdapi/v1/progress", timeout=0.3)


# --- faults and journal -------------------------------------------------------------------------------


def test_fault_happens_once_even_across_restarts(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    arguments = ("--fault", "500@1", "--fault", "die@3", "--journal", str(journal))
    with SimulatorProcess(tmp_path, *arguments) as simulator:
        refused = simulator.post()
        assert refused.status_code == 500
        assert refused.json() == {
            "error": "RuntimeError",
            "detail": "",
            "body": "",
            "errors": "simulated failure of generation 1 (fault 500)",
        }
        assert simulator.post().status_code == 200
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            simulator.post()
        assert simulator.process.wait(timeout=120) == 1
        assert simulator.log.rstrip().endswith("(fault die): the process ends here")
    with SimulatorProcess(tmp_path, *arguments) as simulator:
        assert simulator.post().status_code == 200
    answers = [(line["n"], line["status"], line["outcome"]) for line in journal_lines(journal, "answer")]
    assert answers == [(1, 500, "answered"), (2, 200, "answered"), (3, None, "died"), (4, 200, "answered")]
    assert len(journal_lines(journal, "start")) == 2


def test_torn_last_line_of_a_journal_counts_for_nothing(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    journal.write_bytes(b'{"event": "post", "n": 1}\n{"event": "post", "n"')
    with SimulatorProcess(tmp_path, "--fault", "500@2", "--journal", str(journal)) as simulator:
        assert simulator.post().status_code == 500
        assert simulator.post().status_code == 200


def test_fault_strikes_every_request_or_those_with_a_word(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--fault", "500~wolf", "--fault", "422~red fox") as simulator:
        assert simulator.post(prompt="a cat").status_code == 200
        assert [simulator.post(prompt="two wolfs").status_code for _ in range(2)] == [500, 500]
        refused = simulator.post(prompt="a red fox")
        assert (refused.status_code, refused.json()["detail"][0]["loc"]) == (422, ["body", "steps"])
    with SimulatorProcess(tmp_path, "--fault", "500@*") as simulator:
        assert [simulator.post().status_code for _ in range(3)] == [500, 500, 500]


def test_hang_never_answers_and_does_not_hear_interrupts(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(tmp_path, "--fault", "hang@1", "--journal", str(journal)) as simulator:
        pending = simulator.in_background(steps=5, force_task_id="stuck")
        wait_until(lambda: journal_lines(journal, "answer"))
        assert journal_lines(journal, "answer")[0]["outcome"] == "hung"
        before = simulator.get("progress")["state"]
        simulator.post("interrupt")
        time.sleep(0.3)
        assert simulator.get("progress")["state"] == before | {"interrupted": True}
        assert before["job_count"] == 1
        assert simulator.task("stuck")["active"]
        assert not pending.done


def test_extras_fail_by_the_same_count(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--fault", "500@2", "--fault", "die@3") as simulator:
        image = simulator.post().json()["images"][0]
        assert simulator.post("extra-single-image", image=image, upscaler_1="Lanczos").status_code == 500
        with pytest.raises(requests.ConnectionError, match="RemoteDisconnected"):
            simulator.post("extra-single-image", image=image, upscaler_1="Lanczos")


def test_failed_job_leaves_the_queue_to_the_next(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--fault", "500@1", "--seconds-per-step", "0.05") as simulator:
        waiting = [simulator.in_background(steps=3) for _ in range(3)]
        assert sorted(pending.answer().status_code for pending in waiting) == [200, 200, 500]
        assert simulator.get("progress")["state"]["job"] == ""


def test_journal_tells_of_every_request(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    with SimulatorProcess(
        tmp_path, "--journal", str(journal), "--api-auth", "alice:secret", port=0
    ) as simulator:
        assert simulator.post().status_code == 401
        simulator.url = simulator.url.replace("//", "//alice:secret@")
        simulator.post(prompt="a cat", force_task_id="mine")
        simulator.get("sd-models")
        pid = simulator.process.pid
    start, ready, refused, post, answer, read = journal_lines(journal)
    assert {(line["pid"], line["boot"]) for line in journal_lines(journal)} == {(pid, 1)}
    assert (start["event"], start["port"]) == ("start", 0)
    assert (ready["event"], ready["port"]) == ("ready", simulator.port)
    assert (refused["event"], refused["status"]) == ("request", 401)
    assert (post["n"], post["path"], post["task_id"]) == (1, "/sdapi/v1/txt2img", "mine")
    assert post["prompt_sha256"] == "51e467415607798220a3776f6ae1a2a09ddc7e5dcdc955d685477b4cf05ade22"
    assert len(post["body_sha256"]) == 64
    assert (answer["n"], answer["status"], answer["outcome"]) == (1, 200, "answered")
    assert (answer["fault"], answer["images"]) == (None, 1)
    assert (read["path"], read["status"], read["body_sha256"]) == ("/sdapi/v1/sd-models", 200, EMPTY_SHA256)
