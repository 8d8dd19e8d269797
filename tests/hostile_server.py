"""A server that answers every address of the API with whatever a hostile one could: chosen by chance, from a seed.

with hostile_server(random.Random(7), keeps="/sdapi/v1/progress") as url:
    ...
"""

from __future__ import annotations

import base64
import gzip
import io
import json
import random
import socket
import struct
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from tests.contract.raw_server import read_request
from tests.sketches import sketch

PATIENCE_S = 60.0

PROGRESS: dict[str, Any] = {
    "progress": 0.4,
    "eta_relative": 3.5,
    "state": {"job": "scripts_txt2img", "job_no": 0, "job_count": 1, "sampling_step": 2, "sampling_steps": 5},
    "current_image": None,
    "textinfo": None,
}
TASK: dict[str, Any] = {"active": False, "queued": False, "completed": True, "progress": 0.5, "textinfo": ""}
USE = {"free": 1, "used": 2, "total": 3}
LISTS: dict[str, Any] = {
    "/sdapi/v1/sd-models": [
        {"title": "tinyA", "model_name": "tinyA", "hash": None, "filename": "tinyA.ckpt"}
    ],
    "/sdapi/v1/sd-vae": [{"model_name": "v", "filename": "v.pt"}],
    "/sdapi/v1/sd-modules": [{"model_name": "v", "filename": "v.pt"}],
    "/sdapi/v1/samplers": [{"name": "Euler", "aliases": ["k_euler"], "options": {}}],
    "/sdapi/v1/schedulers": [{"name": "karras", "label": "Karras", "aliases": None}],
    "/sdapi/v1/upscalers": [{"name": "Lanczos", "model_name": None, "scale": 4}],
    "/sdapi/v1/loras": [{"name": "armor", "alias": "armor", "path": "/a", "metadata": {}}],
    "/sdapi/v1/embeddings": {"loaded": {"e": {}}, "skipped": {}},
    "/sdapi/v1/options": {"sd_model_checkpoint": "tinyA", "samples_format": "png"},
    "/sdapi/v1/memory": {"ram": USE, "cuda": {"system": USE, "events": {"oom": 0}}},
    "/sdapi/v1/cmd-flags": {"api": True},
    "/internal/ping": {},
    "/internal/progress": TASK,
    "/sdapi/v1/progress": PROGRESS,
    "/sdapi/v1/interrupt": {},
}


def png(size: tuple[int, int] = (64, 64), text: str | None = None) -> bytes:
    words = PngInfo()
    if text is not None:
        words.add_itxt("parameters", text)
    buffer = io.BytesIO()
    sketch(size, 9).save(buffer, "PNG", pnginfo=words)
    return buffer.getvalue()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """A few bytes that claim to be a huge picture, and are whole."""
    head = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + _chunk(b"IDAT", zlib.compress(b"\0" * 99)) + _chunk(b"IEND", b"")


def saved(image_format: str, comment: bytes = b"") -> bytes:
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    buffer = io.BytesIO()
    sketch((64, 64), 0).save(buffer, image_format, **({"exif": exif} if comment else {}))
    return buffer.getvalue()


WHOLE_JPEG = saved("JPEG", b"UNICODE\0" + "Steps: 1, Seed: 9\0".encode("utf-16-be"))
PICTURES = (
    png(),
    png(text="a\0b\nSteps: 1, Sampler: x, Seed: " + "9" * 5_000),
    png(text="a\nSteps: 1, Sampler: x, Seed: 99999999999999999999"),
    png((800, 800)),
    bomb(30_000, 30_000),
    bomb(2**31 - 1, 2**31 - 1),
    bomb(0, 0),
    png()[:60],
    png()[:-20],
    WHOLE_JPEG,
    WHOLE_JPEG[: len(WHOLE_JPEG) // 2],
    saved("WEBP")[:-20],
    saved("GIF"),
    saved("BMP"),
    b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    b"\x89PNG\r\n\x1a\n" + _chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"x" * 10**6)),
    b"\xff\xd8\xff\xe1\x00\x20Exif\0\0MM\0*\0\0\0\x08" + b"\xff" * 40,
    b"RIFF\xff\xff\xff\xffWEBPVP8X" + b"\0" * 30,
    b"no picture",
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**63,
    2**200,
    1.5,
    -1e308,
    "",
    "9" * 50,
    "a\0b",
    "\ud800",
    "x" * 100_000,
    [],
    {},
    [[]],
    [None],
    {"": None},
    {"a\0": "\udfff"},
)
RAW = (
    b"",
    b" ",
    b"null",
    b"[]",
    b"{}",
    b"7",
    b'"text"',
    b"{" * 10,
    b"[" * 100_000,
    b"[" * 100_000 + b"]" * 100_000,
    b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    b'{"detail":' + b"[" * 900 + b"]" * 900 + b"}",
    b'{"progress": NaN, "state": {}, "eta_relative": 1e999}',
    b'{"progress": -Infinity, "state": {"job_count": 1, "sampling_step": 3}}',
    b"9" * 10_000,
    b'"\\ud800\\u0000"',
    b"\xff\xfe\x00",
    b"<!DOCTYPE html><title>Sign in\0</title>",
    "{}".encode("utf-16"),
    gzip.compress(b"{}"),
)
STATUSES = (
    200,
    200,
    200,
    200,
    204,
    301,
    302,
    400,
    401,
    404,
    413,
    418,
    422,
    429,
    500,
    501,
    502,
    503,
    504,
    520,
    999,
)
HEADERS: tuple[bytes, ...] = (
    b"",
    b"",
    b"",
    b"Location: http://[\r\n",
    b"Location: \xff\xfe\xfd\r\n",
    b"Location: http://\xe2\x98\x83:99999999/\r\n",
    b"Content-Type: text/html; charset=nonsense\r\n",
    b"Content-Encoding: gzip\r\n",
    b"Content-Encoding: nonsense\r\n",
    b"Set-Cookie: a=\0; Max-Age=x\r\n",
    b"X: " + b"y" * 70_000 + b"\r\n",
    b"X: y\r\n" * 200,
    b"no colon here\r\n",
    b"Transfer-Encoding: chunked\r\n",
)


