"""Fixtures that several kinds of tests use."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.e2e.databases import Template
from tests.e2e.stack import Stack, running_stack
from tests.promises import PATIENCE_S

# What a page is waited for, processes must do first, and a busy machine takes its time.
expect.set_options(timeout=PATIENCE_S / 2 * 1000)


@pytest.fixture(scope="session")
def database_template(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Template]:
    template = Template(tmp_path_factory.mktemp("template"))
    yield template
    template.drop()


@pytest.fixture
def stack(tmp_path: Path, database_template: Template) -> Iterator[Stack]:
    """Real processes in a folder of their own; see `tests.e2e.stack`."""
    folder = tmp_path / "data"
    folder.mkdir()
    with database_template.copy(folder) as database:
        yield from running_stack(folder, database, {})
