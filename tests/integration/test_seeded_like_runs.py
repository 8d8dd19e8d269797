"""A seeded job has the rows that the product writes: it is compared with the same job, really submitted and run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pytest_django import Settings

from jobs.building.builder import BuildOptions, build
from jobs.errors import JobDeadlineError
from jobs.lifecycle import JobStatus, Priority
from jobs.models import Job, PackRevision, Runner
from jobs.queue.claims import claim_next
from jobs.queue.control import cancel
from jobs.queue.identity import ProcessIdentity
from jobs.queue.signing_key import prove_key
from jobs.running import keeping
from jobs.running.run import Run
from jobs.submitting.reruns import rerun
from jobs.submitting.submission import BuiltPack, source_of, submit_packs
from jobs.supervising.reconcile import reconcile
from tests.contract.simulator_process import SimulatorProcess
from tests.e2e.stack import Stack
from tests.integration.row_differences import OWN_OF_NODE, differences, rows_of, rows_of_a_node
from tests.seed.plan import Sizes
from tests.seed.seeder import seed
from webui.driver import Server
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.server import A1111Server
from webui.models import Node, NodeState
from webui.nodes.connecting import connect as connect_node
from webui.work.timeouts import Timeouts
from webui.work.unit import Request

pytestmark = pytest.mark.django_db(transaction=True)

SIZES = Sizes.of(queued=5, finished=200, failed=90)
#: What the simulator does to every request of a job that is to fail by this code.
FAULTS = {
    "WEBUI_OUT_OF_MEMORY": "oom",
    "WEBUI_CONNECTION_LOST": "drop",
    "WEBUI_SERVER_ERROR": "500",
    "WEBUI_UNKNOWN_CHECKPOINT": "wrong-checkpoint",
    "WEBUI_HANG": "hang",
    "WEBUI_SAMPLER_NOT_FOUND": "404-sampler",
    "WEBUI_NAN": "nan",
    "WEBUI_REQUEST_INVALID": "422",
}


class Killed(BaseException):
    """The worker's process is gone: nothing of its run is written any more."""


class KilledInRequest(WebUIClient):
    """Of a worker that is killed while its request is under way."""

    def send_request(self, request: Request) -> Any:
        raise Killed


def killed_in_request(node: Node, *, timeouts: Timeouts) -> Server:
    return A1111Server(DRIVER, KilledInRequest(node.base_url, timeouts=timeouts))


class Machine:
    """One WebUI with its keeper: a simulator, after each restart another one.

    `faults` is the file of its faults, which a restart removes if it `mends`.
    """

    def __init__(self, folder: Path, closing: ExitStack) -> None:
        self.faults = folder / "faults"
        self.mends = False
        self._folder = folder
        self._closing = closing
        self._start()

    def _start(self) -> None:
        simulator = SimulatorProcess(self._folder, "--any-name", "--fault-file", str(self.faults))
        self._url = self._closing.enter_context(simulator).url

    def serve(self, node: Node) -> None:
        Node.objects.filter(pk=node.pk).update(state=NodeState.READY, wish="", base_url=self._url)

    def restart(self, node_id: int, *, generation: int, **asked: Any) -> int:
        self._closing.close()
        if self.mends:
            self.faults.unlink()
        self._start()
        Node.objects.filter(pk=node_id).update(base_url=self._url, generation=generation + 1)
        return generation + 1


@pytest.fixture
def machine(tmp_path: Path, settings: Settings) -> Iterator[Machine]:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_OUTPUT_DIR.mkdir()
    with ExitStack() as closing:
        yield Machine(tmp_path, closing)


def seeded(**wanted: Any) -> Job:
    """A job of a seeded database."""
    seed(SIZES)
    return Job.objects.filter(**wanted).select_related("record__submission").earliest("pk")


def submitted_again(job: Job) -> Job:
    """The same job by the product: its pack built with the same options, queued by the same person."""
    submission = job.record.submission
    [request] = submission.options
    revision = PackRevision.objects.get(pack__name=request["pack"], sha256=request["revision"])
    built = build(source_of(revision), BuildOptions.model_validate(request["options"]))
    again = submit_packs(
        [BuiltPack(revision, built)],
        priority=Priority(job.priority),
        user=submission.submitted_by,
        key=f"{submission.key} again" if submission.key else None,
    )
    place = list(submission.records.order_by("pk").values_list("pk", flat=True)).index(job.record_id)
    return Job.objects.get(pk=again.job_ids[place])


