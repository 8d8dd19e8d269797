"""What the client makes of a failing network, over real sockets: never sent, or sent and the answer lost."""

import gzip
import json
import socket
import threading
import time

import psutil
import pytest

from tests.contract.raw_server import Behaviour, full_backlog, read_request, reset, serving
from tests.contract.recordings import load_exchange
from tests.free_ports import free_port
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import WebUIClient
from webui.http import transport
from webui.work.timeouts import Timeouts

LARGE_BYTES = 160 * 1024**2
QUICK = Timeouts(connect_s=0.3, progress_s=0.4, small_s=0.4, queued_s=0.4, generation_s=0.4)
PATIENT = Timeouts(connect_s=60, progress_s=60, small_s=60, queued_s=60, generation_s=60)

RECORDED = load_exchange("txt2img-200").response
assert RECORDED is not None
PAYLOAD = json.dumps(RECORDED.json).encode()
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
COMPLETE = HEAD + b"Content-Length: %d\r\n\r\n" % len(PAYLOAD) + PAYLOAD


def request(prompt: str = "a cat") -> schemas.Txt2ImgRequest:
    return schemas.Txt2ImgRequest(
        prompt=prompt,
        steps=1,
        width=64,
        height=64,
        force_task_id="job-1",
        override_settings=schemas.OverrideSettings(),
    )


def failure(url: str, timeouts: Timeouts = PATIENT) -> errors.WebUIError:
    with pytest.raises(errors.WebUIError) as caught:
        WebUIClient(url, timeouts=timeouts).txt2img(request())
    error = caught.value
    assert (error.method, error.endpoint, error.stage) == ("POST", "/sdapi/v1/txt2img", "txt2img")
    assert error.address == url
    assert error.elapsed_s is not None
    return error


def failure_of(behaviour: Behaviour, timeouts: Timeouts = PATIENT) -> errors.WebUIError:
    with serving(behaviour) as server:
        error = failure(server.url, timeouts)
        assert server.connections == 1, "sent more than once"
    return error


def answer_after_request(*parts: bytes, pause_s: float = 0) -> Behaviour:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        for part in parts:
            connection.sendall(part)
            time.sleep(pause_s)

    return behave


def assert_never_sent(error: errors.WebUIError) -> None:
    assert type(error) is errors.WebUINotSentError
    assert not error.sent


def assert_lost(error: errors.WebUIError, kind: type[errors.WebUIUnavailableError]) -> None:
    assert type(error) is kind
    assert error.sent
    assert errors.crash_eligible(error)


# Never sent.


def test_refused_connection_was_never_sent() -> None:
    error = failure(f"http://127.0.0.1:{free_port()}")
    assert_never_sent(error)
    assert error.error_class == "ConnectionRefusedError"


def test_unknown_host_was_never_sent() -> None:
    assert_never_sent(failure("http://webui.invalid:7860"))


def test_handshake_that_never_ends_was_never_sent() -> None:
    with full_backlog() as url:
        error = failure(url, QUICK)
    assert_never_sent(error)
    assert error.words == "timed out", "the system, which tries for minutes, says it otherwise"


def test_impossible_host_name_was_never_sent() -> None:
    assert_never_sent(failure("http://.x..y:7860"))


# Sent, and the answer lost.


def test_connection_closed_unread_may_have_been_executed() -> None:
    assert_lost(failure_of(lambda connection: connection.close()), errors.WebUIConnectionLostError)


def test_connection_closed_after_the_request_may_have_been_executed() -> None:
    error = failure_of(answer_after_request())
    assert_lost(error, errors.WebUIConnectionLostError)
    assert error.error_class == "RemoteDisconnected"


def test_lost_answer_is_not_asked_for_again() -> None:
    """Not even where the method would allow it."""
    with serving(answer_after_request()) as server:
        with pytest.raises(errors.WebUIConnectionLostError):
            WebUIClient(server.url, timeouts=PATIENT).progress()
        time.sleep(0.2)
        assert server.connections == 1


def test_reset_after_the_request_may_have_been_executed() -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        reset(connection)

    error = failure_of(behave)
    assert_lost(error, errors.WebUIConnectionLostError)
    assert error.error_class == "ConnectionResetError"


def test_body_shorter_than_announced_is_a_lost_answer() -> None:
    error = failure_of(answer_after_request(COMPLETE[:-100]))
    assert_lost(error, errors.WebUIConnectionLostError)
    assert "100" in error.words


