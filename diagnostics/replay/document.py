"""`replay.json`: requests as they were sent, and what came of each. Read strictly: a file may come from anybody."""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal

from pydantic import Field

from webui.values import FrozenValue

FORMAT: Final = "stablenew-replay"
FILE_NAME: Final = "replay.json"
MOST_REQUESTS: Final = 500

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Word = Annotated[str, Field(max_length=100)]


class CameOf(FrozenValue):
    """How a request ended: `outcome` as attempts have it, `code` and `words` of its error, hashes of its pictures."""

    outcome: Word
    code: Word = ""
    http_status: int | None = None
    words: Annotated[str, Field(max_length=20_000)] = ""
    pictures: Annotated[tuple[Sha256, ...], Field(max_length=MOST_REQUESTS)] = ()


class RecordedRequest(FrozenValue):
    """`sha256` is that of the canonical body. `pictures` of `size_px` must come back, drawn with `checkpoint`."""

    stage: Word
    endpoint: Word
    sha256: Sha256
    body: dict[str, Any]
    pictures: int
    size_px: tuple[int, int] | None = None
    checkpoint: Annotated[str, Field(max_length=500)] = ""
    came: CameOf


class ReplayDocument(FrozenValue):
    format: Literal["stablenew-replay"] = FORMAT
    version: Literal[1] = 1
    driver: Word
    job: int
    requests: Annotated[tuple[RecordedRequest, ...], Field(min_length=1, max_length=MOST_REQUESTS)]
