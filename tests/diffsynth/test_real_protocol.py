"""The protocol of workers, held against real ones of both kinds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.contract.worker_client import RunningWorker
from tests.contract.worker_protocol import WorkerProtocol
from tests.diffsynth.worker_process import running_worker

pytestmark = pytest.mark.diffsynth


@pytest.fixture(scope="module", params=["i2v", "edit"])
def worker(
    request: pytest.FixtureRequest, weights: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RunningWorker]:
    with running_worker(request.param, tmp_path_factory.mktemp("worker"), weights) as (url, token):
        yield RunningWorker(url, token, request.param)


class TestRealWorker(WorkerProtocol):
    pass
