"""The evidence of a failure in a directory of the caller's: the request's shape and the server's last words.

    stage_failure_payload.json   webui_tail.log     the newest failure
    attempt-1/                                      the same two of the first failure, which stay

Nothing here raises: evidence that cannot be written must not cost the job more than the evidence.
"""

from __future__ import annotations

import json
import logging
from collections import deque
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from operator import or_
from pathlib import Path
from typing import Final

from webui.books import surely
from webui.errors import WebUIError
from webui.evidence.payload_shape import redact_payload
from webui.evidence.redaction import Secrets, redact_error, redact_text, secrets_of
from webui.models import Node
from webui.processes.boot_logs import boot_directory
from webui.processes.tail_capture import get_tail_logs
from webui.whole_file import write_file
from webui.work.unit import Request

logger = logging.getLogger(__name__)

PAYLOAD_FILE: Final = "stage_failure_payload.json"
TAIL_FILE: Final = "webui_tail.log"
"""Of a worker of films or edits, too: people's scripts know the name."""
FIRST_FAILURE: Final = "attempt-1"
TAIL_LINES: Final = 200
NOTHING_CAPTURED: Final = "(no output of the server was captured)"

_failed: deque[Secrets] = deque(maxlen=8)


@dataclass
class FailureEvidence:
    """The failures of one request: what of them may be told, and their files in `run_dir` (None: none are written).

    `newest` are the files of the last failure.
    """

    request: Request
    run_dir: Path | None
    node_id: int
    newest: tuple[Path, ...] = ()

    @cached_property
    def secrets(self) -> Secrets:
        """Gathered at the first failure, which most requests never see."""
        return surely(secrets_of, self.request, node_id=self.node_id)

    def redact(self, error: WebUIError) -> WebUIError:
        """In place: from here on the error may be told anywhere."""
        return redact_error(error, self.secrets)

    def write(self, error: WebUIError, *, attempt: int, generation: int | None = None) -> tuple[Path, ...]:
        """Writes both files, the first failure's also into `attempt-1`; returns those that this failure has.

        The tail is that of boot `generation` (default: the node's present one). What cannot be written is logged.
        The error is redacted too: that the policy is used up is an error of its own, which no sending raised.
        """
        self.redact(error)
        if self.run_dir is None:
            return ()
        contents = {
            PAYLOAD_FILE: _payload_text(self.request, attempt, error),
            TAIL_FILE: redact_text(
                _tail_text(self.node_id, generation), _with_earlier_failures(self.secrets)
            ),
        }
        first = self.run_dir / FIRST_FAILURE
        is_first = not any((first / name).exists() for name in contents)
        folders = [self.run_dir, first] if is_first else [self.run_dir]
        self.newest = tuple(
            folder / name
            for folder in folders
            for name, content in contents.items()
            if _write(folder / name, content)
        )
        return self.newest

    @property
    def paths(self) -> tuple[Path, ...]:
        """All evidence in the directory, the newest first."""
        if self.run_dir is None:
            return ()
        folders = (self.run_dir, self.run_dir / FIRST_FAILURE)
        known = [folder / name for folder in folders for name in (PAYLOAD_FILE, TAIL_FILE)]
        return tuple(dict.fromkeys([*self.newest, *(path for path in known if path.is_file())]))


def _with_earlier_failures(secrets: Secrets) -> Secrets:
    """These, and those of the requests that failed before in this process: the same log may repeat them still."""
    together = reduce(or_, _failed, secrets)
    _failed.append(replace(secrets, pictures=()))
    return together


def _payload_text(request: Request, attempt: int, error: WebUIError) -> str:
    """`error` is redacted already."""
    document = {
        "stage": request.stage,
        "attempt": attempt,
        "endpoint": error.endpoint,
        "error": {"code": error.code, "type": type(error).__name__, **error.facts()},
        "payload": redact_payload(request),
    }
    return json.dumps(document, indent=2, ensure_ascii=False, default=str) + "\n"


def _tail_text(node_id: int, generation: int | None) -> str:
    """Both streams of the boot, each under its name; a placeholder where there is nothing."""
    node = surely(Node.objects.filter(pk=node_id).first)
    if node is None:
        return NOTHING_CAPTURED + "\n"
    if generation is not None and node.log_directory:
        # The keeper may have begun the next boot already.
        directory = boot_directory(node.name, generation)
        node.log_directory = str(directory) if directory.is_dir() else node.log_directory
    tails = get_tail_logs(node, TAIL_LINES)
    return "\n".join(f"==> {name} <==\n{tail or NOTHING_CAPTURED}" for name, tail in tails.items()) + "\n"


def _write(path: Path, content: str) -> bool:
    try:
        write_file(path, content.encode("utf-8", errors="backslashreplace"))
    except OSError as exc:
        logger.warning(
            "The evidence %s could not be written: %s",
            path,
            exc,
            extra={"event": "failure.evidence_lost", "path": str(path)},
        )
        return False
    return True
