"""How a recorded request goes through the client, what is looked at in its answer, and the shapes of rows."""

from collections.abc import Callable
from dataclasses import dataclass, field
from io import BytesIO
from typing import Any

from PIL import Image
from pydantic import TypeAdapter

from tests.contract.recordings import Exchange
from webui import errors
from webui.drivers.a1111 import progress_schemas, schemas
from webui.drivers.a1111.client import WebUIClient

Call = Callable[[WebUIClient, Exchange], Any]
Shows = Callable[[Any], object]

TASK_ID = "recorded"


@dataclass(frozen=True)
class Row:
    """`shows(answer) == expected`, or `error` with `words` within its words and `error_class` as given."""

    name: str
    call: Call
    shows: Shows = lambda answer: answer
    expected: object = None
    error: type[errors.WebUIError] | None = None
    words: str = ""
    error_class: str | None = None
    stage: str | None = None
    folder: str = field(default="exchanges")

    @property
    def reason(self) -> str:
        """Why no call of ours makes this request; the row then holds how the client reads the answer. Or ""."""
        return UNASKED.get(self.call, "")


# How a recorded request goes through the client. A request that our own types refuse goes round them.


def _generation(exchange: Exchange, **defaults: object) -> dict[str, Any]:
    """The recorded fields over those that we always send; the WebUI's defaults where we must name one."""
    always = {"prompt": "", "steps": 50, "width": 512, "height": 512}
    ours = {"override_settings": {}, "force_task_id": TASK_ID}
    return {**always, **ours, **defaults, **(exchange.request.json or {})}


def txt2img(client: WebUIClient, exchange: Exchange) -> schemas.GenerationResponse:
    return client.txt2img(schemas.Txt2ImgRequest.model_validate(_generation(exchange)))


def img2img(client: WebUIClient, exchange: Exchange) -> schemas.GenerationResponse:
    return client.img2img(schemas.Img2ImgRequest.model_validate(_generation(exchange)))


def extra(client: WebUIClient, exchange: Exchange) -> schemas.ExtraSingleImageResponse:
    return client.extra_single_image(schemas.ExtraSingleImageRequest.model_validate(exchange.request.json))


def _past_our_types(answer_type: TypeAdapter[Any]) -> Call:
    def call(client: WebUIClient, exchange: Exchange) -> Any:
        sent = exchange.request
        path = sent.path.partition("?")[0]
        return client.call(sent.method, path, answer_type, json=sent.json)

    return call


raw = _past_our_types(TypeAdapter(object))
raw_generation = _past_our_types(TypeAdapter(schemas.GenerationResponse))
raw_extra = _past_our_types(TypeAdapter(schemas.ExtraSingleImageResponse))

UNASKED: dict[Call, str] = {
    raw: "no method of the client asks for this",
    raw_generation: "our types refuse these fields before they are sent, or send them in their right type",
    raw_extra: "our types refuse these fields before they are sent",
}


def progress(client: WebUIClient, exchange: Exchange) -> progress_schemas.WireProgress:
    return client.progress(skip_current_image="skip_current_image=true" in exchange.request.path)


def internal_progress(client: WebUIClient, exchange: Exchange) -> progress_schemas.InternalProgress:
    return client.internal_progress(exchange.request.json["id_task"])


def set_options(client: WebUIClient, exchange: Exchange) -> None:
    client.set_options(exchange.request.json)


def plain(method: Callable[[WebUIClient], Any]) -> Call:
    """A client method that takes nothing."""
    return lambda client, _exchange: method(client)


# What a reader of the answer looks at.


def size(picture: bytes) -> tuple[int, int]:
    with Image.open(BytesIO(picture)) as image:
        return image.size


def pictures(answer: schemas.GenerationResponse) -> object:
    """How many pictures came in all, the sizes of those that count, the first seed, the checkpoint."""
    count = len(answer.info.all_seeds)
    return (
        len(answer.images),
        [size(picture) for picture in answer.pictures(count)],
        answer.info.seed,
        answer.info.sd_model_name,
    )


def upscaled(answer: schemas.ExtraSingleImageResponse) -> object:
    return size(answer.image)


def moving(answer: progress_schemas.WireProgress) -> object:
    return (
        answer.state.job_count == 0,
        round(answer.progress, 2),
        answer.state.interrupted,
        answer.current_image is not None,
    )


def task(answer: progress_schemas.InternalProgress) -> object:
    return answer.active, answer.queued, answer.completed, answer.textinfo


def names(answer: list[Any]) -> object:
    return len(answer), answer[0].name if answer else None


def drawn(
    name: str,
    *sizes: tuple[int, int],
    call: Call = txt2img,
    sent: int | None = None,
    seed: int = 42,
    checkpoint: str = "tinyA",
) -> Row:
    """A 200 with pictures; `sent` counts a grid too."""
    count = len(sizes) if sent is None else sent
    return Row(name, call, pictures, (count, list(sizes), seed, checkpoint))


def fails(
    name: str,
    error: type[errors.WebUIError],
    words: str = "",
    error_class: str | None = None,
    call: Call = txt2img,
) -> Row:
    stages: dict[Call, str] = {txt2img: "txt2img", img2img: "img2img", extra: "upscale"}
    return Row(name, call, error=error, words=words, error_class=error_class, stage=stages.get(call))


def shows(name: str, call: Call, look: Shows, expected: object) -> Row:
    return Row(name, call, look, expected)


RECORDED = object()
"""Stands for the recorded JSON itself."""


def echoes(name: str) -> Row:
    """An endpoint without a method of its own: the answer's JSON comes through as recorded."""
    return Row(name, raw, expected=RECORDED)


def kills(name: str, call: Call) -> Row:
    """The server ends instead of answering, and that is what was wanted."""
    return Row(name, call, expected=None)
