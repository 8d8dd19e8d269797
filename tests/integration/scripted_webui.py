"""A WebUI and a keeper that do what a test's script says: no process and no socket, the real client in front.

webui = ScriptedWebUI(says(500), drawn)
keeper = ScriptedKeeper(webui)
job = execute(claim, webui, keeper)
"""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.utils import timezone
from PIL import Image, PngImagePlugin

from tests.sketches import sketch
from webui.books import surely
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.server import A1111Server
from webui.errors import WebUIConnectionLostError, WebUIEndpointMissingError, WebUIError, WebUINotSentError
from webui.http.answer import HttpAnswer
from webui.models import Node, NodeState

#: Longer than anything here waits on purpose.
PATIENCE_S = 120.0
IDLE = {"job": "", "job_no": 0, "job_count": 0, "sampling_step": 0, "sampling_steps": 0}
SAMPLING = {"job": "task", "job_no": 0, "job_count": 1, "sampling_step": 1, "sampling_steps": 20}


@dataclass(frozen=True, slots=True)
class Post:
    """One generation request as it arrived; `number` counts from 1."""

    number: int
    path: str
    body: dict[str, Any]

    @property
    def text(self) -> str:
        """For comparison: the same text means the same bytes."""
        return json.dumps(self.body, sort_keys=True)


Act = Callable[["ScriptedWebUI", Post], HttpAnswer]


class ScriptedWebUI(WebUIClient):
    """Answers the n-th generation request by the n-th act of its script, and draws where the script has ended."""

    def __init__(self, *script: Act) -> None:
        super().__init__("http://127.0.0.1:9")
        self.script = script
        self.posts: list[Post] = []
        self.lists: dict[str, Any] = {}
        """By the last part of the path; what is not here it does not have."""
        self.lists_read = 0
        self.state: dict[str, Any] = dict(IDLE)
        self.is_gone = False
        self.restarted = threading.Event()

    def connect(self, node: Node, **_: Any) -> A1111Server:
        """What a run calls to get its server."""
        self.base_url = node.base_url
        return A1111Server(DRIVER, self)

    def _answer(
        self,
        method: str,
        endpoint: str,
        *,
        json: object = None,
        params: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        stage: str | None = None,
    ) -> HttpAnswer:
        try:
            answer = self._act(endpoint, json)
            if answer.status != 200:
                raise self.judge(answer, json, generates=bool(stage))
        except WebUIError as error:
            error.method, error.endpoint, error.stage, error.address = method, endpoint, stage, self.base_url
            raise
        return answer

    def _act(self, endpoint: str, body: object) -> HttpAnswer:
        if self.is_gone:
            raise WebUINotSentError("Connection refused")
        if endpoint == "/sdapi/v1/progress":
            return answered({"progress": 0.0, "state": self.state})
        if endpoint.startswith("/internal/"):
            raise WebUIEndpointMissingError("Not Found", status=404)
        if endpoint == "/sdapi/v1/interrupt":
            return answered({})
        if body is None:
            return self._list(endpoint.rpartition("/")[2])
        assert isinstance(body, dict)
        post = Post(len(self.posts) + 1, endpoint.rpartition("/")[2], body)
        self.posts.append(post)
        self.state = dict(IDLE)
        act = self.script[post.number - 1] if post.number <= len(self.script) else drawn
        return act(self, post)

    def _list(self, name: str) -> HttpAnswer:
        self.lists_read += 1
        if name not in self.lists:
            raise WebUIEndpointMissingError("Not Found", status=404)
        return answered(self.lists[name])


# --- acts ----------------------------------------------------------------------------------------------


def answered(document: object, status: int = 200) -> HttpAnswer:
    return HttpAnswer(status, "application/json", json.dumps(document).encode(), elapsed_s=0.01)


