"""The picture in the making: fetched beside the request, shown while its job runs, gone with it."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from django.db import connections
from django.test import Client
from django.urls import reverse
from PIL import Image
from pytest_django import Settings

from jobs.lifecycle import EventType, JobStatus
from jobs.models import Runner
from jobs.queue.moves import move_job
from jobs.running.live_preview import preview_path
from jobs.supervising.reconcile import reconcile
from tests.factories import make_node, make_runner, make_running_job, make_user
from tests.integration.finished_jobs import show_preview
from tests.integration.scripted_runs import execute
from tests.integration.scripted_webui import (
    PATIENCE_S,
    SAMPLING,
    Act,
    Post,
    ScriptedKeeper,
    ScriptedWebUI,
    answered,
    drawn,
    says,
)
from webui.http.answer import HttpAnswer
from webui.models import Node

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def folders(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Looks that a person would wait a second for.
    monkeypatch.setattr("jobs.running.in_flight.LOOK_S", 0.1)
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_PREVIEW_DIR = tmp_path / "previews"


@pytest.fixture
def viewer(client: Client) -> Client:
    client.force_login(make_user("vera"))
    return client


def picture(colour: str, size: tuple[int, int] = (768, 512)) -> str:
    stream = io.BytesIO()
    Image.new("RGB", size, colour).save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


class PaintingWebUI(ScriptedWebUI):
    """Has a picture in the making, and remembers how it was asked about its progress."""

    def __init__(self, *script: Act) -> None:
        super().__init__(*script)
        self.current_image: str | None = None
        self.looks: list[str] = []
        self.active_task = ""

    def _answer(self, method: str, endpoint: str, **asked: Any) -> HttpAnswer:
        params: Mapping[str, str] = asked.get("params") or {}
        if endpoint == "/sdapi/v1/progress":
            self.looks.append("light" if params.get("skip_current_image") == "true" else "picture")
            if self.looks[-1] == "picture":
                return answered({"progress": 0.5, "state": self.state, "current_image": self.current_image})
        if endpoint == "/internal/progress" and self.active_task:
            body: Any = asked["json"]
            is_active = self.active_task in (body["id_task"], "any")
            return answered({"active": is_active, "queued": False, "completed": False})
        return super()._answer(method, endpoint, **asked)

    def paint(self, step: int, image: str | None, *, job: str = "task") -> None:
        self.current_image = image
        self.state = {**SAMPLING, "sampling_step": step, "job": job}


def until(condition: Callable[[], Any]) -> Any:
    """What the condition gave when it was true; asked in the thread of a request, so its connection ends here."""
    began_s = time.monotonic()
    try:
        while not (found := condition()):
            assert time.monotonic() - began_s < PATIENCE_S, "it never came"
            time.sleep(0.02)
        return found
    finally:
        connections.close_all()


def shown() -> int | None:
    """The number that pages are told."""
    return (Runner.objects.get().progress or {}).get("preview")


def start(*script: Act, **node: Any) -> tuple[Any, PaintingWebUI, ScriptedKeeper]:
    _, claimed = make_running_job(make_runner(make_node("alpha", **{"start_command": "webui.sh"} | node)))
    webui = PaintingWebUI(*script)
    return claimed, webui, ScriptedKeeper(webui)


def test_a_running_jobs_picture_is_shown_small_follows_its_steps_and_goes_with_the_job(
    viewer: Client,
) -> None:
    seen: dict[str, Any] = {}

    def painted(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        address = reverse("preview", args=[Node.objects.get().pk])
        assert viewer.get(address).status_code == 404
        webui.paint(10, picture("teal"))
        first = until(shown)
        answer = viewer.get(f"{address}?v={first}")
        seen["first"] = (answer.status_code, answer["Content-Type"], answer["Cache-Control"], answer.content)
        seen["type"] = answer["X-Content-Type-Options"]
        seen["other number"] = viewer.get(f"{address}?v=1")["Cache-Control"]
        webui.paint(20, picture("maroon"))
        second = until(lambda: (shown() or 0) > first)
        assert second
        seen["second"] = viewer.get(address).content
        return drawn(webui, post)

    claimed, webui, keeper = start(painted)
    job = execute(claimed, webui, keeper)
    assert job.status == JobStatus.COMPLETED
    status, content_type, cache, content = seen["first"]
    assert (status, content_type, seen["type"]) == (200, "image/webp", "nosniff")
    assert cache == "private, max-age=30"
    assert seen["other number"] == "no-store"
    with Image.open(io.BytesIO(content)) as image:
        assert image.size == (512, 341)
    assert content != seen["second"]
    assert not preview_path(job.node).exists()  # type: ignore[arg-type]
    assert viewer.get(reverse("preview", args=[job.node_id])).status_code == 404


def test_the_picture_is_asked_for_only_after_another_step() -> None:
    def stands_still_for_a_while(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        webui.paint(10, picture("teal"))
        # It is asked for beside the looks, and may come after them.
        until(lambda: "picture" in webui.looks)
        looks = len(webui.looks)
        until(lambda: len(webui.looks) >= looks + 4)
        return drawn(webui, post)

    claimed, webui, keeper = start(stands_still_for_a_while)
    execute(claimed, webui, keeper)
    assert webui.looks.count("picture") == 1


def test_another_pass_that_is_at_the_same_step_is_shown_too() -> None:
    numbers: list[int] = []

    def two_passes(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        webui.paint(10, picture("teal"))
        numbers.append(until(shown))
        webui.paint(10, picture("maroon"), job="scripts_img2img")
        numbers.append(until(lambda: (shown() or 0) > numbers[0]))
        return drawn(webui, post)

    claimed, webui, keeper = start(two_passes)
    execute(claimed, webui, keeper)
    assert webui.looks.count("picture") == len(numbers) == 2


def test_previews_can_be_turned_off(settings: Settings) -> None:
    settings.STABLENEW_PREVIEWS = False

    def watched(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        webui.paint(10, picture("teal"))
        until(lambda: webui.looks.count("light") >= 2)
        return drawn(webui, post)

    claimed, webui, keeper = start(watched)
    assert execute(claimed, webui, keeper).status == JobStatus.COMPLETED
    assert "picture" not in webui.looks


@pytest.mark.parametrize(
    "image",
    ["no base64!", base64.b64encode(b"no picture").decode(), picture("red", (1100, 1000)), None],
    ids=["no base64", "no picture", "too many pixels", "nothing yet"],
)
def test_a_broken_picture_does_a_job_no_harm(image: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.running.live_preview.MOST_PIXELS", 1_000_000)
    seen: list[int | None] = []

    def broken(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        webui.paint(10, image)
        until(lambda: "picture" in webui.looks)
        looks = len(webui.looks)
        until(lambda: len(webui.looks) > looks + 5)
        seen.append(shown())
        webui.paint(11, picture("teal"))
        seen.append(until(shown))
        return drawn(webui, post)

    claimed, webui, keeper = start(broken)
    job = execute(claimed, webui, keeper)
    assert (job.status, job.retry_count) == (JobStatus.COMPLETED, 0)
    assert seen[0] is None
    assert seen[1] is not None


@pytest.mark.parametrize(("active", "pictures"), [("any", 1), ("somebody else's", 0)])
def test_on_a_server_that_others_use_only_our_own_request_is_shown(active: str, pictures: int) -> None:
    def watched(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        webui.paint(10, picture("teal"))
        until(lambda: webui.looks.count("light") >= 2 and webui.looks.count("picture") >= pictures)
        return drawn(webui, post)

    claimed, webui, keeper = start(watched, start_command="")
    webui.active_task = active
    execute(claimed, webui, keeper)
    assert webui.looks.count("picture") == pictures


def test_a_failed_jobs_picture_goes_as_well() -> None:
    def painted(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        assert isinstance(webui, PaintingWebUI)
        webui.paint(10, picture("teal"))
        until(shown)
        return says(422)(webui, post)

    claimed, webui, keeper = start(painted)
    assert execute(claimed, webui, keeper).status == JobStatus.FAILED
    assert not preview_path(claimed.node).exists()


# --- who sees it -------------------------------------------------------------------------------------------


def test_a_preview_of_an_ended_job_is_not_served_even_if_its_file_is_left(viewer: Client) -> None:
    job, claimed = make_running_job()
    show_preview(claimed.runner, claimed, number=5)
    address = reverse("preview", args=[claimed.node_id])
    assert viewer.get(address).status_code == 200
    move_job(job.pk, JobStatus.COMPLETED, event=EventType.COMPLETED, run_token=claimed.run_token)
    assert preview_path(claimed.node).exists()
    answer = viewer.get(address, headers={"Accept": "image/avif,image/webp,*/*;q=0.8"})
    assert (answer.status_code, answer["Content-Type"], answer["Cache-Control"]) == (
        404,
        "image/svg+xml",
        "no-store",
    )
    assert viewer.get(reverse("preview", args=[4711])).status_code == 404


def test_a_lost_workers_preview_goes_when_its_job_is_judged() -> None:
    _, claimed = make_running_job()
    show_preview(claimed.runner, claimed)
    assert reconcile(claimed.runner, lambda owner: False) == 1
    assert not preview_path(claimed.node).exists()