def test_chunked_body_without_its_end_is_a_lost_answer() -> None:
    chunk = HEAD + b"Transfer-Encoding: chunked\r\n\r\n" + b"%x\r\n" % len(PAYLOAD) + PAYLOAD + b"\r\n"
    assert_lost(failure_of(answer_after_request(chunk)), errors.WebUIConnectionLostError)


def test_garbage_instead_of_http_may_have_been_executed() -> None:
    error = failure_of(answer_after_request(b"\x15\x03\x01 not http at all\r\n\r\n"))
    assert_lost(error, errors.WebUIConnectionLostError)


# Sent, and no answer in time.


def hold(connection: socket.socket) -> None:
    """Read the request and wait until the client has gone."""
    read_request(connection)
    connection.recv(1)


def test_silence_is_a_timeout() -> None:
    error = failure_of(hold, QUICK)
    assert_lost(error, errors.WebUITimeoutError)
    assert error.elapsed_s is not None
    assert error.elapsed_s >= 0.4


def test_headers_that_stop_halfway_are_a_timeout() -> None:
    def behave(connection: socket.socket) -> None:
        read_request(connection)
        connection.sendall(HEAD)
        connection.recv(1)

    assert_lost(failure_of(behave, QUICK), errors.WebUITimeoutError)


def test_body_that_trickles_past_the_deadline_is_a_timeout() -> None:
    parts = [COMPLETE[:200], *(COMPLETE[at : at + 1] for at in range(200, 800))]
    error = failure_of(answer_after_request(*parts, pause_s=0.1), QUICK)
    assert_lost(error, errors.WebUITimeoutError)


@pytest.mark.parametrize(
    "parts",
    [
        (HEAD, *(b"X-%d: more\r\n" % number for number in range(90))),
        (b"HTTP/1.1 100 Continue\r\n\r\n",) * 600,
        tuple(bytes([byte]) for byte in b"HTTP/1.1 200 " + b"O" * 600),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n", *(b"0" for _ in range(600))),
    ],
    ids=["headers", "100 Continue", "status line", "size of a chunk"],
)
def test_whatever_trickles_past_the_deadline_is_a_timeout(parts: tuple[bytes, ...]) -> None:
    error = failure_of(answer_after_request(*parts, pause_s=0.1), QUICK)
    assert_lost(error, errors.WebUITimeoutError)


def test_memory_of_a_large_answer_is_given_back() -> None:
    body = b'{"images": ["' + b"A" * LARGE_BYTES + b'"], "info": "{}"}'
    head = HEAD + b"Content-Length: %d\r\n\r\n" % len(body)
    process = psutil.Process()
    with serving(answer_after_request(head, body)) as server:
        client = WebUIClient(server.url)
        before_bytes = process.memory_info().rss
        for _ in range(3):
            # In threads, as a run sends it: each has a part of the heap of its own.
            sending = threading.Thread(target=client.send, args=(request(),), kwargs={"stage": "txt2img"})
            sending.start()
            sending.join()
        kept_bytes = process.memory_info().rss - before_bytes
    assert kept_bytes < LARGE_BYTES / 2


def test_slow_headers_within_the_timeout_are_an_answer() -> None:
    parts = [COMPLETE[:5], COMPLETE[5:20], COMPLETE[20:40], COMPLETE[40:]]
    with serving(answer_after_request(*parts, pause_s=0.1)) as server:
        answer = WebUIClient(server.url, timeouts=PATIENT).txt2img(request())
    assert answer.info.seed == 42


# An answer, but not one to use.


def test_complete_answer_with_cut_json_is_a_bad_answer() -> None:
    cut = PAYLOAD[:-100]
    error = failure_of(answer_after_request(HEAD + b"Content-Length: %d\r\n\r\n" % len(cut) + cut))
    assert type(error) is errors.WebUIBadAnswerError
    assert not errors.crash_eligible(error)


def test_damaged_compression_is_a_bad_answer() -> None:
    packed = bytearray(gzip.compress(PAYLOAD))
    packed[40:60] = bytes(20)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    error = failure_of(answer_after_request(head + bytes(packed)))
    assert type(error) is errors.WebUIBadAnswerError


def test_compressed_answer_is_read() -> None:
    packed = gzip.compress(PAYLOAD)
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    with serving(answer_after_request(head + packed)) as server:
        assert WebUIClient(server.url, timeouts=PATIENT).txt2img(request()).info.seed == 42


