"""One WebUI over HTTP: a method per endpoint, each returns a typed value or raises a `WebUIError`.

Nothing is sent that was not asked for. Only generation requests are repeated, by the policy of their stage and
only while the server refuses them for the moment (`retry`); nothing is remembered or decided here.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar, overload

from pydantic import TypeAdapter

from webui.drivers.a1111 import listings, schemas
from webui.drivers.a1111.answers import by_what_was_done, error_of
from webui.drivers.a1111.proof import problem_of
from webui.errors import (
    WebUIConnectionLostError,
    WebUIError,
    WebUITooFewPicturesError,
)
from webui.http.connection import WebUIConnection
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
_SD_MODELS = TypeAdapter(list[listings.SdModel])
_SD_VAES = TypeAdapter(list[listings.SdVae])
_SD_MODULES = TypeAdapter(list[listings.SdModule])
_SAMPLERS = TypeAdapter(list[listings.ListedSampler])
_SCHEDULERS = TypeAdapter(list[listings.Scheduler])
_UPSCALERS = TypeAdapter(list[listings.Upscaler])
_LORAS = TypeAdapter(list[listings.Lora])
_EMBEDDINGS = TypeAdapter(listings.Embeddings)
_OPTIONS = TypeAdapter(listings.ServerOptions)
_MEMORY = TypeAdapter(listings.Memory)
_CMD_FLAGS = TypeAdapter(listings.CmdFlags)
_PROGRESS = TypeAdapter(schemas.WireProgress)
_INTERNAL_PROGRESS = TypeAdapter(schemas.InternalProgress)
_GENERATION = TypeAdapter(schemas.GenerationResponse)
_EXTRA_SINGLE_IMAGE = TypeAdapter(schemas.ExtraSingleImageResponse)


class WebUIClient(WebUIConnection):
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
        """One POST that nobody repeats; its pictures, proved to be what was asked for, and what it tells of them."""
        answer, pictures = self._generated(request.endpoint, request.body, request.pictures, request.stage)
        problem = problem_of(request, answer, pictures)
        if problem is not None:
            problem.endpoint, problem.stage = request.endpoint, request.stage
            problem.method, problem.status = "POST", 200
            raise problem
        told = answer.told_of(request.pictures) if isinstance(answer, schemas.GenerationResponse) else ()
        return Pictures.of(pictures, told)

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

    def progress(self, skip_current_image: bool = True) -> schemas.WireProgress:
        params = {"skip_current_image": "true" if skip_current_image else "false"}
        return self.call(
            "GET", "/sdapi/v1/progress", _PROGRESS, params=params, timeout_s=self.timeouts.progress_s
        )

    def internal_progress(self, id_task: str) -> schemas.InternalProgress:
        """Of one task; WebUIEndpointMissingError under --nowebui."""
        body = schemas.InternalProgressRequest(id_task=id_task).wire()
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

    # Settings and lists.

    def options(self) -> listings.ServerOptions:
        return self.call("GET", "/sdapi/v1/options", _OPTIONS)

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Changes them for everybody and for good; a checkpoint belongs in `override_settings` instead."""
        self.call(
            "POST",
            "/sdapi/v1/options",
            _NOTHING,
            json=dict(options),
            timeout_s=self.timeouts.queued_s,
        )

    def sd_models(self) -> list[listings.SdModel]:
        return self.call("GET", "/sdapi/v1/sd-models", _SD_MODELS)

    def sd_vae(self) -> list[listings.SdVae]:
        """Not on Forge, which has `sd_modules` instead."""
        return self.call("GET", "/sdapi/v1/sd-vae", _SD_VAES)

    def sd_modules(self) -> list[listings.SdModule]:
        """Only on Forge."""
        return self.call("GET", "/sdapi/v1/sd-modules", _SD_MODULES)

    def samplers(self) -> list[listings.ListedSampler]:
        return self.call("GET", "/sdapi/v1/samplers", _SAMPLERS)

    def schedulers(self) -> list[listings.Scheduler]:
        return self.call("GET", "/sdapi/v1/schedulers", _SCHEDULERS)

    def upscalers(self) -> list[listings.Upscaler]:
        return self.call("GET", "/sdapi/v1/upscalers", _UPSCALERS)

    def loras(self) -> list[listings.Lora]:
        return self.call("GET", "/sdapi/v1/loras", _LORAS)

    def embeddings(self) -> listings.Embeddings:
        return self.call("GET", "/sdapi/v1/embeddings", _EMBEDDINGS)

    def memory(self) -> listings.Memory:
        return self.call("GET", "/sdapi/v1/memory", _MEMORY)

    def cmd_flags(self) -> listings.CmdFlags:
        return self.call("GET", "/sdapi/v1/cmd-flags", _CMD_FLAGS)

    # Look at the disk again; these wait for the running request.

    def refresh_checkpoints(self) -> None:
        self._refresh("refresh-checkpoints")

    def refresh_vae(self) -> None:
        self._refresh("refresh-vae")

    def refresh_embeddings(self) -> None:
        self._refresh("refresh-embeddings")

    def refresh_loras(self) -> None:
        self._refresh("refresh-loras")

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

    def _refresh(self, name: str) -> None:
        self.call("POST", f"/sdapi/v1/{name}", _NOTHING, timeout_s=self.timeouts.queued_s)

    def _expect_drop(self, endpoint: str) -> None:
        try:
            self._answer("POST", endpoint)
        except WebUIConnectionLostError:
            return
