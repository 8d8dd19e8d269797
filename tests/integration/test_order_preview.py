"""The preview of a submission: counted from the plan, with a few real records."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from jobs.building.builder import BuildOptions, build
from jobs.models import PackRevision
from jobs.packs.pack import parse_pack
from jobs.submitting import order_preview
from jobs.submitting.order_preview import OrderPreview
from jobs.submitting.ordering import OrderPlan, build_order, plan_order
from jobs.submitting.submission import source_of
from tests.factories import make_pack
from webui.kinds import WorkKind

pytestmark = pytest.mark.django_db

MATRIX = "a [[place]] at [[hour]], __mood__\nneg: blurry\n\na second row\n\nthird in a [[place]]\n"
DOCUMENT = """{"pack_data": {"matrix": {"enabled": true, "mode": "random", "limit": 5, "slots": [
{"name": "place", "values": ["forest", "castle", "bay"]}, {"name": "hour", "values": ["dawn", "noon", "dusk"]}]}},
"preset_data": {"txt2img": {"model": "sdxl"}, "pipeline": {"images_per_prompt": 2}}}"""
SWEEPS = {"txt2img.model": ("one", "two"), "txt2img.steps": (10, 20)}


def options(**changes: object) -> BuildOptions:
    return BuildOptions.model_validate({"build_seed": 7, **changes})


def planned(revisions: Sequence[PackRevision], asked: BuildOptions) -> OrderPlan:
    return plan_order([parse_pack(source_of(revision)) for revision in revisions], asked)


def preview(revisions: Sequence[PackRevision], asked: BuildOptions) -> OrderPreview:
    return order_preview.preview(revisions, planned(revisions, asked))


@pytest.mark.parametrize(
    "changes",
    [{}, {"repeat": 3}, {"sweeps": SWEEPS}, {"sweeps": SWEEPS, "repeat": 2, "limit": 27}, {"rows": (0, 2)}],
    ids=str,
)
def test_samples_are_the_very_records_that_a_build_makes(
    changes: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(order_preview, "FULL_BUILD", 0)
    revision = make_pack(text=MATRIX, document=DOCUMENT)
    made = build(source_of(revision), options(**changes))
    shown = preview([revision], options(**changes))
    assert (shown.records, shown.images) == (len(made.records), 2 * len(made.records))
    assert (shown.samples[0].number, shown.samples[-1].number) == (1, len(made.records))
    for sample in shown.samples:
        record = made.records[sample.number - 1]
        assert (sample.positive, sample.negative) == (record.positive_prompt, record.negative_prompt)
        assert (sample.seed, sample.row) == (record.seed, record.prompt_pack_row_index + 1)


@pytest.mark.parametrize("limit", [None, 1, 7, 26])
def test_settings_and_checkpoints_are_counted_as_a_build_makes_them(limit: int | None) -> None:
    revision = make_pack(text=MATRIX, document=DOCUMENT)
    asked = options(sweeps=SWEEPS, repeat=3, limit=limit)
    made = build(source_of(revision), asked)
    shown = preview([revision], asked)
    for kind, name, records in shown.models:
        assert kind == WorkKind.IMAGE
        assert records == sum(record.base_model == name for record in made.records)
    assert sum(line.records for line in shown.settings) == len(made.records)
    for line in shown.settings:
        same = [
            r for r in made.records if r.base_model == line.checkpoint and f"{r.steps} steps" in line.sampling
        ]
        assert line.records == len(same)


def test_limit_bounds_all_packs_together_in_order() -> None:
    packs = [make_pack(text="one\n\ntwo\n"), make_pack(text="three\n\nfour\n"), make_pack(text="five\n")]
    shown = preview(packs, options(limit=3))
    order = build_order(planned(packs, options(limit=3)))
    assert [pack.records for pack in shown.packs] == [len(made.records) for made in order.builds] == [2, 1, 0]
    assert [pack.limited for pack in shown.packs] == [False, True, False]
    assert [sample.positive for sample in shown.samples] == ["one", "two", "three"]


def test_pack_behind_the_limit_is_still_judged() -> None:
    shown = preview([make_pack(text="one\n"), make_pack(text="a [[x]]\n")], options(limit=1))
    assert [problem.field for problem in shown.problems] == ["x"]
    assert not shown.can_submit


def test_more_records_than_a_submission_holds_are_refused_without_building_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*args: object) -> None:
        raise AssertionError("nothing may be built")

    monkeypatch.setattr(order_preview, "build_planned", refuse)
    monkeypatch.setattr(order_preview, "records_at", refuse)
    shown = preview([make_pack(), make_pack()], options(repeat=6_000))
    assert not shown.can_submit
    assert "12,000 records are more than the 10,000" in shown.problems[0].message
    assert shown.samples == ()


def test_empty_prompt_among_few_records_is_found() -> None:
    revision = make_pack(text="[[x]]\n")
    shown = preview([revision], options(matrix={"x": ("a", "")}))
    assert [problem.code for problem in shown.problems] == ["empty_positive"]


def test_ten_thousand_records_are_previewed_by_building_only_the_shown_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(order_preview, "build_planned")
    shown = preview([make_pack(text=MATRIX, document=DOCUMENT)], options(repeat=900))
    assert shown.records == 9 * 900
    assert len(shown.samples) == order_preview.SAMPLES


def test_one_pack_s_factors_name_what_multiplies() -> None:
    plain: PackRevision = make_pack(text="one\n")
    assert preview([plain], options()).packs[0].factors == "1 row"
    many = make_pack(text=MATRIX, document=DOCUMENT)
    words = preview([many], options(repeat=2, sweeps=SWEEPS)).packs[0].factors
    assert words == "3 rows × 1 to 5 combinations × 4 sets of settings × 2 repeats"
