"""The check of results against real simulators: every lie as its table says, and no alarm for honest results."""

from pathlib import Path

import pytest

from tests.truth import honest, telling
from tests.truth.installation import DIALECTS
from tests.truth.lies import LIES

HONEST_ANSWERS = 120


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_lie_comes_out_as_its_table_says(tmp_path: Path, dialect: str) -> None:
    told = telling.tell(dialect, LIES, tmp_path)
    assert {one.lie.name for one in told} == {lie.name for lie in LIES if dialect in lie.dialects}
    missed = [f"{one.lie.name}: {one.outcome}, not {one.expected}" for one in told if not one.is_as_expected]
    assert not missed


@pytest.mark.parametrize("dialect", DIALECTS)
def test_honest_results_give_no_alarm(tmp_path: Path, dialect: str) -> None:
    tally = honest.run(dialect, HONEST_ANSWERS, seed=7, folder=tmp_path, say=print)
    assert set(tally.requests) == {"txt2img", "img2img", "adetailer", "upscale"}
    assert tally.requests.total() == HONEST_ANSWERS
    assert not tally.false_alarms
