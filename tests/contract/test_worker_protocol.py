"""The protocol of workers, held against simulated ones of both kinds."""

from collections.abc import Iterator

import pytest

from tests.contract.simulated_worker import SimulatedWorkerProcess
from tests.contract.worker_client import RunningWorker
from tests.contract.worker_protocol import ManyResultsProtocol, WorkerProtocol


@pytest.fixture(scope="module", params=["i2v", "edit"])
def worker(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningWorker]:
    # A job of 100 steps lasts long enough to be caught while it runs.
    folder = tmp_path_factory.mktemp("worker")
    with SimulatedWorkerProcess(folder, request.param, "--seconds-per-step", "0.01") as process:
        yield process.worker


class TestSimulatedWorker(WorkerProtocol, ManyResultsProtocol):
    pass