def drawn(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """As many pictures as were asked for, each of a colour of its own."""
    return answered(_finished(post))


def says(code: int, error: str = "RuntimeError", words: str = "simulated failure") -> Act:
    """An error's answer as the web framework gives it."""
    return lambda webui, post: answered({"error": error, "detail": "", "errors": words}, code)


def lost(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    raise WebUIConnectionLostError("Remote end closed connection without response")


def refused(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    raise WebUINotSentError("Connection refused")


def fewer(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    document = _finished(post)
    document["images"].pop()
    return answered(document)


def cut(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """Base64 that does not decode."""
    return _with_first(post, lambda text: text[: len(text) // 2 // 4 * 4 + 1])


def torn(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """Sound base64 of half a file."""
    return _with_first(post, lambda text: _encoded(base64.b64decode(text)[:60]))


def half_json(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    whole = answered(_finished(post))
    return HttpAnswer(200, whole.content_type, whole.body[: len(whole.body) // 2], whole.elapsed_s)


def interrupted(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """Somebody pressed Interrupt in the WebUI: 200, and only the progress tells."""
    webui.state = {**IDLE, "interrupted": True}
    return answered(_finished(post))


def stands_still(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """Never answers, in the middle of a step; the restart ends it."""
    webui.state = dict(SAMPLING)
    webui.restarted.wait(PATIENCE_S)
    raise WebUIConnectionLostError("Connection reset by peer")


def vanishes(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """Nobody listens any more, and yet the connection of the request does not break."""
    webui.is_gone = True
    webui.restarted.wait(PATIENCE_S)
    raise WebUIConnectionLostError("Connection reset by peer")


def dies(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
    """The connection breaks, and afterwards nobody listens until the restart."""
    webui.is_gone = True
    raise WebUIConnectionLostError("Connection reset by peer")


def after(first: Callable[[], object], act: Act = drawn) -> Act:
    """`act`, after something else has happened."""

    def both(webui: ScriptedWebUI, post: Post) -> HttpAnswer:
        first()
        return act(webui, post)

    return both


def _with_first(post: Post, change: Callable[[str], str]) -> HttpAnswer:
    document = _finished(post)
    if "image" in document:
        document["image"] = change(document["image"])
    else:
        document["images"][0] = change(document["images"][0])
    return answered(document)


def _finished(post: Post) -> dict[str, Any]:
    if post.path == "extra-single-image":
        return {"image": _picture(post, 0), "html_info": ""}
    seed, count = int(post.body["seed"]), int(post.body.get("n_iter", 1))
    name = str(post.body["override_settings"].get("sd_model_checkpoint", "any")).partition(".")[0]
    info = {"seed": seed, "sd_model_name": name, "index_of_first_image": 0}
    pictures = [_picture(post, index) for index in range(count)]
    return {"images": pictures, "parameters": {}, "info": json.dumps(info)}


def _picture(post: Post, index: int) -> str:
    """Its shade counts posts and pictures, so that no two are alike."""
    words = PngImagePlugin.PngInfo()
    words.add_text("parameters", f"a picture\nSteps: 2, Seed: {index}")
    file = io.BytesIO()
    sketch(_size(post), post.number, other=index).save(file, "PNG", pnginfo=words)
    return _encoded(file.getvalue())


def _size(post: Post) -> tuple[int, int]:
    """As asked for; extras multiply that of the picture that they got."""
    if post.path != "extra-single-image":
        return int(post.body["width"]), int(post.body["height"])
    with Image.open(io.BytesIO(base64.b64decode(post.body["image"]))) as given:
        factor = float(post.body.get("upscaling_resize") or 1)
        return round(given.width * factor), round(given.height * factor)


def _encoded(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


# --- the keeper ----------------------------------------------------------------------------------------


class ScriptedKeeper:
    """Restarts at once, or `fails`, or after `meanwhile`: something happens, and then nothing more is ready.

    `generations` are those that somebody asked to be replaced.
    """

    def __init__(
        self, webui: ScriptedWebUI, *, fails: bool = False, meanwhile: Callable[[], object] | None = None
    ) -> None:
        self.webui = webui
        self.fails = fails
        self.meanwhile = meanwhile
        self.generations: list[int] = []

    def __call__(
        self, node_id: int, *, by: str, reason: str, generation: int, waiting: Callable[[], bool]
    ) -> int:
        self.generations.append(generation)
        if self.meanwhile is not None:
            self.meanwhile()
            return self._wait(waiting)
        if self.fails:
            return 0
        ready = {"state": NodeState.READY, "generation": generation + 1, "last_ready_at": timezone.now()}
        surely(Node.objects.filter(pk=node_id).update, **ready)
        self.webui.is_gone, self.webui.state = False, dict(IDLE)
        self.webui.restarted.set()
        return generation + 1

    def _wait(self, waiting: Callable[[], bool]) -> int:
        """Not ready for as long as anybody waits."""
        began_s = time.monotonic()
        while waiting():
            assert time.monotonic() - began_s < PATIENCE_S, "nobody stopped the waiting"
            time.sleep(0.02)
        return 0
