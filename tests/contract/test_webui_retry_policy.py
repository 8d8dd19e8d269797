"""Which answers the client sends a request again for, how long it waits, and whose policy wins."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest
import responses

from tests.contract.raw_server import read_request, serving
from tests.contract.recordings import ADDRESS, load_exchange
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import WebUIClient
from webui.http.retry import ONCE, Backoff, RetryPolicy, apply_retry_policy
from webui.work.timeouts import Timeouts

TXT2IMG = "/sdapi/v1/txt2img"
PICTURE = schemas.encode_image(b"\x89PNG picture")
GENERATED = load_exchange("txt2img-200").response
assert GENERATED is not None

PAYLOADS: dict[str, schemas.Txt2ImgRequest | schemas.Img2ImgRequest | schemas.ExtraSingleImageRequest] = {
    "txt2img": schemas.Txt2ImgRequest(
        prompt="a cat",
        steps=1,
        width=64,
        height=64,
        force_task_id="job-1",
        override_settings=schemas.OverrideSettings(),
    ),
    "img2img": schemas.Img2ImgRequest(
        prompt="a cat",
        steps=1,
        width=64,
        height=64,
        force_task_id="job-1",
        override_settings=schemas.OverrideSettings(),
        init_images=[PICTURE],
    ),
    "upscale": schemas.ExtraSingleImageRequest(image=PICTURE, upscaler_1="None"),
}
PAYLOADS["adetailer"] = PAYLOADS["img2img"]
ENDPOINTS = {
    "txt2img": TXT2IMG,
    "img2img": "/sdapi/v1/img2img",
    "adetailer": "/sdapi/v1/img2img",
    "upscale": "/sdapi/v1/extra-single-image",
}


class Server:
    """Refuses with these statuses, one after the other, then answers."""

    def __init__(self, mock: responses.RequestsMock) -> None:
        self.mock = mock

    def refuses(self, stage: str, *statuses: int, then_answers: bool = True) -> None:
        for status in statuses:
            self.mock.post(ADDRESS + ENDPOINTS[stage], json={"detail": "busy"}, status=status)
        if then_answers:
            assert GENERATED is not None
            body = {"image": PICTURE, "html_info": ""} if stage == "upscale" else GENERATED.json
            self.mock.post(ADDRESS + ENDPOINTS[stage], json=body)

    @property
    def posts(self) -> int:
        return len(self.mock.calls)


@pytest.fixture
def server() -> Iterator[Server]:
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        yield Server(mock)


@pytest.fixture
def slept() -> list[float]:
    return []


@pytest.fixture
def client(slept: list[float]) -> WebUIClient:
    return WebUIClient(ADDRESS, sleep=slept.append)


def exhausted(call: Callable[[], object]) -> errors.WebUITransientExhaustedError:
    with pytest.raises(errors.WebUITransientExhaustedError) as caught:
        call()
    return caught.value


@pytest.mark.parametrize(
    ("stage", "posts", "waits"),
    [("txt2img", 3, [1.0, 2.0]), ("img2img", 2, [1.5]), ("adetailer", 1, []), ("upscale", 2, [2.0])],
)
def test_each_stage_is_repeated_by_its_own_policy(
    server: Server, client: WebUIClient, slept: list[float], stage: str, posts: int, waits: list[float]
) -> None:
    server.refuses(stage, *[503] * 5, then_answers=False)
    error = exhausted(lambda: client.generate(PAYLOADS[stage], stage=stage))
    assert (server.posts, slept) == (posts, waits)
    assert (error.stage, error.endpoint, error.status) == (stage, ENDPOINTS[stage], 503)
    assert errors.crash_eligible(error)


@pytest.mark.parametrize("stage", ["txt2img", "img2img", "upscale"])
def test_an_answer_after_a_refusal_counts(
    server: Server, client: WebUIClient, slept: list[float], stage: str
) -> None:
    server.refuses(stage, 503)
    answer = client.generate(PAYLOADS[stage], stage=stage)
    assert isinstance(answer, schemas.ExtraSingleImageResponse) == (stage == "upscale")
    assert server.posts == 2
    assert len(slept) == 1


@pytest.mark.parametrize("status", [429, 503])
def test_refusals_for_the_moment_are_repeated(server: Server, client: WebUIClient, status: int) -> None:
    server.refuses("txt2img", status)
    client.generate(PAYLOADS["txt2img"], stage="txt2img")
    assert server.posts == 2


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("body", ["", "busy", "<html></html>", "[]", '"busy"', '{"message": "busy"}'])
def test_a_status_is_the_server_s_own_only_in_the_words_of_its_api(
    server: Server, client: WebUIClient, status: int, body: str
) -> None:
    server.mock.post(ADDRESS + TXT2IMG, body=body, status=status)
    with pytest.raises(errors.WebUIGatewayError):
        client.generate(PAYLOADS["txt2img"], stage="txt2img")
    assert server.posts == 1


UNKNOWN_TASK = {"active": False, "queued": False, "completed": False, "textinfo": "Waiting..."}


@pytest.mark.parametrize(
    ("said", "posts"),
    [
        (UNKNOWN_TASK, 2),
        (UNKNOWN_TASK | {"active": True}, 1),
        (UNKNOWN_TASK | {"queued": True}, 1),
        (UNKNOWN_TASK | {"completed": True}, 1),
        (UNKNOWN_TASK | {"progress": 0.1}, 1),
        (None, 1),
    ],
)
def test_a_502_at_once_is_repeated_if_the_webui_never_heard_of_the_request(
    server: Server, client: WebUIClient, said: dict[str, object] | None, posts: int
) -> None:
    server.mock.post(f"{ADDRESS}/internal/progress", json=said or {}, status=200 if said else 404)
    server.refuses("txt2img", 502)
    try:
        client.generate(PAYLOADS["txt2img"], stage="txt2img")
    except errors.WebUIGatewayError:
        assert posts == 1
    assert len([call for call in server.mock.calls if str(call.request.url).endswith(TXT2IMG)]) == posts


@pytest.mark.parametrize(
    "status", [302, 400, 401, 403, 404, 405, 408, 413, 422, 500, 501, 504, 505, 507, 524]
)
def test_every_other_refusal_is_final(
    server: Server, client: WebUIClient, slept: list[float], status: int
) -> None:
    server.refuses("txt2img", status)
    with pytest.raises(errors.WebUIError):
        client.generate(PAYLOADS["txt2img"], stage="txt2img")
    assert (server.posts, slept) == (1, [])


def test_answer_that_cannot_be_used_is_final(server: Server, client: WebUIClient) -> None:
    server.mock.post(ADDRESS + TXT2IMG, json={"images": ["not base64!"], "info": "{}"})
    with pytest.raises(errors.WebUIBadAnswerError):
        client.generate(PAYLOADS["txt2img"], stage="txt2img")
    assert server.posts == 1


@pytest.mark.parametrize("silent", [True, False], ids=["read timeout", "connection lost"])
def test_lost_answer_is_final(slept: list[float], silent: bool) -> None:
    over = threading.Event()

    def behave(connection: socket.socket) -> None:
        read_request(connection)
        if silent:
            over.wait(60)

    with serving(behave) as raw:
        client = WebUIClient(
            raw.url, timeouts=Timeouts(generation_s=0.3 if silent else 60), sleep=slept.append
        )
        with pytest.raises(errors.WebUIUnavailableError) as caught:
            client.generate(PAYLOADS["txt2img"], stage="txt2img")
        over.set()
    assert type(caught.value) is (errors.WebUITimeoutError if silent else errors.WebUIConnectionLostError)
    assert (raw.connections, slept) == (1, [])


@pytest.mark.parametrize(
    ("backoff", "waits"),
    [
        (Backoff.NONE, [0.0, 0.0, 0.0]),
        (Backoff.FIXED, [2.0, 2.0, 2.0]),
        (Backoff.LINEAR, [2.0, 4.0, 6.0]),
        (Backoff.EXPONENTIAL, [2.0, 4.0, 7.0]),
    ],
)
def test_backoffs_really_differ(
    server: Server, client: WebUIClient, slept: list[float], backoff: Backoff, waits: list[float]
) -> None:
    server.refuses("txt2img", 503, 503, 503)
    client.generate(PAYLOADS["txt2img"], stage="txt2img", policy=RetryPolicy(4, backoff, 2.0, 7.0))
    assert (server.posts, slept) == (4, waits)


def test_callback_is_told_of_each_wait(server: Server, client: WebUIClient) -> None:
    told: list[tuple[str, int, int, str, float]] = []
    server.refuses("upscale", 503)
    client.generate(PAYLOADS["upscale"], stage="upscale", retry_callback=lambda *facts: told.append(facts))
    [(stage, attempt, most, reason, delay_s)] = told
    assert (stage, attempt, most, delay_s) == ("upscale", 1, 2, 2.0)
    assert "HTTP 503" in reason
    assert "busy" in reason


def test_policy_of_a_call_wins(server: Server, client: WebUIClient, slept: list[float]) -> None:
    server.refuses("txt2img", *[503] * 5, then_answers=False)
    client.apply_retry_policy(RetryPolicy(5, Backoff.FIXED, 1.0, 1.0))
    exhausted(lambda: client.generate(PAYLOADS["txt2img"], stage="txt2img", policy=ONCE))
    assert (server.posts, slept) == (1, [])


def test_policies_of_a_client_win_over_the_table(
    server: Server, client: WebUIClient, slept: list[float]
) -> None:
    server.refuses("txt2img", *[503] * 4, then_answers=False)
    apply_retry_policy(client, {"txt2img": RetryPolicy(2, Backoff.FIXED, 0.5, 0.5)})
    exhausted(lambda: client.generate(PAYLOADS["txt2img"], stage="txt2img"))
    assert (server.posts, slept) == (2, [0.5])
    exhausted(lambda: client.generate(PAYLOADS["txt2img"], stage="a stage without a policy"))
    assert (server.posts, slept) == (3, [0.5])


def test_policy_of_one_client_leaves_others_alone(client: WebUIClient) -> None:
    client.apply_retry_policy(ONCE)
    assert WebUIClient(ADDRESS).policies != ONCE


def test_one_post_by_hand_is_repeated_by_nobody(server: Server, client: WebUIClient) -> None:
    server.refuses("txt2img", 503)
    with pytest.raises(errors.WebUITransientError):
        client.send(PAYLOADS["txt2img"], stage="txt2img")
    assert server.posts == 1


def test_requests_that_generate_nothing_are_never_repeated(server: Server, client: WebUIClient) -> None:
    server.mock.get(f"{ADDRESS}/sdapi/v1/progress", json={"detail": "busy"}, status=503)
    with pytest.raises(errors.WebUITransientError):
        client.progress()
    assert server.posts == 1
