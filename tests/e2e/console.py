"""Code and looks at a stack's own installation in one process that stays, so that each costs no start of Django.

    python tests/e2e/console.py      reads a JSON request per line, writes a JSON answer per line

What a person's command does is run as a process of its own (`Stack.manage`); this is for the test's own hands.
"""

from __future__ import annotations

import contextlib
import io
import json
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


class Console:
    """The process, from the first request until `close`; `env` is its installation."""

    def __init__(self, env: Mapping[str, str], log: Path) -> None:
        self.env = dict(env)
        with open(log, "ab") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__))],
                cwd=ROOT,
                env={**self.env, "PYTHONPATH": str(ROOT)},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    def usable(self, env: Mapping[str, str]) -> bool:
        return self._process.poll() is None and self.env == env

    def ask(self, **request: Any) -> Any:
        """The result of `code=...` (what it assigns to `result`) or `words=[...]` (the document of a command)."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the console ended; see console.log"
        answer = json.loads(line)
        assert "problem" not in answer, answer["problem"]
        return answer["result"]

    def close(self) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(5)
        if self._process.stdout is not None:
            self._process.stdout.close()


def _main() -> None:
    import django
    from django.core.management import call_command
    from django.db import connections

    django.setup()
    answers = sys.stdout
    for line in sys.stdin:
        request = json.loads(line)
        said = io.StringIO()
        try:
            with contextlib.redirect_stdout(said):
                if "words" in request:
                    call_command(*request["words"], "--json", stdout=said)
                    result = json.loads(said.getvalue())
                else:
                    names: dict[str, Any] = {}
                    exec(request["code"], names)  # noqa: S102 - the test's own code
                    result = names["result"]
            answer = {"result": result}
        except Exception:  # noqa: BLE001 - told to the test
            answer = {"problem": traceback.format_exc()}
        finally:
            # No lock, no connection, nothing cached between two requests.
            connections.close_all()
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()


if __name__ == "__main__":
    _main()
