"""The words of a request stay where they belong: no payload file, log, event, message or tail repeats them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.household import WEBUI, assert_one_at_a_time, configure_webui, kill
from tests.e2e.stack import Stack, listens

pytestmark = [pytest.mark.stack, pytest.mark.timeout(240)]

#: Begins every planted word, in any case, and stands nowhere else.
MARK = "qzvx"
TEXT = (
    f"a {MARK}tower in {MARK}town, [[place]], <lora:{MARK}lora:0.8>\n<embedding:{MARK}emb>\nneg: {MARK}fog\n"
)
DOCUMENT: dict[str, Any] = {
    "pack_data": {"matrix": {"enabled": True, "slots": [{"name": "place", "values": [f"{MARK}cliff"]}]}},
    "preset_data": {
        "txt2img": {
            "steps": 2,
            "width": 64,
            "height": 64,
            "enable_hr": True,
            "hr_scale": 1.0,
            "hr_prompt": f"a {MARK}hires sky",
            "hr_negative_prompt": f"{MARK}hirescloud",
        },
        "adetailer": {
            "steps": 2,
            "prompt": f"a {MARK}face",
            "negative_prompt": f"{MARK}scar",
            "hand_enabled": True,
            "hand_prompt": f"a {MARK}hand",
            "hand_negative_prompt": f"{MARK}thumb",
        },
        "pipeline": {"adetailer_enabled": True},
    },
}
PLANTED = {
    "tower",
    "town",
    "cliff",
    "lora",
    "emb",
    "fog",
    "hires",
    "hirescloud",
    "face",
    "scar",
    "hand",
    "thumb",
}
#: In stages 1 and 2, in answer and traceback, by a process that lives on and by one that ends.
FAULTS = ("500-echo@1", "500-echo@2", "die@4", "500@5", "die@6")

#: The request itself, kept on purpose; what a picture says of how it was made, and what was found of it; the names of
#: what servers have and requests need.
KEPT_COLUMNS = {
    ("jobs_packrevision", "text"),
    ("jobs_packrevision", "document"),
    ("jobs_jobrecord", "canonical_json"),
    ("jobs_outputimage", "infotext"),
    ("jobs_truthcheck", "fields"),
    ("jobs_needset", "document"),
    ("webui_nodecatalog", "document"),
}


def is_kept(path: Path) -> bool:
    """The packs as they were given, the database (searched by column), pictures with their infotext, the manifest.

    And what the WebUI writes into its own two files: it is not discreet, and they are not ours.
    """
    ours = path.suffix not in (".png", ".db") and "sqlite3" not in path.name
    webuis = path.name in ("stdout.log", "stderr.log") and path.parent.name.startswith("boot-")
    return not ours or webuis or path.parent.name == "packs" or path.name == "manifest.json"


SEARCH = f"""
from django.db import connection
result = []
with connection.cursor() as cursor:
    for table in connection.introspection.table_names(cursor):
        cursor.execute("SELECT * FROM " + connection.ops.quote_name(table))
        names = [column[0] for column in cursor.description]
        rows = cursor.fetchall()
        result += {{(table, n) for row in rows for n, v in zip(names, row) if {MARK!r} in str(v).lower()}}
"""  # noqa: S608 - the tables' own names


def columns_with_the_mark(stack: Stack) -> set[tuple[str, str]]:
    """(table, column) of every table of the database, the engine's and Django's own included."""
    found = stack.python(SEARCH)
    return {(table, column) for table, column in found}


def files_with_the_mark(stack: Stack) -> list[str]:
    files = [path for path in stack.folder.rglob("*") if path.is_file()]
    return [
        str(path.relative_to(stack.folder)) for path in files if MARK.encode() in path.read_bytes().lower()
    ]


def start_up_with_an_indiscreet_webui(stack: Stack) -> None:
    """Its log repeats every request that fails, and its last words are those of the request, too."""
    last_words = f"KeyError: 'no embedding {MARK}emb for a {MARK}tower'"
    faults = [word for fault in FAULTS for word in ("--fault", fault)]
    configure_webui(
        stack,
        lambda simulator: f"{simulator}; echo {shlex.quote(last_words)} >&2; exit 3",
        *("--lora", f"{MARK}lora", "--adetailer", *faults),
    )
    stack.env["STABLENEW_LOG_LEVEL"] = "DEBUG"
    stack.spawn("up", ["up", "--port", str(stack.web_port)])
    stack.wait_ready(WEBUI)
    stack.wait_until(lambda: listens(stack.web_port), "the pages answer")


def die_idle(stack: Stack) -> None:
    """The WebUI ends while nobody waits for it: its keeper tells why, with the last line of its log."""
    boot = stack.journal("start")[-1]
    kill(boot["pid"])
    stack.wait_until(lambda: stack.journal("start")[-1]["pid"] != boot["pid"], "the WebUI starts again")
    stack.wait_ready(WEBUI)
    told = (stack.folder / "logs" / f"node-{WEBUI}.log").read_text()
    assert "its last line: KeyError: 'no embedding [removed]" in told


def test_planted_words_are_found_in_no_payload_log_event_or_tail(stack: Stack) -> None:
    start_up_with_an_indiscreet_webui(stack)
    pack = stack.pack_file("castles", TEXT, DOCUMENT)
    submitted = stack.manage("submit_pack", pack, "--repeat", 3, "--submit-anyway", "--wait", expect=3)
    jobs = [stack.job(job_id) for job_id in submitted["job_ids"]]
    assert [job["status"] for job in jobs] == ["FAILED", "FAILED", "COMPLETED"]
    assert [job["error"]["stage"] for job in jobs[:2]] == ["txt2img", "adetailer"]
    assert_one_at_a_time(stack)
    die_idle(stack)
    files = [path for path in stack.folder.rglob("*") if path.is_file()]
    # The search finds something: the words were sent, and the WebUI's own log repeats them all.
    log = "".join(path.read_text() for path in files if path.name == "stderr.log").lower()
    assert {word for word in PLANTED if MARK + word in log} == PLANTED
    names = [path.name for path in files]
    assert names.count("stage_failure_payload.json") == names.count("webui_tail.log") == 6
    tails = [path.read_text() for path in files if path.name == "webui_tail.log"]
    assert all("process_images" in tail for tail in tails)

    assert columns_with_the_mark(stack) <= KEPT_COLUMNS
    assert [name for name in files_with_the_mark(stack) if not is_kept(stack.folder / name)] == []
    for job in jobs:
        told = {key: value for key, value in job.items() if key not in ("record", "summary", "outputs")}
        assert MARK not in str(told).lower()
