"""Skips, and workers that several tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.diffsynth.environment import environment_folder, is_there
from tests.diffsynth.worker_process import (
    WorkerClient,
    make_weights,
    running_worker,
)

NOT_ASKED_FOR = "real pipelines, in an environment of their own: `bash .ci/run diffsynth` runs them"
MISSING = "the workers' environment {} is not there: `sh .ci/setup diffsynth` makes it"


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    is_asked_for = "diffsynth" in config.getoption("markexpr")
    reason = "" if is_asked_for else NOT_ASKED_FOR
    if is_asked_for and not is_there():
        reason = MISSING.format(environment_folder())
    for item in items:
        if reason and item.get_closest_marker("diffsynth"):
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_weights(tmp_path_factory.mktemp("tiny"))


def _client(kind: str, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    with running_worker(kind, tmp_path_factory.mktemp(kind), weights) as (url, token):
        yield WorkerClient(url, token)


@pytest.fixture(scope="session")
def film_worker(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    """A worker of films that is ready; tests share it, so each gives its jobs ids of its own."""
    yield from _client("i2v", weights, tmp_path_factory)


@pytest.fixture(scope="session")
def edit_worker(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[WorkerClient]:
    """The same for edits."""
    yield from _client("edit", weights, tmp_path_factory)
