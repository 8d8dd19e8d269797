"""Commands run inside a test as they are typed: exit code, both streams, and the document of --json."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.core.management import ManagementUtility


class Console:
    """Commands as typed: exit code, what they print, and the JSON document of `json`."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = ""
        self.err = ""

    def run(self, *words: object) -> int:
        self._capsys.readouterr()
        code: object = 0
        try:
            ManagementUtility(["manage.py", *(str(word) for word in words)]).execute()
        except SystemExit as exc:
            code = exc.code
        self.out, self.err = self._capsys.readouterr()
        assert isinstance(code, int), code
        return code

    def json(self, *words: object, expect: int = 0) -> dict[str, Any]:
        code = self.run(*words, "--json")
        assert code == expect, f"exit {code}\n{self.out}\n{self.err}"
        document: dict[str, Any] = json.loads(self.out)
        return document
