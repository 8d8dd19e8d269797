"""One WebUI as the rest of the program speaks to it: what its answers mean, in words of no server's own."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from webui.driver import Driver
from webui.drivers.a1111.catalog import read_catalog
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.inspection import inspect
from webui.drivers.a1111.listings import Memory
from webui.drivers.a1111.progress_schemas import InternalProgress, WireProgress
from webui.drivers.a1111.schemas import decode_image
from webui.errors import (
    WebUIAuthError,
    WebUIBadAnswerError,
    WebUIConnectionLostError,
    WebUIEndpointMissingError,
    WebUIError,
    WebUIGatewayError,
    WebUINotOfferedError,
    WebUINotSentError,
    WebUIRejectedError,
    WebUITimeoutError,
)
from webui.work.catalog import Catalog
from webui.work.told import ApiAnswer, Asked, ConnectionVerdict, Fate, MemoryUse, Progress
from webui.work.unit import Request

logger = logging.getLogger(__name__)

NO_API = (
    "{address} answers, but not with the API of a Stable Diffusion WebUI ({words}). "
    "If it is a WebUI, start it with --api."
)
API_OFF = (
    "{address} shows its page and has no API: it was started without --api. Add --api to its start command "
    "(COMMANDLINE_ARGS in webui-user), then restart it."
)
MOST_PREVIEW_CHARACTERS = 24 * 1024**2
"""Of base64; far above what a WebUI shows of a picture that it is making."""
LONGEST_ETA_S = 7 * 86_400.0


@dataclass(slots=True)
class A1111Server:
    """See `webui.driver.Server`."""

    driver: Driver
    client: WebUIClient

    @property
    def base_url(self) -> str:
        return self.client.base_url

    @base_url.setter
    def base_url(self, base_url: str) -> None:
        self.client.base_url = base_url

    @property
    def auth(self) -> tuple[str, str] | None:
        return self.client.auth

    @auth.setter
    def auth(self, auth: tuple[str, str] | None) -> None:
        self.client.auth = auth

    # --- a unit of work ----------------------------------------------------------------------------

    def send(self, request: Request) -> Sequence[bytes]:
        return self.client.send_request(request)

    def progress(self) -> Progress:
        return told_progress(self.client.progress())

    def preview(self) -> bytes | None:
        text = self.client.progress(skip_current_image=False).current_image
        if text and len(text) > MOST_PREVIEW_CHARACTERS:
            raise ValueError(f"a preview of {len(text)} characters is none")
        image = decode_image(text) if text else None
        return image if isinstance(image, bytes) else None

    def is_running(self, task_id: str, *, alone: bool) -> bool:
        """A server that cannot tell (`_task`) has a request that is surely ours only where it is ours alone."""
        try:
            task = self._task(task_id)
        except WebUIError as exc:
            logger.info("The WebUI does not say whose request runs: %s", exc)
            return False
        return alone if task is None else task.active

    def interrupt(self) -> None:
        self.client.interrupt()

    def end_leftover(self, task_id: str, *, alone: bool) -> bool:
        idle = self.progress().idle
        task = self._task(task_id)
        if task is None:
            if not idle and alone:
                self.client.interrupt()
            return idle
        if task.active and not idle:
            self.client.interrupt()
        # A request that ended in an error stays "active" for the WebUI; idle progress tells it from a running one,
        # and the caller's patience covers a checkpoint that is still being loaded.
        return not task.active and not task.queued

    def fate_of(self, task_id: str) -> Fate:
        """It keeps no result, and tells of the running request alone."""
        return Fate.UNKNOWN

    def _task(self, task_id: str) -> InternalProgress | None:
        """None of a server that knows no task ids: started with --nowebui (404), or one that ignores them."""
        try:
            task = self.client.internal_progress(task_id)
        except WebUIEndpointMissingError:
            return None
        return task if task.lists_tasks else None

    # --- the server itself -------------------------------------------------------------------------

    def ask(self) -> Asked:
        """One `GET /sdapi/v1/progress`."""
        try:
            self.client.progress()
        except WebUIAuthError:
            return Asked(ApiAnswer.WRONG_PASSWORD, self._wrong_password())
        except (WebUINotSentError, WebUIConnectionLostError) as exc:
            words = exc.words or type(exc).__name__
            return Asked(ApiAnswer.REFUSED, f"{self.base_url} does not answer: {words}.")
        except (WebUIEndpointMissingError, WebUIBadAnswerError, WebUIRejectedError) as exc:
            words = exc.words.strip()[:120] or f"HTTP {exc.status}"
            return Asked(ApiAnswer.NO_API, NO_API.format(address=self.base_url, words=words))
        except WebUITimeoutError:
            return Asked(ApiAnswer.SILENT, f"{self.base_url} accepts connections and does not answer.")
        except WebUIError as exc:
            words = exc.words.strip()[:200] or exc.code
            return Asked(ApiAnswer.UNCLEAR, f"{self.base_url} is not ready: {words}.")
        return Asked(ApiAnswer.API)

    def without_api(self) -> str:
        """Its page answers, and every question after the API is a 404: nobody gave it --api."""
        if self.client.has_page():
            return API_OFF.format(address=self.base_url)
        return ""

    def catalog(self) -> Catalog:
        return read_catalog(self.client)

    def refresh_lists(self) -> None:
        """A list that such a server cannot look up again is as it was at its start."""
        client = self.client
        for refresh in (
            client.refresh_checkpoints,
            client.refresh_vae,
            client.refresh_loras,
            client.refresh_embeddings,
        ):
            with suppress(WebUIEndpointMissingError):
                refresh()

    def loaded_checkpoint(self, *, even_if_busy: bool) -> str | None:
        try:
            if not even_if_busy and not self.progress().idle:
                return None
            return self.client.options().sd_model_checkpoint
        except WebUIError as exc:
            logger.debug("The checkpoint at %s is unknown: %s", self.base_url, exc)
            return None

    def memory(self) -> MemoryUse:
        try:
            return memory_told(self.client.memory())
        except WebUIError:
            return MemoryUse()

    def restart(self) -> str:
        """The question is put once, whatever comes of it."""
        try:
            self.client.server_restart()
        except (WebUINotOfferedError, WebUIEndpointMissingError):
            return (
                "It was not restarted: it offers no restart through its API. "
                "Start it with --api-server-stop from its webui script, or give the node a restart command."
            )
        except WebUIAuthError:
            return self._wrong_password()
        except (WebUINotSentError, WebUIGatewayError):
            # The second: a proxy says so when the connection behind it drops.
            return ""
        except WebUIError as exc:
            words = exc.words.strip()[:200] or str(exc)
            return f"It was not restarted: its API was asked, and it did not do it ({words}). Restart it by hand."
        return ""

    def inspect(self) -> ConnectionVerdict:
        return inspect(self.client, memory_words=lambda: self.memory().words())

    def _wrong_password(self) -> str:
        given = (
            "refuses our user and password"
            if self.client.auth
            else "wants a user and password, and none is set"
        )
        return (
            f"The WebUI at {self.base_url} {given}. Give those of its --api-auth: "
            "STABLENEW_WEBUI_AUTH=user:password, or `node add --auth user:password`."
        )


def told_progress(wire: WireProgress) -> Progress:
    """The WebUI's progress in our words."""
    state = wire.state
    fraction = min(max(wire.progress, 0.0), 1.0)
    return Progress(
        fraction=fraction,
        eta_s=min(max(wire.eta_relative, 0.0), LONGEST_ETA_S),
        idle=state.job_count == 0,
        picture=_counted(state.job_no),
        step=_counted(state.sampling_step),
        steps=_counted(state.sampling_steps),
        fingerprint=(state.job[:200], state.job_no, state.job_count, state.sampling_step, fraction),
        disturbed=state.interrupted or state.skipped,
    )


def _counted(told: int) -> int:
    """What no request can have is not shown."""
    return told if 0 <= told < 2**31 else 0


def memory_told(told: Memory) -> MemoryUse:
    """What of a server's own account we keep; it may tell a part only, and anything."""
    card = told.cuda.system if told.cuda is not None else None
    return MemoryUse(
        ram_bytes=_bytes(told.ram.used) if told.ram is not None else None,
        vram_used_bytes=_bytes(card.used) if card is not None else None,
        vram_total_bytes=_bytes(card.total) if card is not None else None,
    )


def _bytes(told: float | None) -> int | None:
    """What no machine has is no number."""
    return int(told) if told is not None and 0 <= told < 2**53 else None
