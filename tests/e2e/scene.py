"""An installation in situations that are worth a look: empty, busy, in trouble, paused; with films and edits."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.e2e.queueing import submit
from tests.e2e.recovering import add_faulty, wait_ended
from tests.e2e.stack import Stack

PASSWORD = "pictures of every page"
NODES = ("atelier", "studio")
#: The stand-ins for films and edits.
WORKERS = ("simulator-films", "simulator-edits")
#: Films are made of their first pictures, small ones, so that they are there soon.
BECOMES = (
    ("i2v", "the boats rock, gulls cross the sky", ("i2v.width=384", "i2v.num_frames=33")),
    ("edit", "make it a winter morning", ("edit.width=384",)),
)
#: Who asks for these words meets this; the ferry and the dragon take their time, so that they can be looked at.
FAULTS = (
    "once die~thunderstorm",
    "die~arsenic",
    "422~a typo",
    "black~a brush",
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
#: Pictures in a folder, each with what is to happen in its film; the workers meet these words as `WORKER_FAULTS` say.
FILMS = {
    "01 boats": "the boats rock, gulls cross the sky",
    "02 lamp": "the lamp swings, shadows wander over the wall",
    "03 pond": "a still pond, not a leaf moves",
    "04 dust": "gold dust in the last light",
    "05 letter": "a torn letter blows across the quay",
}
#: How a command that waits ends where some of its jobs did not.
NOT_ALL_COMPLETED = 3
SMALL_FILMS = ("i2v.width=256", "i2v.num_frames=17")
WORKER_FAULTS = ("frozen~a still pond", "oom-denoise~gold dust", "input~a torn letter", "slow=6~the tide")
QUICK: dict[str, Any] = {"txt2img.steps": 8, "txt2img.width": 384, "txt2img.height": 256}
PORTRAIT: dict[str, Any] = {"txt2img.steps": 8, "txt2img.width": 256, "txt2img.height": 384}
LONG: dict[str, Any] = {"txt2img.steps": 40, "txt2img.width": 512, "txt2img.height": 384}


@dataclass(frozen=True)
class Form:
    """A page whose form is filled before somebody looks: by label; of choices, "" is taken."""

    path: str
    fields: Mapping[str, str] = field(default_factory=dict)
    files: tuple[Path, ...] = ()


Pages = dict[str, str | Form]


class Scene:
    """Two nodes served by the simulator, the pages, and an admin; each situation follows from the one before."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        stack.python(
            "from django.contrib.auth.models import User\n"
            f"result = User.objects.create_superuser('admin', password={PASSWORD!r}).pk"
        )
        stack.start_web()

    def situations(self) -> Iterator[Pages]:
        """For each situation the pages to look at, by name."""
        yield {
            "queue-empty": "/",
            "history-empty": "/history/",
            "packs-empty": "/packs/",
            "nodes-empty": "/nodes/",
        }
        self._work()
        self._go_on()
        self._fill()
        yield self._busy_pages()
        # Before its end the queue is held, so that it is there on all other pages.
        self.stack.look("queue", "pause", "--reason", "a new card is being fitted")
        yield {"queue-paused": "/", **self._other_pages()}

    def _work(self) -> None:
        """What has ended: pictures, a retry, and failures of three causes."""
        stack = self.stack
        for name in NODES:
            add_faulty(
                stack,
                *FAULTS,
                name=name,
                seconds_per_step=0.02,
                checkpoint="harbour_ink_v3",
                upscaler=HARBOUR_DOCUMENT["preset_data"]["upscale"]["upscaler"],
            )
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

    def _go_on(self) -> None:
        """A film and an edit of a picture that was made, and films of a folder, of which three fail."""
        stack = self.stack
        faults = stack.folder / "worker-faults"
        faults.write_text("\n".join(WORKER_FAULTS))
        stack.env["STABLENEW_SIMULATOR_WORKER_OPTIONS"] = (
            f"--any-name --seconds-per-step 0.02 --fault-file {faults}"
        )
        stack.python(
            "from webui.nodes.adding import add_node\n"
            "from webui.nodes.stand_ins import STAND_INS, stand_in_spec\n"
            "for spec in map(stand_in_spec, STAND_INS):\n"
            "    result = add_node(spec.name, **spec.configuration()).pk"
        )
        for name in WORKERS:
            stack.start_node(name)
        path, *_ = self._pictures()
        for kind, prompt, overrides in BECOMES:
            words = ("--kind", kind, "--name", f"harbour-{kind}", "--prompt", prompt, *_set(*overrides))
            stack.manage("submit_pack", path, *words, "--wait")
        folder = stack.folder / "harbour films"
        folder.mkdir()
        for (name, prompt), picture in zip(FILMS.items(), self._pictures(), strict=False):
            shutil.copy(picture, folder / f"{name}.png")
            (folder / f"{name}.txt").write_text(prompt)
        words = ("--kind", "i2v", *_set(*SMALL_FILMS), "--wait")
        stack.manage("submit_pack", folder, *words, expect=NOT_ALL_COMPLETED, timeout_s=400)

    def _pictures(self) -> list[Path]:
        """Last pictures of jobs of the harbour, the latest first."""
        rows = self.stack.sql(
            "SELECT path FROM jobs_outputimage JOIN jobs_job ON jobs_job.id = job_id "
            "WHERE status = 'COMPLETED' AND pack_name = 'harbour_morning' AND stage_index = 1 "
            "ORDER BY job_id DESC"
        )
        return [Path(self.stack.env["STABLENEW_DATA_DIR"]) / "outputs" / path for (path,) in rows]

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
        for prompt, name in (("the tide comes in", "tide"), ("the lamps are lit", "lamps")):
            words = ("--kind", "i2v", "--name", name, "--prompt", prompt, *_set("i2v.steps=40", *SMALL_FILMS))
            stack.manage("submit_pack", self._pictures()[0], *words, "--repeat", 2)
        draws = "SELECT count(*) FROM jobs_job WHERE kind = 'i2v' AND status = 'RUNNING'"
        stack.wait_until(lambda: stack.sql(draws) == [(1,)], "a film is made")

    def _busy_pages(self) -> Pages:
        """What follows the work, while there is some."""
        running = self._one("SELECT min(id) FROM jobs_job WHERE status = 'RUNNING'")
        queued = self._one("SELECT min(id) FROM jobs_job WHERE status = 'QUEUED'")
        drawn = self._one("SELECT min(id) FROM jobs_job WHERE status = 'RUNNING' AND kind = 'i2v'")
        return {
            "queue": "/",
            "job-running": f"/jobs/{running}/",
            "job-queued": f"/jobs/{queued}/",
            "job-film-running": f"/jobs/{drawn}/",
            "queue-films": "/?kind=i2v",
            "queue-filtered": "/?text=fish",
            "queue-filtered-to-nothing": "/?text=unicorn",
        }

    def _other_pages(self) -> Pages:
        """Every other page that shows something of its own, with rows that have something to show."""
        ended = "SELECT max(id) FROM jobs_job WHERE status = "
        retried, plain, crashed, refused = (
            self._one(f"{ended}'COMPLETED' AND retry_count = 1"),
            self._one(f"{ended}'COMPLETED' AND retry_count = 0 AND pack_name = 'harbour_morning'"),
            self._one(f"{ended}'FAILED' AND retry_count = 1 AND kind = 'image'"),
            self._one(f"{ended}'FAILED' AND retry_count = 0 AND kind = 'image'"),
        )
        _, _, frozen, no_memory, no_input = (
            job_id
            for (job_id,) in self.stack.sql(
                "SELECT id FROM jobs_job WHERE pack_name = 'harbour films' ORDER BY id"
            )
        )
        film, edit = (self._one(f"{ended}'COMPLETED' AND kind = '{kind}'") for kind, *_ in BECOMES)
        played = self._one(f"SELECT max(id) FROM jobs_outputimage WHERE job_id = {film}")  # noqa: S608
        source = self._one(
            "SELECT job_id FROM jobs_outputimage WHERE id = (SELECT min(from_output_id) FROM jobs_inputpicture)"
        )
        picture = self._one(f"SELECT max(id) FROM jobs_outputimage WHERE job_id = {retried}")  # noqa: S608
        edited = self._one(f"SELECT max(id) FROM jobs_outputimage WHERE job_id = {edit}")  # noqa: S608
        pack, films = (
            self._one(f"SELECT id FROM jobs_promptpack WHERE name = '{name}'")  # noqa: S608
            for name in ("harbour_morning", "harbour films")
        )
        submitted_films = self._one(
            "SELECT max(submission_id) FROM jobs_jobrecord WHERE pack_name = 'harbour films'"
        )
        worker = self._one("SELECT id FROM webui_node WHERE kind = 'i2v'")
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
            "history-films": "/history/?kind=i2v",
            "job-film": f"/jobs/{film}/",
            "job-edit": f"/jobs/{edit}/",
            "job-became": f"/jobs/{source}/",
            "film": f"/pictures/{played}/",
            "job-film-frozen": f"/jobs/{frozen}/",
            "job-film-without-memory": f"/jobs/{no_memory}/",
            "job-film-without-input": f"/jobs/{no_input}/",
            "exchanges-film": f"/jobs/{film}/exchanges/",
            "artifacts-film": f"/failures/{no_memory}/artifacts/",
            "edit": f"/pictures/{edited}/",
            "submission-films": f"/submissions/{submitted_films}/",
            "pack-films": f"/packs/{films}/",
            "pack-order-films": f"/packs/order/?pack={films}",
            "node-films": f"/nodes/{worker}/",
            "node-catalog-films": f"/nodes/{worker}/catalog/",
            "jobs": "/jobs/",
            "picture": f"/pictures/{picture}/",
            "failures": "/failures/",
            "packs": "/packs/",
            "pack": f"/packs/{pack}/",
            "pack-diff": f"/packs/{pack}/diff/",
            "pack-order": f"/packs/order/?pack={pack}",
            "submission": f"/submissions/{submission}/",
            "new-video": "/new/video/",
            "new-video-of-a-result": f"/new/video/?result={picture}",
            "new-video-filled": Form(
                "/new/video/?submission=2", {"Prompt": "the lanterns sway", "Repeat": "2"}
            ),
            "new-video-wrong": Form(
                "/new/video/",
                {"Prompt": "the lamp turns " * 40, "Width": "4000", "Frames": "18"},
                (self._pictures()[0], self.stack.folder / "harbour films" / "01 boats.txt"),
            ),
            "new-edit": "/new/edit/",
            "new-edit-of-a-job": f"/new/edit/?job={plain}",
            "new-edit-together": Form(
                f"/new/edit/?job={plain}&job={source}",
                {
                    "One edit of all these pictures": "",
                    "Instruction": "put the boat of the second picture into the first",
                },
            ),
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


def _set(*changes: str) -> list[str]:
    return [word for one in changes for word in ("--set", one)]
