"""`tests.upgrade` on this checkout itself: what it stores today can be upgraded in the middle of a job."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.e2e.databases import Template
from tests.e2e.stack import ROOT
from tests.upgrade.proof import prove

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


def test_an_installation_killed_in_a_job_is_upgraded_without_loss_and_its_queue_goes_on(
    tmp_path: Path, database_template: Template
) -> None:
    """The older one is this one, migrated back by a step."""
    said: list[str] = []
    with database_template.empty(tmp_path) as database:
        report = prove(
            ROOT, tmp_path, database, jobs=40, back=("webui", "0003"), may_change=(), say=said.append
        )
    assert [check for check in report.checks if not check["ok"]] == []
    assert len(report.checks) >= 10
    assert "webui.0004_memory" in report.facts["migrations"]
    assert report.facts["tables"]["jobs_job"] == sum(report.facts["jobs_by_status"].values()) == 40
    assert report.facts["records"] == report.facts["tables"]["jobs_jobrecord"]
    assert any("killed at once in the middle of job" in line for line in said)
