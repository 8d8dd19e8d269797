"""Requests of a bundle, sent to another node: only there, only alone, and only those that a job could have sent."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings as configured
from pytest_django import Settings

from diagnostics.bundle.building import build_bundle
from diagnostics.replay import reading
from diagnostics.replay.reading import ReplayRefusedError, read_replay
from diagnostics.replay.sending import REPLAYING, Replay, Replayed
from jobs.models import Job, QueueControl, Runner
from jobs.queue import control
from jobs.running.outputs import output_root
from tests.factories import make_job, make_node, make_pack, make_runner, submit
from tests.integration.console import Console
from tests.integration.failed_jobs import crash, fail_in_retry
from tests.integration.finished_jobs import add_picture, claim, complete
from tests.integration.scripted_webui import Post, ScriptedWebUI, answered, drawn, says
from tests.sketches import sketch
from webui.errors import WebUIHangError, WebUIServerError, WebUITimeoutError, WebUIWrongSizeError
from webui.http.answer import HttpAnswer
from webui.models import Node, NodeState
from webui.work.unit import body_sha256

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """The bundle with prompts of a job that failed with a server's error."""
    make_job()
    job = fail_in_retry(
        make_runner(), WebUIServerError("CUDA error", endpoint="/sdapi/v1/txt2img", status=500)
    )
    return bundle_file(job, tmp_path)


def bundle_file(job: Job, folder: Path, *, by: str = "ann") -> Path:
    path = folder / f"{job.pk}.zip"
    with build_bundle(job.pk, prompts_for=by).file as content:
        path.write_bytes(content.read())
    return path


def document_of(path: Path) -> dict[str, Any]:
    with zipfile.ZipFile(path) as archive:
        document: dict[str, Any] = json.loads(archive.read("replay.json"))
    return document


def replay(path: Path, webui: ScriptedWebUI, node: Node, folder: Path) -> list[Replayed]:
    waits: list[float] = []
    one = Replay(read_replay(path), node, "ann", folder, connect=webui.connect, sleep=waits.append)
    return one.run()


def other_node(**fields: Any) -> Node:
    return make_runner(make_node(**fields)).node


def test_a_failed_job_brings_the_request_that_failed_with_its_hash(file: Path) -> None:
    [request] = document_of(file)["requests"]
    assert request["sha256"] == body_sha256(request["body"])
    assert request["body"]["force_task_id"] == "task2", "that of its last attempt"
    assert (request["came"]["code"], request["pictures"]) == ("WEBUI_SERVER_ERROR", 1)


def test_a_completed_job_brings_one_request_for_each_unit_with_the_pictures_that_it_began_with(
    tmp_path: Path,
) -> None:
    document = json.dumps({"pipeline": {"upscale_enabled": True}, "upscale": {"upscaler": "Lanczos"}})
    submit(make_pack(document=document))
    claimed = claim(make_runner())
    row = add_picture(claimed)
    attempt = crash(claimed)
    type(attempt).objects.filter(pk=attempt.pk).update(stage="upscale", stage_index=1, image_index=0)
    job = Job.objects.get(pk=claimed.job_id)
    path = bundle_file(job, tmp_path)
    first, second = document_of(path)["requests"]
    assert (first["stage"], second["stage"]) == ("txt2img", "upscale")
    assert first["came"]["pictures"] == [row.sha256]
    assert second["body"]["image"]
    (output_root() / row.path).unlink()
    path.unlink()
    again = bundle_file(job, tmp_path)
    assert len(document_of(again)["requests"]) == 1


def test_the_same_request_goes_out_and_fails_alike(file: Path, tmp_path: Path) -> None:
    webui = ScriptedWebUI(says(500))
    [done] = replay(file, webui, other_node(), tmp_path / "came")
    [request] = document_of(file)["requests"]
    assert webui.posts[0].body == request["body"]
    assert (done.same_request, done.sha256) == (True, request["sha256"])
    assert (done.alike, done.there, done.here) == (True, "WEBUI_SERVER_ERROR", "WEBUI_SERVER_ERROR")


def test_a_picture_that_a_job_would_not_keep_fails_alike_and_is_there_to_be_looked_at(tmp_path: Path) -> None:
    make_job()
    error = WebUIWrongSizeError("64 x 64 pixels instead of 512 x 512", endpoint="/sdapi/v1/txt2img")
    file = bundle_file(fail_in_retry(make_runner(), error), tmp_path)
    content = io.BytesIO()
    sketch((64, 64), 1).save(content, "PNG")
    small = base64.b64encode(content.getvalue()).decode()
    [done] = replay(
        file, ScriptedWebUI(lambda webui, post: answered({"images": [small]})), other_node(), tmp_path
    )
    assert (done.alike, done.here) == (True, "WEBUI_WRONG_SIZE")
    [path] = map(Path, done.pictures)
    assert path.is_file()


