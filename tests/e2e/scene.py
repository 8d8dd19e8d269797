"""An installation in situations that are worth a look: empty, busy, in trouble, paused."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from tests.e2e.queueing import submit
from tests.e2e.recovering import add_faulty, wait_ended
from tests.e2e.stack import Stack

PASSWORD = "pictures of every page"
NODES = ("atelier", "studio")
#: Who asks for these words meets this; the ferry and the dragon take their time, so that they can be looked at.
FAULTS = (
    "once die~thunderstorm",
    "die~arsenic",
    "422~a typo",
    "404-sampler~a brush",
    "slow=3~night ferry",
    "slow=3~harvest dragon",
)
HARBOUR = """# A morning at the harbour.

wide view of a fishing harbour at [[hour]], wooden boats, wet planks, gulls over the mole
neg: people, text, frame

an old lighthouse keeper mending a net, lamp light on his hands
neg: text, frame

the fish market before it opens, crates of ice, blue morning light

a thunderstorm over the breakwater, white spray, one small boat coming home
neg: people, text

a stone quay after the rain, reflections of the harbour lights
"""
HARBOUR_SECOND = HARBOUR.replace("one small boat coming home", "two small boats coming home") + (
    "\nropes and floats on a red door, peeling paint\nneg: text\nhands\n"
)
HARBOUR_DOCUMENT: dict[str, Any] = {
    "pack_data": {
        "name": "Harbour morning",
        "matrix": {
            "enabled": True,
            "mode": "fanout",
            "slots": [{"name": "hour", "values": ["daybreak", "blue dusk", "noon"]}],
        },
    },
    "preset_data": {
        "txt2img": {"steps": 8, "width": 384, "height": 256, "sampler_name": "Euler a"},
        "upscale": {"upscaler": "R-ESRGAN 4x+", "upscaling_resize": 2},
        "pipeline": {"upscale_enabled": True},
    },
}
FESTIVAL = """paper lanterns over a village street, evening, warm light
neg: blurry

a harvest dragon of straw carried through the fields, late sun

drummers on a wooden stage, dust in the light

children with sparklers by the river

