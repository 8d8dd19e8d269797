"""Log lines as JSON, one object a line, for whoever collects them; the plain format needs nothing of ours."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime
from typing import Final

from webui.log_fields import known_fields

#: What every record has of its own; all else was given with the call.
_OWN: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
#: Fields that every line has, null where nobody knows them.
FIELDS: Final = ("event", "job", "stage", "attempt", "node")


class JsonLines(logging.Formatter):
    """`at`, `level`, `logger`, `message` and the fields; whatever else a call gives; a traceback as `exception`."""

    def format(self, record: logging.LogRecord) -> str:
        given = {name: value for name, value in vars(record).items() if name not in _OWN}
        if "job_id" in given:
            given["job"] = given.pop("job_id")
        line = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **dict.fromkeys(FIELDS),
            **known_fields(),
            **given,
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        # A line is told whatever a value is, and stays one line.
        return json.dumps(line, ensure_ascii=True, default=str)
