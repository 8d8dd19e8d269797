"""One WebUI over HTTP: a method per endpoint, each returns a typed value or raises a `WebUIError`.

What it tells of itself is in `list_client`.

Nothing is sent that was not asked for. Only generation requests are repeated, by the policy of their stage and
only while the server refuses them for the moment (`retry`); nothing is remembered or decided here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter

from webui.drivers.a1111 import progress_schemas, schemas
from webui.drivers.a1111.answers import by_what_was_done, error_of
from webui.drivers.a1111.list_client import WebUILists
from webui.errors import (
    WebUIConnectionLostError,
    WebUIError,
    WebUITooFewPicturesError,
)
from webui.http.retry import (
    STAGE_RETRY_POLICIES,
    Policies,
    RetryCallback,
    RetryPolicy,
    apply_retry_policy,
    policy_of,
    retry_callback,
    run_with_policy,
)
from webui.work.pictures import Pictures
from webui.work.timeouts import DEFAULT_TIMEOUTS, Timeouts
from webui.work.unit import Request

T = TypeVar("T")

Payload = schemas.Txt2ImgRequest | schemas.Img2ImgRequest | schemas.ExtraSingleImageRequest
Answer = schemas.GenerationResponse | schemas.ExtraSingleImageResponse

_NOTHING = TypeAdapter(object)
_PROGRESS = TypeAdapter(progress_schemas.WireProgress)
_INTERNAL_PROGRESS = TypeAdapter(progress_schemas.InternalProgress)
_GENERATION = TypeAdapter(schemas.GenerationResponse)
_EXTRA_SINGLE_IMAGE = TypeAdapter(schemas.ExtraSingleImageResponse)


class WebUIClient(WebUILists):
    """Sends each request on a connection of its own, so threads may share a client."""

    def __init__(
        self,
        base_url: str,
        *,
        auth: tuple[str, str] | None = None,
        timeouts: Timeouts = DEFAULT_TIMEOUTS,
        policies: Policies = STAGE_RETRY_POLICIES,
        max_answer_bytes: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`base_url` like http://127.0.0.1:7860, a path prefix allowed; `auth` wins over one inside it.

        Raises ValueError if `base_url` is not an http(s) address.
        """
        super().__init__(
            base_url, auth=auth, timeouts=timeouts, max_answer_bytes=max_answer_bytes, clock=clock
        )
        self.policies = policies
        self._sleep = sleep

    # Generation: one at a time on the server, in order of arrival.

    def txt2img(
        self,
        request: schemas.Txt2ImgRequest,
        *,
        stage: str = "txt2img",
        policy: RetryPolicy | None = None,
        retry_callback: RetryCallback | None = retry_callback,
    ) -> schemas.GenerationResponse:
        return self.generate(request, stage=stage, policy=policy, retry_callback=retry_callback)

    def img2img(
        self,
        request: schemas.Img2ImgRequest,
        *,
        stage: str = "img2img",
        policy: RetryPolicy | None = None,
        retry_callback: RetryCallback | None = retry_callback,
    ) -> schemas.GenerationResponse:
        return self.generate(request, stage=stage, policy=policy, retry_callback=retry_callback)

    def extra_single_image(
        self,
        request: schemas.ExtraSingleImageRequest,
        *,
        stage: str = "upscale",
        policy: RetryPolicy | None = None,
        retry_callback: RetryCallback | None = retry_callback,
    ) -> schemas.ExtraSingleImageResponse:
        """Extras take no task id and do not show in the progress."""
        return self.generate(request, stage=stage, policy=policy, retry_callback=retry_callback)

    @overload
    def generate(
        self,
        payload: schemas.ExtraSingleImageRequest,
        *,
        stage: str,
        policy: RetryPolicy | None = None,
        retry_callback: RetryCallback | None = retry_callback,
    ) -> schemas.ExtraSingleImageResponse: ...

    @overload
    def generate(
        self,
        payload: schemas.Txt2ImgRequest | schemas.Img2ImgRequest,
        *,
        stage: str,
        policy: RetryPolicy | None = None,
        retry_callback: RetryCallback | None = retry_callback,
    ) -> schemas.GenerationResponse: ...

    def generate(
        self,
        payload: Payload,
        *,
        stage: str,
        policy: RetryPolicy | None = None,
        retry_callback: RetryCallback | None = retry_callback,
    ) -> Answer:
        """Sends to the endpoint that the payload is for, again as `policy` allows (default: the client's)."""
        return run_with_policy(
            lambda attempt, waited_s: self.send(payload, stage=stage),
            policy or policy_of(self.policies, stage),
            stage=stage,
            retry_callback=retry_callback,
            sleep=self._sleep,
        )

    def send(self, payload: Payload, *, stage: str) -> Answer:
        """The same in one POST that nobody repeats."""
        expected = 1 if isinstance(payload, schemas.ExtraSingleImageRequest) else payload.expected_pictures
        return self._generated(payload.endpoint, payload.wire(), expected, stage)[0]

    def send_request(self, request: Request) -> Pictures:
        """One POST that nobody repeats; its pictures, as many as were asked for, and what the answer tells of them."""
        answer, pictures = self._generated(request.endpoint, request.body, request.pictures, request.stage)
        return Pictures.of(pictures, answer.told_of(request.pictures))

    def _generated(
        self, endpoint: str, body: Mapping[str, Any], expected: int, stage: str
    ) -> tuple[Answer, Sequence[bytes]]:
        started = self._clock()
        if endpoint == schemas.ExtraSingleImageRequest.endpoint:
            upscaled = self._post(endpoint, body, _EXTRA_SINGLE_IMAGE, stage)
            return upscaled, (upscaled.image,)
        response = self._post(endpoint, body, _GENERATION, stage)
        pictures = response.pictures(expected)
        if len(pictures) < expected:
            raise WebUITooFewPicturesError(
                f"{len(pictures)} of {expected}",
                pictures=pictures,
                endpoint=endpoint,
                method="POST",
                stage=stage,
                status=200,
                elapsed_s=self._clock() - started,
                address=self.base_url,
            )
        return response, pictures

    apply_retry_policy = apply_retry_policy

    # While it runs.

    def progress(self, skip_current_image: bool = True) -> progress_schemas.WireProgress:
        params = {"skip_current_image": "true" if skip_current_image else "false"}
        return self.call(
            "GET", "/sdapi/v1/progress", _PROGRESS, params=params, timeout_s=self.timeouts.progress_s
        )

    def internal_progress(self, id_task: str) -> progress_schemas.InternalProgress:
        """Of one task; WebUIEndpointMissingError under --nowebui."""
        body = progress_schemas.InternalProgressRequest(id_task=id_task).wire()
        return self.call(
            "POST", "/internal/progress", _INTERNAL_PROGRESS, json=body, timeout_s=self.timeouts.progress_s
        )

    def ping(self) -> None:
        """The page's own sign of life, with or without the API; WebUIEndpointMissingError under --nowebui."""
        self.call("GET", "/internal/ping", _NOTHING, timeout_s=self.timeouts.progress_s)

    def has_page(self) -> bool:
        """Whether `/` answers with a page for a browser."""
        try:
            return self._answer("GET", "/", timeout_s=self.timeouts.progress_s).is_page
        except WebUIError:
            return False

    def interrupt(self) -> None:
        """Ends whatever runs now, whosever it is; its request then answers 200 with unfinished pictures."""
        self.call("POST", "/sdapi/v1/interrupt", _NOTHING, timeout_s=self.timeouts.progress_s)

    def skip(self) -> None:
        """Goes on with the next iteration of whatever runs now."""
        self.call("POST", "/sdapi/v1/skip", _NOTHING, timeout_s=self.timeouts.progress_s)

    # The end of the server; only with --api-server-stop, else WebUIEndpointMissingError.

    def server_kill(self) -> None:
        """Ends the process at once; it never answers, so a dropped connection is the success."""
        self._expect_drop("/sdapi/v1/server-kill")

    def server_restart(self) -> None:
        """Ends the process for its wrapper to start again; WebUINotOfferedError if it has no wrapper."""
        self._expect_drop("/sdapi/v1/server-restart")

    def server_stop(self) -> None:
        """Asks it to end after the requests that it has; under --nowebui it says yes and goes on."""
        self._answer("POST", "/sdapi/v1/server-stop")

    def _post(self, endpoint: str, body: Mapping[str, Any], answer_type: TypeAdapter[T], stage: str) -> T:
        try:
            return self.call(
                "POST", endpoint, answer_type, json=body, timeout_s=self.timeouts.generation_s, stage=stage
            )
        except WebUIError as error:
            knows = partial(self._knows, str(body.get("force_task_id") or ""))
            raise by_what_was_done(error, knows) from error.__cause__

    def _knows(self, task_id: str) -> bool | None:
        """Whether the WebUI has, or had, a request of this id; None where it cannot tell."""
        if not task_id:
            return None
        try:
            task = self.internal_progress(task_id)
        except WebUIError:
            return None
        if not task.lists_tasks:
            return None
        return task.active or task.queued or task.completed or bool(task.progress)

    judge = staticmethod(error_of)

    def _expect_drop(self, endpoint: str) -> None:
        try:
            self._answer("POST", endpoint)
        except WebUIConnectionLostError:
            return
