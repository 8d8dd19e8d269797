"""What a job of a worker may ask for: the limits of the one table, every wrong field at once."""

from __future__ import annotations

from typing import Any

import pytest

from tests.diffsynth.works import edit_body, film_body, picture
from webui.drivers.diffsynth.worker.orders import (
    MAX_SEED,
    RefusedOrderError,
    WorkOrder,
    limits_document,
    read_order,
)
from webui.work.limits import LIMITS, MAX_INPUTS, MAX_PROMPT_CHARACTERS, Choice, Limit

PICTURE = picture(8, 8)
BODIES = {"i2v": film_body("a", PICTURE), "edit": edit_body("a", PICTURE)}
KINDS = pytest.mark.parametrize("kind", list(BODIES))
LIMITED = [(kind, name, limit) for kind, limits in LIMITS.items() for name, limit in limits.items()]


def refused(kind: str, **changes: Any) -> dict[str, str]:
    with pytest.raises(RefusedOrderError) as caught:
        read_order(kind, "tiny", {**BODIES[kind], **changes})
    return {problem.field: problem.message for problem in caught.value.problems}


def taken(kind: str, **changes: Any) -> WorkOrder:
    return read_order(kind, "tiny", {**BODIES[kind], **changes})


@KINDS
def test_a_whole_order_is_taken(kind: str) -> None:
    order = taken(kind)
    assert set(order.parameters) == set(LIMITS[kind])
    assert (order.seed, order.whole("steps"), order.number("cfg_scale")) == (42, BODIES[kind]["steps"], 1.0)


@pytest.mark.parametrize(("kind", "name", "limit"), LIMITED)
def test_every_limit_holds_at_its_edges(kind: str, name: str, limit: Limit | Choice) -> None:
    names = ("width", "height") if name in {"width", "height"} else (name,)
    if isinstance(limit, Choice):
        assert [taken(kind, **{name: value}).word(name) for value in limit.values] == list(limit.values)
        assert set(refused(kind, **{name: "else"})) == {name}
        return
    for value in (limit.low, limit.high, limit.default):
        assert taken(kind, **dict.fromkeys(names, value)).parameters[name] == value
    least = 1 if limit.whole else 0.001
    for value in (limit.low - least, limit.high + least):
        assert limit.range_words in refused(kind, **dict.fromkeys(names, value))[name]


@pytest.mark.parametrize(("kind", "name", "limit"), LIMITED)
@pytest.mark.parametrize("value", [None, True, "8", [8], {}, float("inf"), float("nan")])
def test_a_value_of_another_type_is_refused(kind: str, name: str, limit: object, value: object) -> None:
    assert name in refused(kind, **{name: value})


@KINDS
def test_a_missing_field_is_refused_whichever_it_is(kind: str) -> None:
    for name in BODIES[kind]:
        if name != "id":
            body = {key: value for key, value in BODIES[kind].items() if key != name}
            with pytest.raises(RefusedOrderError) as caught:
                read_order(kind, "tiny", body)
            assert name in {problem.field for problem in caught.value.problems}


def test_sizes_and_frames_that_are_no_multiples_name_the_nearest() -> None:
    assert refused("i2v", width=70, num_frames=80) == {
        "width": "70 is no multiple of 16. The nearest is 64.",
        "num_frames": "80 is no multiple of 4 and 1 more. The nearest is 81.",
    }


@KINDS
def test_a_size_follows_the_picture_as_a_whole_or_not_at_all(kind: str) -> None:
    assert taken(kind, width=0, height=0).whole("width") == 0
    assert set(refused(kind, width=0)) == {"width"}


def test_a_film_begins_with_one_picture_and_an_edit_has_a_few() -> None:
    sha256 = BODIES["edit"]["inputs"][0]
    assert taken("edit", inputs=[sha256] * MAX_INPUTS).inputs == (sha256,) * MAX_INPUTS
    for kind, inputs in (
        ("i2v", [sha256] * 2),
        ("edit", [sha256] * (MAX_INPUTS + 1)),
        ("edit", []),
        ("i2v", []),
    ):
        assert set(refused(kind, inputs=inputs)) == {"inputs"}
    for no_names in (sha256, None, ["x" * 64], [sha256.upper()], [7]):
        assert set(refused("edit", inputs=no_names)) == {"inputs"}


@KINDS
@pytest.mark.parametrize("name", ["prompt", "negative_prompt"])
def test_prompts_are_texts_within_their_length(kind: str, name: str) -> None:
    assert taken(kind, **{name: ""}).seed == 42
    assert taken(kind, **{name: "ä" * MAX_PROMPT_CHARACTERS}).seed == 42
    told = refused(kind, **{name: "x" * (MAX_PROMPT_CHARACTERS + 1)})
    assert told == {name: "It has 501 characters; 500 are the most."}
    for value in ("a\0b", "\ud800", 7, None):
        assert set(refused(kind, **{name: value})) == {name}


@KINDS
def test_the_model_is_this_workers_or_left_to_it(kind: str) -> None:
    assert taken(kind, model="tiny").seed == 42
    assert refused(kind, model="other") == {"model": "This worker has the model tiny, not other."}


@KINDS
def test_seeds_are_concrete(kind: str) -> None:
    assert taken(kind, seed=MAX_SEED).seed == MAX_SEED
    for value in (-1, MAX_SEED + 1, 1.0, True, "1"):
        assert set(refused(kind, seed=value)) == {"seed"}


@KINDS
def test_an_unknown_field_is_refused(kind: str) -> None:
    assert set(refused(kind, sampler="Euler")) == {"sampler"}


@KINDS
def test_the_table_is_told_as_it_is(kind: str) -> None:
    told = limits_document(kind)
    assert set(told) == set(LIMITS[kind])
    for name, limit in LIMITS[kind].items():
        assert told[name]["default"] == limit.default
