"""Rules of the order: alive, TCP, a pause, then one careful question."""

from __future__ import annotations

from pathlib import Path

import pytest

from webui.driver import driver_of
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.progress_schemas import WireProgress
from webui.drivers.a1111.server import A1111Server
from webui.errors import WebUIAuthError
from webui.keeper.readiness import Readiness, Verdict
from webui.work.told import ApiAnswer, Asked

REFUSED = ConnectionRefusedError(111, "Connection refused")


class Server:
    """A server as readiness meets it: by the clock, since when its port is open, and what it answers."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.opens_at_s: float | None = 0.0
        self.alive = True
        self.announces = False
        self.answers = [Asked(ApiAnswer.API)]
        self.why_no_api = ""
        self.page_at_s: list[float] = []
        self.connects_at_s: list[float] = []
        self.asked_at_s: list[float] = []

    def connect(self, host: str, port: int, timeout_s: float) -> OSError | None:
        self.connects_at_s.append(self.now_s)
        return None if self.opens_at_s is not None and self.now_s >= self.opens_at_s else REFUSED

    def ask(self) -> Asked:
        self.asked_at_s.append(self.now_s)
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def without_api(self) -> str:
        self.page_at_s.append(self.now_s)
        return self.why_no_api

    def walk(self, *, settle_s: float = 1.0) -> Readiness:
        return Readiness(
            "http://127.0.0.1:7860",
            ask=self.ask,
            settle_s=settle_s,
            without_api=self.without_api,
            alive=lambda: self.alive,
            announced=lambda: self.announces,
            connect=self.connect,
            clock=lambda: self.now_s,
        )

    def run(self, walk: Readiness, until_s: float) -> Verdict:
        """Steps every 10 ms until a verdict or that time."""
        while self.now_s < until_s:
            verdict = walk.step()
            if verdict is not Verdict.PENDING:
                return verdict
            self.now_s = round(self.now_s + 0.01, 2)
        return Verdict.PENDING


@pytest.fixture
def server() -> Server:
    return Server()


def test_nothing_is_asked_before_the_port_was_open_for_the_pause(server: Server) -> None:
    server.opens_at_s = 3.0
    assert server.run(server.walk(settle_s=1.0), 10) is Verdict.READY
    assert server.asked_at_s == [pytest.approx(4.0, abs=0.15)]
    assert server.asked_at_s[0] >= 4.0


def test_connect_is_tried_every_tenth_of_a_second(server: Server) -> None:
    server.opens_at_s = None
    assert server.run(server.walk(), 1.0) is Verdict.PENDING
    assert len(server.connects_at_s) == 10
    assert server.asked_at_s == []


def test_one_connect_is_enough(server: Server) -> None:
    server.run(server.walk(settle_s=2.0), 10)
    assert len(server.connects_at_s) == 1


def test_own_startup_line_ends_the_pause_early(server: Server) -> None:
    server.announces = True
    assert server.run(server.walk(settle_s=4.0), 10) is Verdict.READY
    assert server.asked_at_s[0] < 0.2


def test_startup_line_is_no_reason_to_ask_a_closed_port(server: Server) -> None:
    server.announces, server.opens_at_s = True, 2.0
    server.run(server.walk(), 10)
    assert server.asked_at_s[0] >= 2.0


def test_pause_is_at_most_five_seconds(server: Server) -> None:
    assert server.run(server.walk(settle_s=60.0), 10) is Verdict.READY
    assert server.asked_at_s == [pytest.approx(5.0, abs=0.15)]


def test_question_is_put_at_most_once_a_second(server: Server) -> None:
    server.answers = [Asked(ApiAnswer.NO_API, "404"), Asked(ApiAnswer.UNCLEAR, "503"), Asked(ApiAnswer.API)]
    assert server.run(server.walk(), 10) is Verdict.READY
    first, second, third = server.asked_at_s
    assert second - first >= 1.0
    assert third - second >= 1.0


def test_refused_question_begins_the_whole_order_again(server: Server) -> None:
    server.answers = [Asked(ApiAnswer.REFUSED, "gone"), Asked(ApiAnswer.API)]
    assert server.run(server.walk(settle_s=1.0), 10) is Verdict.READY
    assert len(server.connects_at_s) == 2
    assert server.asked_at_s[1] - server.connects_at_s[1] >= 1.0


def test_what_a_server_announced_is_void_once_it_refuses(server: Server) -> None:
    server.announces = True
    server.answers = [Asked(ApiAnswer.REFUSED, "gone"), Asked(ApiAnswer.API)]
    assert server.run(server.walk(settle_s=1.0), 10) is Verdict.READY
    assert server.asked_at_s[0] - server.connects_at_s[0] < 0.2
    assert server.asked_at_s[1] - server.connects_at_s[1] >= 1.0


def test_dead_process_is_neither_connected_nor_asked(server: Server) -> None:
    server.alive = False
    assert server.run(server.walk(), 1) is Verdict.DIED
    assert server.connects_at_s == server.asked_at_s == []


def test_death_during_the_pause_is_noticed_before_anything_is_asked(server: Server) -> None:
    walk = server.walk()
    server.run(walk, 0.5)
    server.alive = False
    assert server.run(walk, 5) is Verdict.DIED
    assert server.asked_at_s == []


class LockedClient(WebUIClient):
    """Of a WebUI that lets nobody in."""

    def progress(self, skip_current_image: bool = True) -> WireProgress:
        raise WebUIAuthError("Incorrect username or password", status=401)


@pytest.mark.parametrize(
    ("auth", "said"),
    [(("a", "hidden"), "refuses our user and password"), (None, "wants a user and password")],
    ids=["refused", "wanted"],
)
def test_wrong_password_is_a_verdict_with_what_to_change(
    server: Server, auth: tuple[str, str] | None, said: str
) -> None:
    server.answers = [A1111Server(DRIVER, LockedClient("http://gpu:7860", auth=auth)).ask()]
    walk = server.walk()
    assert server.run(walk, 5) is Verdict.WRONG_PASSWORD
    assert f"The WebUI at http://gpu:7860 {said}" in walk.reason
    assert "STABLENEW_WEBUI_AUTH" in walk.reason
    assert "hidden" not in walk.reason


def test_reason_tells_what_is_waited_for(server: Server) -> None:
    server.opens_at_s = None
    walk = server.walk()
    assert walk.reason == ""
    walk.step()
    assert "Nothing listens at http://127.0.0.1:7860" in walk.reason


def test_slow_walk_leaves_long_pauses_between_tries(server: Server) -> None:
    server.opens_at_s = None
    walk = server.walk()
    walk.slow_down(10.0)
    server.run(walk, 30)
    assert len(server.connects_at_s) == 3


def test_startup_line_is_read_from_the_output_of_the_boot(tmp_path: Path) -> None:
    log = tmp_path / "stdout.log"
    announces_start = driver_of("a1111").announces_start
    assert not announces_start(log)
    log.write_text("Running on local URL:  http://127.0.0.1:7860\n")
    assert not announces_start(log)
    log.write_text("Startup time: 7.5s (import torch: 2.6s).\n")
    assert announces_start(log)


NO_API = Asked(ApiAnswer.NO_API, "404")


def test_webui_that_was_started_without_its_api_is_told_within_seconds(server: Server) -> None:
    server.answers, server.why_no_api = [NO_API], "It was started without --api."
    walk = server.walk(settle_s=1.0)
    assert server.run(walk, 60) is Verdict.WITHOUT_API
    assert walk.reason == "It was started without --api."
    assert server.now_s - server.asked_at_s[0] < 5.0


def test_page_is_asked_only_after_the_api_was_refused_steadily(server: Server) -> None:
    server.answers, server.why_no_api = [NO_API, NO_API, Asked(ApiAnswer.API)], "never asked"
    assert server.run(server.walk(), 60) is Verdict.READY
    assert server.page_at_s == []


def test_refusals_in_between_begin_the_count_anew(server: Server) -> None:
    server.answers = [NO_API, NO_API, Asked(ApiAnswer.REFUSED, "gone"), NO_API, NO_API, Asked(ApiAnswer.API)]
    server.why_no_api = "never asked"
    assert server.run(server.walk(), 60) is Verdict.READY
    assert server.page_at_s == []


def test_other_program_without_a_page_is_waited_for(server: Server) -> None:
    server.answers = [NO_API]
    assert server.run(server.walk(), 20) is Verdict.PENDING
    assert len(server.page_at_s) > 1