def run(job: Job, seeded_one: Job, machine: Machine, connect: Callable[..., Server] = connect_node) -> None:
    """To its end, on the node that the seeded one names; nothing else waits."""
    node = seeded_one.node
    assert node is not None
    for other in Job.objects.filter(status=JobStatus.QUEUED).exclude(pk=job.pk):
        cancel(other.pk, by="ada")
    machine.serve(node)
    claim = claim_next(node.runner.pk, ProcessIdentity.of_self())
    assert claim is not None
    assert claim.job_id == job.pk
    Run(claim, connect=connect, restart=machine.restart, sleep=lambda seconds: None).execute()


def assert_alike(one: Job, other: Job) -> None:
    if one.reruns.exists():
        rerun([other.pk], by="ada")
    found = list(differences(rows_of(one.pk), rows_of(other.pk)))
    assert not found, "seeded / really run\n" + "\n".join(found)


def test_queued() -> None:
    job = seeded(status=JobStatus.QUEUED)
    assert_alike(job, submitted_again(job))


def test_cancelled() -> None:
    job = seeded(status=JobStatus.CANCELLED)
    again = submitted_again(job)
    cancel(again.pk, by=job.events.latest("sequence").data["by"])
    assert_alike(job, again)


@pytest.mark.parametrize(
    ("pictures", "stages", "retries"), [(1, 1, 0), (2, 1, 0), (1, 2, 0), (2, 2, 0), (1, 1, 1)]
)
def test_completed(machine: Machine, pictures: int, stages: int, retries: int) -> None:
    seed(SIZES)
    completed = Job.objects.filter(status=JobStatus.COMPLETED, retry_count=retries, rerun_of=None)
    job = next(
        job
        for job in completed.filter(record__image_count=pictures).order_by("record__height_px")
        if job.outputs.count() == pictures * stages
    )
    again = submitted_again(job)
    machine.mends = True
    if retries:
        machine.faults.write_text("oom@*")
    run(again, job, machine)
    assert_alike(job, again)


@pytest.mark.parametrize("code", FAULTS)
def test_failed(machine: Machine, settings: Settings, code: str) -> None:
    if code == "WEBUI_HANG":
        settings.STABLENEW_HANG_BUSY_S = 0.5
    job = seeded(error_code=code, rerun_of=None)
    again = submitted_again(job)
    machine.faults.write_text(f"{FAULTS[code]}@*")
    run(again, job, machine)
    assert_alike(job, again)


def test_failed_because_its_worker_was_lost_twice(machine: Machine) -> None:
    job = seeded(error_code="WORKER_LOST", rerun_of=None)
    again = submitted_again(job)
    for _ in range(2):
        with pytest.raises(Killed):
            run(again, job, machine, killed_in_request)
        reconcile(Runner.objects.get(node=job.node), lambda owner: False)
        Runner.objects.update(must_quiet=False)
    assert_alike(job, again)


def test_failed_because_it_ran_too_long(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    def is_over(*picture: Any) -> None:
        raise JobDeadlineError("The job ran longer than 3600 s.")

    job = seeded(error_code="JOB_DEADLINE", rerun_of=None)
    again = submitted_again(job)
    monkeypatch.setattr(keeping, "write_patiently", is_over)
    run(again, job, machine)
    assert_alike(job, again)


def test_run_again(machine: Machine) -> None:
    job = seeded(rerun_of__isnull=False, status=JobStatus.COMPLETED, retry_count=0)
    assert job.rerun_of_id is not None
    again = Job.objects.get(pk=rerun([job.rerun_of_id], by=job.queued_by)[0])
    run(again, job, machine)
    assert_alike(job, again)


@pytest.mark.stack
def test_nodes_and_what_is_counted(stack: Stack, tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as simulator:
        node = stack.add_attached(simulator.url)
        stack.start_node(node)
        stack.wait_ready(node)
        stack.manage("submit_pack", stack.pack_file("castles", "a castle\n"), "--wait")
        stack.manage("node", "stop", node)
        stack.wait_until(lambda: stack.nodes()[0]["state"] == NodeState.STOPPED, "it is stopped")
        stack.stop()
    rows = "from tests.integration.row_differences import rows_of_a_node\nresult = rows_of_a_node()"
    really = stack.python(rows)
    seed(SIZES)
    prove_key()
    found = list(differences(rows_of_a_node(), really, OWN_OF_NODE))
    assert not found, "seeded / really run\n" + "\n".join(found)