def test_a_server_that_stands_still_fails_alike_where_it_does_not_answer_either(tmp_path: Path) -> None:
    make_job()
    error = WebUIHangError("its progress has not changed for 5 s", endpoint="/sdapi/v1/txt2img")
    file = bundle_file(fail_in_retry(make_runner(), error), tmp_path)

    def silent(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        raise WebUITimeoutError("no answer within 600 s")

    [done] = replay(file, ScriptedWebUI(silent), other_node(), tmp_path)
    assert (done.alike, done.there, done.here) == (True, "WEBUI_HANG", "WEBUI_TIMEOUT")


def test_pictures_that_come_are_written_to_a_folder(file: Path, tmp_path: Path) -> None:
    [done] = replay(file, ScriptedWebUI(drawn), other_node(), tmp_path / "came")
    assert (done.alike, done.here) == (False, "completed")
    [path] = map(Path, done.pictures)
    assert path.parent == tmp_path / "came"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert not configured.STABLENEW_OUTPUT_DIR.joinpath("came").exists()


def test_claims_rest_while_a_request_is_replayed_and_go_on_afterwards(file: Path, tmp_path: Path) -> None:
    node = other_node()
    seen: list[bool] = []

    class Watched(ScriptedWebUI):
        def connect(self, node: Node, **_: Any) -> Any:
            seen.append(QueueControl.objects.get().paused)
            return super().connect(node)

    replay(file, Watched(drawn), node, tmp_path)
    assert seen == [True]
    assert not QueueControl.objects.get().paused
    control.pause(by="bob", reason="lunch")
    replay(file, Watched(drawn), node, tmp_path)
    assert QueueControl.objects.get().pause_reason == "lunch", "a pause of somebody's stays"


def test_one_replay_at_a_time_because_its_end_ends_the_pause(file: Path, tmp_path: Path) -> None:
    node = other_node()
    control.pause(by="bob", reason=f"{REPLAYING} on {node.name}; the queue goes on by itself afterwards.")
    webui = ScriptedWebUI(drawn)
    with pytest.raises(ReplayRefusedError, match="Another replay"):
        replay(file, webui, node, tmp_path)
    assert webui.posts == []
    assert QueueControl.objects.get().paused


def _running(node: Node) -> None:
    make_job()
    claim(Runner.objects.get(node=node))


def _not_ready(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.STARTING)


def _leftover(node: Node) -> None:
    Runner.objects.filter(node=node).update(must_quiet=True)


def _wished(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(wish="restart")


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (_running, "A job runs on"),
        (_not_ready, "is starting, not ready"),
        (_leftover, "An earlier request may still run"),
        (_wished, "asked other to stop or restart"),
    ],
)
def test_a_node_that_is_not_free_is_left_alone(
    file: Path, tmp_path: Path, make: Callable[[Node], None], words: str
) -> None:
    node = other_node(name="other")
    make(node)
    webui = ScriptedWebUI(drawn)
    with pytest.raises(ReplayRefusedError, match=words):
        replay(file, webui, node, tmp_path)
    assert webui.posts == []
    assert not QueueControl.objects.get().paused


def changed(path: Path, change: Callable[[dict[str, Any]], None]) -> Path:
    document = document_of(path)
    change(document)
    out = path.with_suffix(".json")
    out.write_text(json.dumps(document))
    return out


def test_a_changed_file_is_told_by_its_hash(file: Path, tmp_path: Path) -> None:
    path = changed(file, lambda document: document["requests"][0]["body"].update(seed=1))
    [done] = replay(path, ScriptedWebUI(says(500)), other_node(), tmp_path)
    assert not done.same_request


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda d: d.update(driver="easel"), "servers of kind 'easel'"),
        (
            lambda d: d["requests"][0].update(endpoint="http://10.0.0.1/x"),
            "a request that is not sent: it goes to",
        ),
        (lambda d: d["requests"][0]["body"].update(script_name="x"), "script_name"),
        (lambda d: d.update(requests=[]), "requests"),
        (lambda d: d.update(requests=d["requests"] * 501), "requests"),
        (lambda d: d.update(format="other"), "format"),
        (lambda d: d.update(surprise=1), "surprise"),
        (lambda d: d["requests"][0].update(sha256="../../etc"), "sha256"),
    ],
)
def test_a_file_that_is_not_as_ours_is_refused_before_anything_is_sent(
    file: Path, tmp_path: Path, change: Callable[[dict[str, Any]], None], words: str
) -> None:
    path = changed(file, change)
    webui = ScriptedWebUI(drawn)
    with pytest.raises(ReplayRefusedError, match=words):
        replay(path, webui, other_node(), tmp_path)
    assert webui.posts == []


def zip_of(path: Path, members: dict[str, bytes]) -> Path:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    path.write_bytes(buffer.getvalue())
    return path


def test_hostile_zips_are_refused_and_unpack_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_BYTES", 100_000)
    deep = b"[" * 50_000 + b"]" * 50_000
    files = {
        "larger than": zip_of(tmp_path / "bomb.zip", {"replay.json": b" " * 10_000_000}),
        "more files than": zip_of(tmp_path / "many.zip", {f"{n}": b"" for n in range(1_001)}),
        "has no replay.json": zip_of(
            tmp_path / "up.zip", {"../../replay.json": b"{}", "/replay.json": b"{}"}
        ),
        "no replay.json of": zip_of(tmp_path / "deep.zip", {"replay.json": deep}),
        "cannot be read": tmp_path / "nothing.zip",
    }
    before = set(tmp_path.rglob("*"))
    for words, path in files.items():
        with pytest.raises(ReplayRefusedError, match=words):
            read_replay(path)
    assert set(tmp_path.rglob("*")) == before


def test_the_command_says_what_is_wrong_in_one_sentence(file: Path, console: Console, tmp_path: Path) -> None:
    assert console.run("jobs", "replay", file, "--node", "nowhere") == 1
    assert "There is no node 'nowhere'" in console.err
    node = other_node()
    plain = tmp_path / "plain.zip"
    make_job()
    job = complete(Runner.objects.get(node=node))
    with build_bundle(job.pk).file as content:
        plain.write_bytes(content.read())
    assert console.run("jobs", "replay", plain, "--node", node.name) == 1
    assert "only a bundle with prompts has one" in console.err
