"""The verdict on an address: what listens there, in words, and what to do about it."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.contract.simulator_process import SimulatorProcess
from tests.free_ports import free_port
from webui.drivers.a1111 import inspection
from webui.pages import connection_check
from webui.pages.connection_check import check_connection
from webui.work.timeouts import Timeouts
from webui.work.told import ConnectionVerdict, Outcome

SECRET_BODY = "inner secrets of another program"
PROGRESS = {
    "progress": 0.0,
    "eta_relative": 0.0,
    "state": {"job": "", "job_count": 0, "job_no": 0, "sampling_step": 0, "sampling_steps": 0},
}
API = "/sdapi/v1/"


class Told:
    """A server that gives the same answers to everybody, and remembers what it was asked."""

    def __init__(self, answers: dict[str, tuple[int, object]], otherwise: tuple[int, object]) -> None:
        told = self
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = self.path.partition("?")[0]
                told.paths.append(path)
                told.authorizations.append(self.headers["Authorization"])
                status, body = answers.get(path, otherwise)
                self.send_response(status)
                if status == 302:
                    self.send_header("Location", "http://169.254.169.254/latest/meta-data/")
                self.send_header("Content-Type", "text/html" if isinstance(body, str) else "application/json")
                self.end_headers()
                self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

            def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"


@contextmanager
def telling(
    answers: dict[str, tuple[int, object]], otherwise: tuple[int, object] = (404, {"detail": "Not Found"})
) -> Iterator[Told]:
    told = Told(answers, otherwise)
    thread = threading.Thread(target=told.server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.server.shutdown()
        told.server.server_close()
        thread.join()


def look(url: str, auth: tuple[str, str] | None = None) -> ConnectionVerdict:
    return check_connection(url, auth, settle_s=0.0)


def test_a_webui_that_works_tells_what_it_has(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--checkpoint", "dream.safetensors") as server:
        verdict = look(server.url)
        facts = dict(verdict.facts)
        assert (verdict.outcome, verdict.works) == (Outcome.WORKS, True)
        assert facts["Kind"] == "AUTOMATIC1111"
        assert "dream" in facts["Loaded checkpoint"]
        assert facts["Checkpoints"] == f"{len(server.get('sd-models'))}"
        assert facts["Samplers"] == f"{len(server.get('samplers'))}"
        assert facts["Memory"].startswith("RAM ")


def test_wanted_and_refused_credentials_are_told_apart(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--api-auth", "anna:right", "--dialect", "forge") as server:
        wanted, refused, right = (
            look(server.url),
            look(server.url, ("anna", "wrong")),
            look(server.url, ("anna", "right")),
        )
        assert (wanted.outcome, refused.outcome) == (Outcome.PASSWORD_WANTED, Outcome.PASSWORD_REFUSED)
        assert "--api-auth" in wanted.advice
        assert right.outcome == Outcome.WORKS
        assert dict(right.facts)["Kind"] == "Forge"


def test_nothing_listens() -> None:
    verdict = look(f"http://127.0.0.1:{free_port()}")
    assert verdict.outcome == Outcome.NOTHING
    assert "Start the server there" in verdict.advice


def test_unknown_host() -> None:
    verdict = look("http://no-such-host.invalid:7860")
    assert verdict.outcome in (Outcome.NO_HOST, Outcome.NOT_REACHED)


def test_webui_without_its_api_is_told_from_another_program() -> None:
    with telling({"/internal/ping": (200, {})}) as webui, telling({}) as other:
        assert look(webui.url).outcome == Outcome.API_OFF
        assert "--api" in look(webui.url).advice
        assert look(other.url).outcome == Outcome.OTHER_PROGRAM


@pytest.mark.parametrize(
    ("status", "outcome"),
    [
        (200, Outcome.OTHER_PROGRAM),
        (302, Outcome.REDIRECTS),
        (404, Outcome.OTHER_PROGRAM),
        (405, Outcome.OTHER_PROGRAM),
        (500, Outcome.FAILS),
        (502, Outcome.FAILS),
    ],
)
def test_what_another_program_answers_is_never_repeated(status: int, outcome: Outcome) -> None:
    with telling({}, otherwise=(status, f"<title>{SECRET_BODY}</title>")) as server:
        verdict = look(server.url)
        assert verdict.outcome == outcome
        assert SECRET_BODY not in repr(verdict)
        assert "169.254" not in repr(verdict)
        assert set(server.paths) <= {API + "progress", "/internal/ping"}, "and no redirect is followed"


def test_nowebui_says_what_cannot_be_done_there() -> None:
    with telling({API + "progress": (200, PROGRESS), API + "sd-models": (200, [])}) as server:
        verdict = look(server.url)
        assert verdict.outcome == Outcome.WORKS
        assert "--nowebui" in verdict.advice
        assert "It lists no checkpoint" in verdict.advice
        assert dict(verdict.facts)["Samplers"] == "not told"


def test_slow_answer_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "SLOW_S", 0.0)
    with telling({API + "progress": (200, PROGRESS)}) as server:
        verdict = look(server.url)
        assert (verdict.outcome, verdict.works, verdict.status) == (Outcome.SLOW, True, "WARNING")


def test_no_further_question_is_asked_when_time_is_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inspection, "FACTS_WITHIN_S", -1.0)
    with telling({API + "progress": (200, PROGRESS)}) as server:
        assert look(server.url).works
        assert server.paths == [API + "progress"]


def test_endless_answer_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_check, "MOST_ANSWER_BYTES", 1000)
    with telling({API + "progress": (200, PROGRESS | {"textinfo": "x" * 2000})}) as server:
        assert look(server.url).outcome == Outcome.OTHER_PROGRAM


@contextmanager
def listening(*, closes: bool) -> Iterator[int]:
    """A port that accepts, and then says nothing, or ends the connection at once."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        held: list[socket.socket] = []

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                if closes:
                    connection.close()
                else:
                    held.append(connection)

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        for connection in held:
            connection.close()


def test_server_that_hangs_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection_check, "TIMEOUTS", Timeouts(progress_s=0.3))
    with listening(closes=False) as port:
        verdict = look(f"http://127.0.0.1:{port}")
    assert verdict.outcome == Outcome.SILENT
    assert "may hang" in verdict.advice


def test_server_that_hangs_up_may_speak_the_other_protocol() -> None:
    with listening(closes=True) as port:
        assert "address with https://" in look(f"http://127.0.0.1:{port}").advice


def test_server_without_encryption_may_be_meant_by_http() -> None:
    with telling({}) as server:
        verdict = look(server.url.replace("http://", "https://"))
    assert verdict.outcome == Outcome.SILENT
    assert "address with http://" in verdict.advice


def test_question_comes_after_the_pause_that_a_starting_server_needs() -> None:
    pauses: list[float] = []
    with telling({API + "progress": (200, PROGRESS)}) as server:

        def sleep(seconds: float) -> None:
            assert server.paths == []
            pauses.append(seconds)

        check_connection(server.url, None, settle_s=1.5, sleep=sleep)
    assert pauses == [1.5]
