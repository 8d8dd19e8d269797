"""The simulator's own table of what films and edits may be, against the product's."""

import json
from dataclasses import asdict

import pytest

from webui.simulator.films import limits as simulated
from webui.work import limits

SIZES = [
    (64, 64),
    (832, 480),
    (480, 832),
    (1000, 800),
    (30, 3000),
    (3000, 30),
    (1, 1),
    (7000, 5000),
    (1024, 1023),
]


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_both_tables_say_the_same(kind: str) -> None:
    ours = {name: {"default": limit.default, **asdict(limit)} for name, limit in limits.LIMITS[kind].items()}
    assert json.loads(json.dumps(simulated.document(kind))) == json.loads(json.dumps(ours))


def test_both_have_the_same_bounds() -> None:
    for name in ("MAX_INPUT_BYTES", "MAX_INPUT_PIXELS", "MAX_INPUTS", "MAX_PROMPT_CHARACTERS", "AUTO"):
        assert getattr(simulated, name) == getattr(limits, name), name


@pytest.mark.parametrize("kind", ["i2v", "edit"])
@pytest.mark.parametrize("size", SIZES)
def test_a_size_that_follows_its_picture_is_the_same_on_both_sides(kind: str, size: tuple[int, int]) -> None:
    assert simulated.auto_size(kind, size) == limits.auto_size(kind, *size)