the last dance, seen from the church tower
"""
QUICK: dict[str, Any] = {"txt2img.steps": 8, "txt2img.width": 384, "txt2img.height": 256}
PORTRAIT: dict[str, Any] = {"txt2img.steps": 8, "txt2img.width": 256, "txt2img.height": 384}
LONG: dict[str, Any] = {"txt2img.steps": 40, "txt2img.width": 512, "txt2img.height": 384}


class Scene:
    """Two nodes served by the simulator, the pages, and an admin; each situation follows from the one before."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        stack.python(
            "from django.contrib.auth.models import User\n"
            f"result = User.objects.create_superuser('admin', password={PASSWORD!r}).pk"
        )
        stack.start_web()

    def situations(self) -> Iterator[dict[str, str]]:
        """For each situation the pages to look at, by name."""
        yield {
            "queue-empty": "/",
            "history-empty": "/history/",
            "packs-empty": "/packs/",
            "nodes-empty": "/nodes/",
        }
        self._work()
        self._fill()
        yield self._busy_pages()
        # Before its end the queue is held, so that it is there on all other pages.
        self.stack.look("queue", "pause", "--reason", "a new card is being fitted")
        yield {"queue-paused": "/"} | self._other_pages()

    def _work(self) -> None:
        """What has ended: pictures, a retry, and failures of three causes."""
        stack = self.stack
        for name in NODES:
            add_faulty(stack, *FAULTS, name=name, seconds_per_step=0.02, checkpoint="harbour_ink_v3")
            stack.start_node(name)
        for name in NODES:
            stack.wait_ready(name)
        stack.import_text("harbour_morning", HARBOUR, HARBOUR_DOCUMENT)
        document = json.dumps(HARBOUR_DOCUMENT)
        done = submit(stack, "harbour_morning", HARBOUR_SECOND, document=document, overrides={})
        done += submit(
            stack, "village_festival", FESTIVAL.replace("harvest dragon", "dragon"), overrides=PORTRAIT
        )
        wrong = "a typo in the clouds\n\na typo in the sea\n\na brush without hair\n\na bottle of arsenic"
        done += submit(stack, "trials", wrong, overrides=QUICK)
        wait_ended(stack, done, timeout_s=400)
        for name in NODES:
            stack.wait_ready(name)

    def _fill(self) -> None:
        """A long picture on each node, well under way, and some dozens of jobs behind them."""
        stack = self.stack
        submit(
            stack,
            "night_ferry",
            "the night ferry leaving, its lights in the water\nneg: people",
            overrides=LONG,
        )
        submit(stack, "straw", "a harvest dragon of straw carried through the fields", overrides=LONG)
        stack.wait_ledger(running=2)
        submit(
            stack,
            "harbour_morning",
            HARBOUR_SECOND,
            document=json.dumps(HARBOUR_DOCUMENT),
            overrides={},
            repeat=4,
        )
        submit(stack, "village_festival", FESTIVAL, overrides=PORTRAIT, repeat=4, priority="LOW")
        seen = "SELECT count(*) FROM jobs_runner WHERE CAST(progress AS text) LIKE '%\"preview\": 1%'"
        stack.wait_until(lambda: stack.sql(seen) == [(len(NODES),)], "both have a preview")

    def _busy_pages(self) -> dict[str, str]:
        """What follows the work, while there is some."""
        running = self._one("SELECT min(id) FROM jobs_job WHERE status = 'RUNNING'")
        queued = self._one("SELECT min(id) FROM jobs_job WHERE status = 'QUEUED'")
        return {
            "queue": "/",
            "job-running": f"/jobs/{running}/",
            "job-queued": f"/jobs/{queued}/",
            "queue-filtered": "/?text=fish",
            "queue-filtered-to-nothing": "/?text=unicorn",
        }

    def _other_pages(self) -> dict[str, str]:
        """Every other page that shows something of its own, with rows that have something to show."""
        ended = "SELECT max(id) FROM jobs_job WHERE status = "
        retried, plain, crashed, refused = (
            self._one(f"{ended}'COMPLETED' AND retry_count = 1"),
            self._one(f"{ended}'COMPLETED' AND retry_count = 0 AND pack_name = 'harbour_morning'"),
            self._one(f"{ended}'FAILED' AND retry_count = 1"),
            self._one(f"{ended}'FAILED' AND retry_count = 0"),
        )
        picture = self._one(f"SELECT max(id) FROM jobs_outputimage WHERE job_id = {retried}")  # noqa: S608
        pack = self._one("SELECT id FROM jobs_promptpack WHERE name = 'harbour_morning'")
        node = self._one("SELECT id FROM webui_node ORDER BY generation DESC LIMIT 1")
        submission = self._one("SELECT max(id) FROM jobs_submission")
        return {
            "job-retried": f"/jobs/{retried}/",
            "job-completed": f"/jobs/{plain}/",
            "job-crashed": f"/jobs/{crashed}/",
            "job-refused": f"/jobs/{refused}/",
            "exchanges": f"/jobs/{retried}/exchanges/",
            "artifacts": f"/failures/{crashed}/artifacts/",
            "history": "/history/",
            "history-failed": "/history/?status=FAILED",
            "jobs": "/jobs/",
            "picture": f"/pictures/{picture}/",
            "failures": "/failures/",
            "packs": "/packs/",
            "pack": f"/packs/{pack}/",
            "pack-diff": f"/packs/{pack}/diff/",
            "pack-order": f"/packs/order/?pack={pack}",
            "submission": f"/submissions/{submission}/",
            "nodes": "/nodes/",
            "node": f"/nodes/{node}/",
            "node-catalog": f"/nodes/{node}/catalog/",
            "node-attach": "/nodes/attach/",
            "node-edit": f"/nodes/{node}/edit/",
            "events": "/debug/events/",
            "admin": "/admin/",
            "admin-failures": "/admin/diagnostics/failedjob/",
            "admin-failure": f"/admin/diagnostics/failedjob/{crashed}/change/",
            "no-such-page": "/nothing/",
        }

    def _one(self, query: str) -> int:
        [(value,)] = self.stack.sql(query)
        assert value is not None, query
        return int(value)
