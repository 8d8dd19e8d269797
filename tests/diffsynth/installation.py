"""An installation that `up` runs, with real workers as a person adds them: `submit_pack` to decoded results."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
from PIL import Image

from tests.diffsynth.environment import ROOT, interpreter
from tests.diffsynth.worker_process import ONE_THREAD, Holds, tiny_configuration
from tests.e2e.household import moment, start_up
from tests.e2e.processes import kill_webui
from tests.e2e.stack import Stack
from tests.free_ports import free_port
from tests.sketches import sketch

FRAMES, FPS, SIZE = 5, 16, (64, 64)
SMALL = {
    "i2v": ("i2v.width=64", "i2v.height=64", f"i2v.num_frames={FRAMES}", f"i2v.fps={FPS}", "i2v.steps=4"),
    "edit": ("edit.width=64", "edit.height=64", "edit.steps=2"),
}


class RealWorkers:
    """The real workers of a stack. `holds` lets them wait in a phase, so that what strikes them strikes there."""

    def __init__(self, stack: Stack, weights: Path) -> None:
        self.stack = stack
        self.weights = weights
        self.journal_path = stack.folder / "workers.jsonl"
        folder = stack.folder / "holds"
        folder.mkdir()
        self.holds = Holds(folder)
        stack.env |= {
            "TEST_WORKER_WEIGHTS": str(weights),
            "TEST_WORKER_JOURNAL": str(self.journal_path),
            # A killed worker's folder lies in the test's.
            "TMPDIR": str(folder),
            **ONE_THREAD,
            **self.holds.environment,
        }
        self._packs = 0

    def add(self, name: str, kind: str, *, card: str = "") -> None:
        """By a configuration file, as a person does."""
        path = self.stack.folder / f"{name}.json"
        document = tiny_configuration(kind, self.weights, python=str(interpreter()), card=card)
        path.write_text(json.dumps(document), encoding="utf-8")
        words = (name, f"http://127.0.0.1:{free_port()}", "--config", path)
        # Its modules are the tests' own.
        self.stack.manage("node", "add", *words, "--allow-modules", "--folder", ROOT)

    def start(self, name: str, kind: str) -> None:
        """`up` with this one worker, which is ready."""
        self.add(name, kind)
        start_up(self.stack)
        self.stack.wait_ready(name)

    def submit(self, kind: str, pictures: int = 1) -> list[int]:
        """A folder of new pictures by `submit_pack`; the new job ids."""
        self._packs += 1
        folder = self.stack.folder / f"{kind}-{self._packs}"
        folder.mkdir()
        for number in range(1, pictures + 1):
            sketch((96, 64), number, other=self._packs).save(folder / f"{number}.png")
        (folder / "1.txt").write_text("a boat in the harbour moves")
        settings = [word for setting in SMALL[kind] for word in ("--set", setting)]
        asked = ("submit_pack", folder, "--kind", kind, "--prompt", "the lamp turns", *settings)
        ids: list[int] = self.stack.manage(*asked)["job_ids"]
        return ids

    def submit_held(self, phase: str, kind: str, pictures: int = 1) -> list[int]:
        """The same; the first of them waits in this phase."""
        self.holds.hold(phase)
        ids = self.submit(kind, pictures)
        self.wait_held(phase)
        return ids

    def wait_held(self, phase: str) -> None:
        self.stack.wait_until(lambda: self.holds.is_held(phase), f"a worker waits in {phase}", every_s=0.02)

    def wait_taken_up(self, job_id: int) -> None:
        """Until a second process of ours asks for the result of a job."""
        attempts = f"SELECT count(*) FROM jobs_stageattempt WHERE job_id = {job_id}"  # noqa: S608
        self.stack.wait_until(lambda: self.stack.sql(attempts) == [(2,)], f"job {job_id} is taken up")

    def pid(self, name: str) -> int:
        """Of the node's worker."""
        [(pid,)] = self.stack.sql(f"SELECT pid FROM webui_node WHERE name = '{name}'")  # noqa: S608
        return int(pid)

    def kill(self, name: str) -> None:
        """As the machine would for memory; it waits in a phase no more, and neither does the next one."""
        kill_webui(self.stack, self.pid(name))
        self.holds.release()

    def boots(self, name: str) -> int:
        """How often it was started."""
        [(generation,)] = self.stack.sql(f"SELECT generation FROM webui_node WHERE name = '{name}'")  # noqa: S608
        return int(generation)

    def fate_of(self, name: str, task_id: str) -> str:
        """What the worker itself says of a request."""
        code = (
            "from webui.models import Node\nfrom webui.nodes.connecting import connect\n"
            f"result = connect(Node.objects.get(name={name!r})).fate_of({task_id!r}).name"
        )
        return str(self.stack.python(code))

    def wait_cancel_heard(self, name: str) -> None:
        """Until the worker has been asked to cancel its job: its log says so."""
        [(folder,)] = self.stack.sql(f"SELECT log_directory FROM webui_node WHERE name = '{name}'")  # noqa: S608
        log = Path(folder) / "stderr.log"
        self.stack.wait_until(
            lambda: "to be cancelled" in log.read_text(), "the cancel is heard", every_s=0.02
        )

    # --- what became of it ---------------------------------------------------------------------------------

    def wait_completed(self, job_id: int, *, retries: int = 0) -> dict[str, Any]:
        """The job, whose one result was decoded; its failed attempts have left their evidence."""
        job = self.stack.wait_job(job_id, "COMPLETED", "FAILED", "CANCELLED")
        assert (job["status"], job["retry_count"]) == ("COMPLETED", retries), job
        [output] = job["outputs"]
        content = (self.stack.folder / "outputs" / output["path"]).read_bytes()
        if output["path"].endswith(".mp4"):
            assert_film(content)
        else:
            with Image.open(io.BytesIO(content)) as picture:
                picture.load()
                assert (picture.format, picture.size) == ("PNG", SIZE)
        return job

    def assert_evidence(self, job: dict[str, Any]) -> None:
        """Of its first attempt, which failed."""
        kept = job["stage_attempts"][0]["artifact_paths"]
        assert {Path(path).name for path in kept} == {"stage_failure_payload.json", "webui_tail.log"}
        for path in kept:
            assert (self.stack.folder / "outputs" / path).is_file()

    def ran_on(self) -> list[str]:
        """The node of each job, in the order of the queue."""
        nodes = "SELECT node.name FROM jobs_job job JOIN webui_node node ON node.id = job.node_id"
        return [name for (name,) in self.stack.sql(f"{nodes} ORDER BY job.id")]

    def journal(self) -> list[dict[str, Any]]:
        """What all workers wrote, in the order in which it happened."""
        return [json.loads(line) for line in self.journal_path.read_text().splitlines()]

    def stretches(self) -> Iterator[tuple[int, int]]:
        """Of each drawing, in their order: who drew, and how many others were at it when it began."""
        drawing: set[int] = set()
        for line in self.journal():
            pid, what = line["pid"], (line["phase"], line["what"])
            if what == ("encode", "begins") and pid not in drawing:
                yield pid, len(drawing)
                drawing.add(pid)
            elif what == ("decode", "ends"):
                drawing.discard(pid)

    def overlapping_attempts(self) -> list[tuple[int, int]]:
        """By our own rows: pairs of attempts of which one began before the other one had ended."""
        rows = self.stack.sql("SELECT id, started_at, ended_at FROM jobs_stageattempt ORDER BY started_at")
        return [
            (one, other)
            for (one, _, ended), (other, started, _) in pairwise(rows)
            if moment(started) < moment(ended)
        ]


def assert_film(content: bytes) -> None:
    """Decoded to its last frame, and it moves."""
    with av.open(io.BytesIO(content), mode="r") as film:
        [stream] = film.streams.video
        assert (stream.width, stream.height, str(stream.average_rate)) == (*SIZE, str(FPS))
        frames = [bytes(frame.planes[0]) for frame in film.decode(stream)]
    assert len(frames) == FRAMES
    assert len(set(frames)) > 1