class _Hostile:
    def __init__(self, chance: random.Random, keeps: tuple[str, ...]) -> None:
        self.chance = chance
        self.keeps = keeps
        self.said: list[tuple[str, bytes]] = []
        self._guard = threading.Lock()

    def answer(self, path: str) -> bytes:
        with self._guard:
            if path in self.keeps:
                return _message(200, json.dumps(LISTS[path]).encode())
            answer = self._answer(path)
            self.said.append((path, answer[:400]))
            return answer

    def _answer(self, path: str) -> bytes:
        chance = self.chance
        document = self._document(path)
        kind = chance.randrange(4)
        body = chance.choice(RAW) if kind == 0 else json.dumps(self._changed(document)).encode()
        if kind == 3:
            at = chance.randrange(len(body) + 1)
            body = body[:at] + chance.choice((b"", b"\0", b"\xff", b"[" * 500)) + body[at + 1 :]
        if kind < 3 and path.endswith(("img", "image")) and chance.random() < 0.7:
            return _message(200, body)
        length: int | str = chance.choice((len(body), len(body), len(body), len(body) - 1, "x", -5, "1, 2"))
        return _message(chance.choice(STATUSES), body, chance.choice(HEADERS), length)

    def _document(self, path: str) -> Any:
        if path == "/sdapi/v1/extra-single-image":
            return {"html_info": "", "image": self._picture()}
        if path.endswith("2img"):
            info = {"seed": 1, "all_seeds": [1], "sd_model_name": "tinyA", "infotexts": ["a"]}
            told = self._changed(info) if self.chance.random() < 0.5 else info
            infos: tuple[Any, ...] = (
                json.dumps(told),
                json.dumps(told),
                told,
                "",
                None,
                "text",
                "[" * 100_000,
                [],
            )
            count = self.chance.choice((1, 1, 1, 0, 2, 5))
            return {
                "images": [self._picture() for _ in range(count)],
                "parameters": {},
                "info": self.chance.choice(infos),
            }
        if path == "/sdapi/v1/progress" and self.chance.random() < 0.5:
            return PROGRESS | {"current_image": self._picture()}
        return LISTS.get(path, {"detail": "Not Found"})

    def _picture(self) -> str:
        text = base64.b64encode(self.chance.choice(PICTURES)).decode()
        return self.chance.choice(
            (text, text, text, text, "data:image/png;base64," + text, text[:-1], "", "é")
        )

    def _changed(self, value: Any) -> Any:
        """One leaf, or one branch, is another thing than it should be; sometimes nothing is."""
        if self.chance.random() < 0.2:
            return self.chance.choice(ODD)
        if isinstance(value, dict) and value:
            name = self.chance.choice(list(value))
            changed = {**value, name: self._changed(value[name])}
            if self.chance.random() < 0.1:
                del changed[name]
            return changed
        if isinstance(value, list) and value:
            return [self._changed(value[0]), *value[1:]]
        return value


def _message(status: int, body: bytes, headers: bytes = b"", length: int | str | None = None) -> bytes:
    length = len(body) if length is None else length
    head = f"HTTP/1.1 {status} X\r\nContent-Length: {length}\r\n".encode()
    if b"Content-Type" not in headers:
        headers += b"Content-Type: application/json\r\n"
    return head + headers + b"\r\n" + body


@contextmanager
def hostile_server(chance: random.Random, *keeps: str) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """Its address, and what it has said; the addresses that it `keeps` are answered as they should be."""
    hostile = _Hostile(chance, keeps)
    closing = threading.Event()
    with socket.create_server(("127.0.0.1", 0), backlog=64) as listener:
        listener.settimeout(0.05)

        def serve() -> None:
            while not closing.is_set():
                try:
                    connection, _ = listener.accept()
                except OSError:
                    continue
                threading.Thread(target=talk, args=(connection,), daemon=True).start()

        def talk(connection: socket.socket) -> None:
            with connection, suppress(OSError):
                connection.settimeout(PATIENCE_S)
                path = read_request(connection).split(b" ")[1].split(b"?")[0].decode()
                connection.sendall(hostile.answer(path))

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield "http://{}:{}".format(*listener.getsockname()), hostile.said
        finally:
            closing.set()
            thread.join(PATIENCE_S)
