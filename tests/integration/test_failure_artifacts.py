"""What a failure leaves on disk: the shape of the request, the last words of the boot, the first pair for good."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pytest
from pytest_django import Settings

from tests.wire_requests import request_of_payload
from webui.drivers.a1111 import schemas
from webui.errors import WebUIConnectionLostError, WebUIServerError
from webui.evidence.failure_artifacts import FailureEvidence
from webui.evidence.redaction import redact_text, secrets_of
from webui.models import Node
from webui.nodes.adding import add_node
from webui.processes.boot_logs import boot_directory

pytestmark = pytest.mark.django_db

PROMPT = "a marvelous castle"
REQUEST = request_of_payload(
    schemas.Txt2ImgRequest(
        prompt=PROMPT,
        steps=20,
        width=64,
        height=64,
        force_task_id="job-7",
        sampler_name="Euler a",
        override_settings=schemas.OverrideSettings(),
    )
)
ERROR = WebUIServerError(
    f"cannot draw {PROMPT}", endpoint="/sdapi/v1/txt2img", stage="txt2img", status=500, error_class="KeyError"
)
NAMES = (
    "stage_failure_payload.json",
    "webui_tail.log",
    "attempt-1/stage_failure_payload.json",
    "attempt-1/webui_tail.log",
)


@pytest.fixture
def node(settings: Settings, tmp_path: Path) -> Node:
    settings.STABLENEW_LOG_DIR = tmp_path / "logs"
    node = add_node("gpu", "http://renderbox:7860", start_command="./webui.sh", api_auth="mira:hush-hush")
    node.generation = 3
    node.log_directory = str(
        log(node, 3, stdout="ready\n", stderr=f"Traceback of {PROMPT}\nlast line of boot 3\n")
    )
    node.save()
    return node


def log(node: Node, generation: int, **streams: str) -> Path:
    folder = boot_directory(node.name, generation)
    folder.mkdir(parents=True)
    for name, text in streams.items():
        (folder / f"{name}.log").write_text(text)
    return folder


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    """As a run makes it before its first request."""
    folder = tmp_path / "outputs" / "7"
    folder.mkdir(parents=True)
    return folder


def write(run_dir: Path, node: Node, attempt: int = 1, generation: int | None = None) -> tuple[Path, ...]:
    return FailureEvidence(REQUEST, run_dir, node.pk).write(ERROR, attempt=attempt, generation=generation)


def test_first_failure_leaves_its_pair_twice(run_dir: Path, node: Node) -> None:
    assert write(run_dir, node) == tuple(run_dir / name for name in NAMES)
    payload, tail, first_payload, first_tail = (run_dir / name for name in NAMES)
    assert payload.read_text() == first_payload.read_text()
    assert tail.read_text() == first_tail.read_text()


def test_payload_file_tells_everything_but_the_text(run_dir: Path, node: Node) -> None:
    write(run_dir, node)
    text = (run_dir / NAMES[0]).read_text()
    document = json.loads(text)
    assert {name: document[name] for name in ("stage", "attempt", "endpoint")} == {
        "stage": "txt2img",
        "attempt": 1,
        "endpoint": "/sdapi/v1/txt2img",
    }
    assert document["error"] == {
        "code": "WEBUI_SERVER_ERROR",
        "type": "WebUIServerError",
        "words": "cannot draw [removed]",
        "endpoint": "/sdapi/v1/txt2img",
        "stage": "txt2img",
        "status": 500,
        "error_class": "KeyError",
    }
    assert document["payload"]["steps"] == 20
    assert document["payload"]["sampler_name"] == "Euler a"
    assert document["payload"]["prompt"]["length"] == len(PROMPT)
    assert "castle" not in text


def test_password_of_the_node_is_removed_in_every_form_that_an_address_has(node: Node) -> None:
    node.api_auth = "mira:hush/hush&co"
    node.save()
    for said in ("hush/hush&co", "a=1&p=hush%2Fhush%26co", "http://mira:hush%2Fhush%26co@renderbox:7860"):
        assert "hush" not in redact_text(said, secrets_of(node_id=node.pk))


def test_tail_has_both_streams_of_the_boot_and_no_prompt(run_dir: Path, node: Node) -> None:
    write(run_dir, node)
    assert (run_dir / NAMES[1]).read_text() == (
        "==> stdout <==\nready\n==> stderr <==\nTraceback of [removed]\nlast line of boot 3\n"
    )


def test_tail_is_two_hundred_lines_of_each_stream(run_dir: Path, node: Node) -> None:
    lines = "".join(f"line {number}\n" for number in range(1000))
    (Path(node.log_directory) / "stdout.log").write_text(lines)
    write(run_dir, node)
    tail = (run_dir / NAMES[1]).read_text().splitlines()
    assert [line for line in tail if line.startswith("line")] == [
        f"line {number}" for number in range(800, 1000)
    ]


def test_credentials_and_host_of_the_node_go_from_the_tail(run_dir: Path, node: Node) -> None:
    (Path(node.log_directory) / "stdout.log").write_text("http://renderbox:7860 for mira with hush-hush\n")
    write(run_dir, node)
    assert "http://[removed]:7860 for [removed] with [removed]\n" in (run_dir / NAMES[1]).read_text()


def test_tail_is_of_the_boot_that_died_though_the_next_has_begun(run_dir: Path, node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(
        generation=4, log_directory=str(log(node, 4, stdout="starting anew\n"))
    )
    write(run_dir, node, generation=3)
    tail = (run_dir / NAMES[1]).read_text()
    assert "last line of boot 3" in tail
    assert "anew" not in tail


def test_second_failure_overwrites_the_newest_pair_only(run_dir: Path, node: Node) -> None:
    write(run_dir, node)
    (Path(node.log_directory) / "stdout.log").write_text("the second time\n")
    assert write(run_dir, node, attempt=2) == tuple(run_dir / name for name in NAMES[:2])
    attempts = [json.loads((run_dir / name).read_text())["attempt"] for name in (NAMES[0], NAMES[2])]
    assert attempts == [2, 1]
    assert "second time" in (run_dir / NAMES[1]).read_text()
    assert "second time" not in (run_dir / NAMES[3]).read_text()
    assert FailureEvidence(REQUEST, run_dir, node.pk).paths == tuple(run_dir / name for name in NAMES)


@pytest.mark.parametrize("attached", [True, False], ids=["attached server", "no such node"])
def test_placeholder_stands_where_nothing_was_captured(run_dir: Path, node: Node, attached: bool) -> None:
    Node.objects.filter(pk=node.pk).update(log_directory="")
    evidence = FailureEvidence(REQUEST, run_dir, node.pk if attached else 9999)
    paths = evidence.write(ERROR, attempt=1)
    assert len(paths) == 4
    assert "(no output of the server was captured)" in (run_dir / NAMES[1]).read_text()


def test_folder_that_cannot_be_made_costs_the_evidence_only(
    tmp_path: Path, node: Node, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("no folder")
    caplog.set_level(logging.WARNING)
    assert write(tmp_path / "file" / "7", node) == ()
    assert [record.event for record in caplog.records] == ["failure.evidence_lost"] * 4  # type: ignore[attr-defined]


def test_full_disk_keeps_what_was_there(run_dir: Path, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    write(run_dir, node)
    before = {name: (run_dir / name).read_text() for name in NAMES}

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert write(run_dir, node, attempt=2) == ()
    assert {name: (run_dir / name).read_text() for name in NAMES} == before
    assert sorted(str(path.relative_to(run_dir)) for path in run_dir.rglob("*") if path.is_file()) == sorted(
        NAMES
    )


def test_error_without_an_answer_is_told_as_well(run_dir: Path, node: Node) -> None:
    error = WebUIConnectionLostError("reset", endpoint="/sdapi/v1/txt2img")
    FailureEvidence(REQUEST, run_dir, node.pk).write(error, attempt=1)
    assert json.loads((run_dir / NAMES[0]).read_text())["error"]["code"] == "WEBUI_CONNECTION_LOST"