def test_answer_without_end_is_a_bad_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "MAX_ANSWER_BYTES", 1000)
    error = failure_of(answer_after_request(COMPLETE), PATIENT)
    assert type(error) is errors.WebUIBadAnswerError


def test_redirect_is_not_followed_and_of_a_generation_it_is_a_lost_answer() -> None:
    with serving(answer_after_request(COMPLETE)) as elsewhere:
        head = f"HTTP/1.1 307 Temporary Redirect\r\nLocation: {elsewhere.url}/x\r\nContent-Length: 0\r\n\r\n"
        error = failure_of(answer_after_request(head.encode()))
        with (
            serving(answer_after_request(head.encode())) as server,
            pytest.raises(errors.WebUIError) as asked,
        ):
            WebUIClient(server.url, timeouts=PATIENT).progress()
        assert elsewhere.connections == 0
    assert type(error) is errors.WebUIGatewayError
    assert type(asked.value) is errors.WebUIRedirectError
    assert f"{elsewhere.url}/x" in error.words


# How it is sent.


def test_each_request_has_a_connection_of_its_own() -> None:
    with serving(answer_after_request(COMPLETE)) as server:
        client = WebUIClient(server.url, timeouts=PATIENT)
        client.txt2img(request())
        client.txt2img(request())
        assert server.connections == 2


def test_surroundings_do_not_change_where_it_goes(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    netrc = tmp_path_factory.mktemp("home") / "netrc"
    netrc.write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(read_request(connection))
        connection.sendall(COMPLETE)

    with serving(behave) as server:
        WebUIClient(server.url, timeouts=PATIENT).txt2img(request())
    assert b"authorization" not in seen[0].lower()
    assert seen[0].startswith(b"POST /sdapi/v1/txt2img HTTP/1.1\r\n")


def test_credentials_in_the_address_are_sent_and_not_repeated_in_errors() -> None:
    seen: list[bytes] = []

    def behave(connection: socket.socket) -> None:
        seen.append(read_request(connection))

    with serving(behave) as server:
        client = WebUIClient(server.url.replace("//", "//alice:s%C3%A4cret@"), timeouts=PATIENT)
        with pytest.raises(errors.WebUIConnectionLostError) as caught:
            client.progress()
    assert b"authorization: basic ywxpy2u6c8okY3jldA==".lower() in seen[0].lower()
    assert "cret" not in str(caught.value)


def test_older_failure_does_not_make_a_lost_answer_look_unsent() -> None:
    """A retry runs while the refused first try is still being handled; its failure is its own."""
    with serving(answer_after_request()) as server:
        try:
            WebUIClient(f"http://127.0.0.1:{free_port()}", timeouts=QUICK).progress()
        except errors.WebUINotSentError:
            error = failure(server.url)
    assert_lost(error, errors.WebUIConnectionLostError)


def test_threads_share_a_client() -> None:
    found: list[int | None] = []
    with serving(answer_after_request(COMPLETE)) as server:
        client = WebUIClient(server.url, timeouts=PATIENT)
        threads = [
            threading.Thread(target=lambda: found.append(client.txt2img(request()).info.seed))
            for _ in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert found == [42] * 4


def test_server_that_is_slow_to_read_a_large_request_is_not_given_up() -> None:
    """The connect timeout holds for the connect alone."""

    def behave(connection: socket.socket) -> None:
        time.sleep(0.8)
        read_request(connection)
        connection.sendall(COMPLETE)

    with serving(behave) as server:
        client = WebUIClient(server.url, timeouts=Timeouts(connect_s=0.2, generation_s=60))
        answer = client.txt2img(request(prompt="x" * 30_000_000))
    assert answer.info.seed == 42


def assert_set(event: threading.Event) -> None:
    assert event.wait(60)


def test_server_that_never_reads_a_large_request_is_a_timeout() -> None:
    over = threading.Event()
    with serving(lambda _connection: assert_set(over)) as server:
        client = WebUIClient(server.url, timeouts=QUICK)
        with pytest.raises(errors.WebUITimeoutError):
            client.txt2img(request(prompt="x" * 30_000_000))
        over.set()


def test_server_kill_of_a_dead_server_still_says_so() -> None:
    with pytest.raises(errors.WebUINotSentError):
        WebUIClient(f"http://127.0.0.1:{free_port()}", timeouts=QUICK).server_kill()


@pytest.mark.parametrize("address", ["127.0.0.1:7860", "ftp://host", "http://", "http://host:port", ""])
def test_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="not a WebUI address"):
        WebUIClient(address)
