"""An easel: `python -m tests.integration.toy.server --port N --diary FILE [--faint-at N]`. It has words of its own.

GET /how-are-you  PUT /canvas (a brush order)  GET /easel (how far it is)  DELETE /canvas (stop). It faints, once, at
its n-th canvas; the diary remembers that across boots.
"""

from __future__ import annotations

import argparse
import base64
import io
import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from PIL import Image


class Easel(BaseHTTPRequestHandler):
    diary: Path
    faint_at = 0

    def do_GET(self) -> None:
        self.say({"mood": "fine", "strokes": 0, "of": 0} if self.path == "/easel" else {"mood": "fine"})

    def do_DELETE(self) -> None:
        self.say({"mood": "stopped"})

    def do_PUT(self) -> None:
        order = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with open(self.diary, "a", encoding="utf-8") as diary:
            diary.write(json.dumps(order) + "\n")
        orders = self.diary.read_text(encoding="utf-8").splitlines()
        if len(orders) == self.faint_at:
            os._exit(3)
        if order["colour"] == "plaid":
            self.say({"sorry": "no such paint: plaid"}, status=418)
            return
        self.say({"canvases": [_canvas(order["colour"], number) for number in range(order["count"])]})

    def say(self, words: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(words).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Its diary is enough."""


def _canvas(colour: str, number: int) -> str:
    file = io.BytesIO()
    shades = [Image.new("L", (64, 64), shade % 256) for shade in (len(colour), number)]
    Image.merge("RGB", (Image.linear_gradient("L").resize((64, 64)), *shades)).save(file, "PNG")
    return base64.b85encode(file.getvalue()).decode("ascii")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--diary", type=Path, required=True)
    parser.add_argument("--faint-at", type=int, default=0)
    given = parser.parse_args()
    Easel.diary, Easel.faint_at = given.diary, given.faint_at
    print("The paint is wet.", flush=True)
    ThreadingHTTPServer(("127.0.0.1", given.port), Easel).serve_forever()


if __name__ == "__main__":
    main()
