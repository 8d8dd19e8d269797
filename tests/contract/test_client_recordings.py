"""The client against recorded answers of real servers."""

import json
from contextlib import nullcontext

import pytest
import requests
import responses
from pydantic import ValidationError

from tests.contract import rows_forge
from tests.contract.calls import RECORDED, Row, extra, img2img, raw, txt2img
from tests.contract.recordings import ADDRESS, Exchange, basic, load_exchange, names, replay
from tests.contract.rows import ALL, ROWS
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.client import WebUIClient
from webui.errors import WebUIError

EVERY = (*ALL, *rows_forge.ALL)
ASKED = {
    (request.method, request.path)
    for row in EVERY
    if not row.reason
    for request in (load_exchange(row.name, row.folder).request,)
}
"""What the methods of the client ask for."""


def test_every_recorded_exchange_has_one_row() -> None:
    assert sorted(ROWS) == names()
    assert sorted(rows_forge.FORGE_ROWS) == names(rows_forge.FOLDER)
    assert len(EVERY) == len(ROWS) + len(rows_forge.FORGE_ROWS)


@pytest.mark.parametrize("row", [row for row in EVERY if row.reason], ids=lambda row: _label(row))
def test_requests_that_no_call_of_ours_makes_are_truly_none_of_ours(row: Row) -> None:
    request = load_exchange(row.name, row.folder).request
    if not isinstance(request.json, dict) or request.headers:
        return  # every call of ours sends an object, as JSON
    if row.call is raw:
        assert (request.method, request.path) not in ASKED
        return
    call = {"txt2img": txt2img, "img2img": img2img, "extra-single-image": extra}[
        request.path.rpartition("/")[2]
    ]
    exchange = load_exchange(row.name, row.folder)
    with responses.RequestsMock(assert_all_requests_are_fired=False) as mock:
        replay(exchange, mock)
        try:
            call(WebUIClient(ADDRESS), exchange)
        except ValidationError:
            return
        except WebUIError:
            pass
        sent = json.loads(mock.calls[0].request.body or b"")
    assert json.dumps({key: sent.get(key) for key in request.json}) != json.dumps(request.json)


def _label(row: Row) -> str:
    return f"{row.folder}/{row.name}"


def _sends_an_object(row: Row) -> bool:
    return isinstance(load_exchange(row.name, row.folder).request.json, dict)


@pytest.mark.parametrize("row", EVERY, ids=_label)
def test_client_reads_the_recorded_answer(row: Row) -> None:
    exchange = load_exchange(row.name, row.folder)
    client = WebUIClient(ADDRESS, auth=exchange.request.basic_auth)
    with responses.RequestsMock() as mock:
        replay(exchange, mock)
        if row.error is None:
            answer = row.call(client, exchange)
            recorded = exchange.response.json if exchange.response else None
            assert row.shows(answer) == (recorded if row.expected is RECORDED else row.expected)
            return
        with pytest.raises(row.error) as caught:
            row.call(client, exchange)
        assert len(mock.calls) == 1, "sent more than once"

    error = caught.value
    assert type(error) is row.error
    assert row.words in error.words
    assert error.error_class == row.error_class
    assert error.status == (exchange.response.status if exchange.response else None)
    assert (error.method, error.endpoint) == (
        exchange.request.method,
        exchange.request.path.partition("?")[0],
    )
    assert error.stage == row.stage
    assert error.elapsed_s is not None


@pytest.mark.parametrize("row", [row for row in EVERY if _sends_an_object(row)], ids=_label)
def test_client_sends_what_was_recorded(row: Row) -> None:
    """Everything that the recorded request held goes out again, next to what we always send."""
    exchange = load_exchange(row.name, row.folder)
    sent = json.loads(_sent(row, exchange).body or b"")
    assert {key: sent.get(key) for key in exchange.request.json} == exchange.request.json


@pytest.mark.parametrize(
    ("name", "user", "password"),
    [
        ("auth-200", "alice", "secret"),
        ("401-wrong-credentials", "alice", "wrong"),
        ("401-unknown-user-txt2img", "bob", "secret"),
    ],
)
def test_credentials_go_out_before_anybody_asks(name: str, user: str, password: str) -> None:
    sent = _sent(ROWS[name], load_exchange(name))
    assert sent.headers["Authorization"] == basic(user, password)


def test_every_generation_asks_for_its_own_checkpoint_and_bears_a_task_id() -> None:
    exchange = load_exchange("txt2img-200")
    request = schemas.Txt2ImgRequest(
        prompt="a cat",
        steps=4,
        width=64,
        height=64,
        force_task_id="job-7",
        override_settings=schemas.OverrideSettings(
            sd_model_checkpoint="tinyA", sd_vae="soft.pt", CLIP_stop_at_last_layers=2
        ),
    )
    with responses.RequestsMock() as mock:
        replay(exchange, mock)
        WebUIClient(ADDRESS).txt2img(request)
        sent = json.loads(mock.calls[0].request.body or b"")
    assert sent["override_settings"] == {
        "sd_model_checkpoint": "tinyA",
        "sd_vae": "soft.pt",
        "CLIP_stop_at_last_layers": 2,
    }
    assert sent["force_task_id"] == "job-7"
    assert sent["override_settings_restore_afterwards"] is True
    assert (sent["send_images"], sent["save_images"]) == (True, False)


def _sent(row: Row, exchange: Exchange) -> requests.PreparedRequest:
    client = WebUIClient(ADDRESS, auth=exchange.request.basic_auth)
    with responses.RequestsMock() as mock:
        replay(exchange, mock)
        with pytest.raises(row.error) if row.error else nullcontext():
            row.call(client, exchange)
        (call,) = mock.calls
        request: requests.PreparedRequest = call.request
        return request
