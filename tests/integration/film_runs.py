"""Real runs of claimed films and edits between a scripted worker and a scripted keeper."""

from __future__ import annotations

from collections.abc import Callable

from jobs.models import Job
from jobs.queue.claims import Claim
from jobs.running.run import Run
from tests.film_jobs import make_running_film
from tests.integration.scripted_webui import ScriptedKeeper
from tests.integration.scripted_worker import Act, ScriptedWorker
from webui.recovery.hooks import RestartAndWait


class WorkerKeeper(ScriptedKeeper):
    """After a restart the worker knows nothing of what it was asked before."""

    def __call__(
        self, node_id: int, *, by: str, reason: str, generation: int, waiting: Callable[[], bool]
    ) -> int:
        self.webui.forget()  # type: ignore[attr-defined]
        return super().__call__(node_id, by=by, reason=reason, generation=generation, waiting=waiting)


def run(claim: Claim, worker: ScriptedWorker, keeper: RestartAndWait | None = None) -> Job:
    keeper = keeper or WorkerKeeper(worker)  # type: ignore[arg-type]
    Run(claim, connect=worker.connect, restart=keeper, sleep=lambda seconds: None).execute()
    return Job.objects.select_related("record").get(pk=claim.job_id)


def run_film(*script: Act, kind: str = "i2v") -> tuple[Job, ScriptedWorker, WorkerKeeper]:
    _, claim = make_running_film(kind)
    worker = ScriptedWorker(*script)
    keeper = WorkerKeeper(worker)  # type: ignore[arg-type]
    return run(claim, worker, keeper), worker, keeper
