"""txt2img over real sockets: which posts leave, when, and with which bytes."""

from __future__ import annotations

import json
import socket
import time

import pytest

from tests.contract.raw_server import Behaviour, read_request, serving
from tests.contract.recordings import load_exchange
from tests.free_ports import free_port
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import WebUIClient
from webui.http.retry import Backoff, RetryPolicy

QUICK = RetryPolicy(3, Backoff.EXPONENTIAL, 0.1, 1.0)
RECORDED = load_exchange("txt2img-200").response
assert RECORDED is not None
ANSWER = json.dumps(RECORDED.json).encode()
REQUEST = schemas.Txt2ImgRequest(
    prompt="a cat",
    steps=1,
    width=64,
    height=64,
    force_task_id="job-1",
    override_settings=schemas.OverrideSettings(),
)


class Posts:
    """What arrived: the bytes of each post, and the seconds since the one before it."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.times: list[float] = []

    def behaviour(self, *statuses: int) -> Behaviour:
        def behave(connection: socket.socket) -> None:
            self.bodies.append(read_request(connection).partition(b"\r\n\r\n")[2])
            self.times.append(time.monotonic())
            status = statuses[min(len(self.bodies), len(statuses)) - 1]
            payload = ANSWER if status == 200 else b'{"detail": "busy"}'
            head = f"HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {len(payload)}\r\n\r\n"
            connection.sendall(head.encode() + payload)

        return behave

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in zip(self.times, self.times[1:], strict=False)]


def no_wait(wait_s: float) -> None:
    pytest.fail(f"waited {wait_s} s")


@pytest.fixture
def posts() -> Posts:
    return Posts()


def test_503_twice_then_success_is_one_answer_after_three_equal_posts(posts: Posts) -> None:
    waits: list[float] = []
    with serving(posts.behaviour(503, 503, 200)) as server:
        answer = WebUIClient(server.url).txt2img(
            REQUEST, policy=QUICK, retry_callback=lambda *facts: waits.append(facts[-1])
        )
    assert answer.images
    assert len(posts.bodies) == 3
    assert len(set(posts.bodies)) == 1
    assert waits == [0.1, 0.2]
    assert [pause >= wait for pause, wait in zip(posts.pauses, waits, strict=True)] == [True, True]


def test_503_without_end_is_three_posts_and_speaks_for_a_restart(posts: Posts) -> None:
    with (
        serving(posts.behaviour(503)) as server,
        pytest.raises(errors.WebUITransientExhaustedError) as caught,
    ):
        WebUIClient(server.url).txt2img(REQUEST, policy=QUICK)
    assert len(posts.bodies) == 3
    assert errors.crash_eligible(caught.value)


def test_txt2img_waits_one_second_and_then_two(posts: Posts) -> None:
    slept: list[float] = []
    with serving(posts.behaviour(503, 503, 200)) as server:
        WebUIClient(server.url, sleep=slept.append).txt2img(REQUEST)
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize("status", [500, 422])
def test_500_and_422_are_posted_once(posts: Posts, status: int) -> None:
    with serving(posts.behaviour(status)) as server, pytest.raises(errors.WebUIError):
        WebUIClient(server.url, sleep=no_wait).txt2img(REQUEST)
    assert len(posts.bodies) == 1


def test_500_after_a_refusal_ends_the_repeating(posts: Posts) -> None:
    with serving(posts.behaviour(503, 500, 200)) as server, pytest.raises(errors.WebUIServerError):
        WebUIClient(server.url).txt2img(REQUEST, policy=QUICK)
    assert len(posts.bodies) == 2


def test_address_where_nobody_listens_is_left_to_who_knows_the_process() -> None:
    client = WebUIClient(f"http://127.0.0.1:{free_port()}", sleep=no_wait)
    with pytest.raises(errors.WebUINotSentError):
        client.txt2img(REQUEST)
