"""One complete HTTP answer, as it came. What it means is judged by the driver of its server."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class HttpAnswer:
    """A complete answer; `elapsed_s` runs from before the connect to the last byte.

    `headers` are found by their names in any case.
    """

    status: int
    content_type: str
    body: bytes
    elapsed_s: float
    location: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_page(self) -> bool:
        """A page for a browser: no API says that, so it comes from something in front of one."""
        begin = self._readable()[:100].lower()
        return "html" in self.content_type.lower() or begin.startswith(("<!doctype", "<html"))

    def _readable(self) -> str:
        return self.body[:20_000].decode("utf-8", errors="replace").strip()

    def text(self) -> str:
        """What a person can read of a body that is no JSON: an HTML page by its title."""
        text = self._readable()
        if self.is_page:
            title = re.search(r"<title[^>]*>(.*?)</title>", text, re.IGNORECASE | re.DOTALL)
            return f"an HTML page titled {title[1].strip()[:200]!r}" if title else "an HTML page"
        return text
