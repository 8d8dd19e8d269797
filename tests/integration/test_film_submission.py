"""Films and edits through the one door: submitted, claimed by nodes of their kind, run again, told before and after."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from jobs.building.builder import BuildOptions, build
from jobs.bulk import acts
from jobs.errors import RefusedError
from jobs.inputs.facts import read_input
from jobs.inputs.store import keep
from jobs.lifecycle import EventType, JobStatus
from jobs.models import (
    BulkVerb,
    InputPicture,
    Job,
    JobRecord,
    LifecycleEvent,
    NeedSet,
    PackOrigin,
    PromptPack,
    Submission,
)
from jobs.packs.forms import form_source
from jobs.packs.pack import parse_pack
from jobs.packs.picture_lists import read_picture_list
from jobs.packs.rows import RowImage
from jobs.queue.claims import claim_next
from jobs.queue.identity import ProcessIdentity
from jobs.queue.lanes import free_lanes, head_of_lane
from jobs.queue.moves import move_job
from jobs.reading.choices import pack_choices
from jobs.reading.packs import pack_detail, pack_page, preset_choices
from jobs.records.reading import read_record
from jobs.submitting.importing import import_pack, import_packs
from jobs.submitting.order_preview import OrderPreview, preview
from jobs.submitting.ordering import build_order, place, plan_order
from jobs.submitting.preflight import OnMissing, preflight
from jobs.submitting.preflight_words import sentences
from jobs.submitting.reruns import rerun
from jobs.submitting.submission import source_of, submit_jobs
from tests.factories import make_node, make_pack, make_runner, make_user, store_catalog, submit
from tests.film_packs import film_source, film_text, picture
from tests.integration.console import Console
from tests.integration.test_claims_by_needs import WITH_FOO, drain, queue
from tests.sample_pictures import picture as sample
from webui.kinds import WorkKind
from webui.work.catalog import Thing
from webui.work.limits import LIMITS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def pictures(settings: Settings, tmp_path: Path) -> None:
    """Somebody gave the pictures that the packs name; nothing here opens one."""
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    settings.STABLENEW_INPUT_DIR.mkdir()
    for number in range(1, 5):
        one = picture(number)
        InputPicture.objects.create(
            sha256=one.sha256,
            size_bytes=1,
            width_px=one.width_px,
            height_px=one.height_px,
            format="PNG",
            name=one.name,
        )


def queue_films(kind: str = "i2v", rows: int = 1, **options: Any) -> list[int]:
    text = film_text(*(f"number {n}" for n in range(rows)))
    return list(submit(make_pack(text=text, kind=kind), **options).job_ids)


def previewed(kind: str = "i2v", text: str = "", document: str = "", **options: object) -> OrderPreview:
    revision = make_pack(text=text or film_text("one", "two"), kind=kind, document=document)
    order = plan_order(
        [parse_pack(source_of(revision))], BuildOptions.model_validate({"build_seed": 3, **options})
    )
    return preview([revision], order)


# --- submitting ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["i2v", "edit"])
def test_a_submission_stores_records_of_the_kind_and_jobs_that_ask_for_its_nodes(kind: str) -> None:
    made = submit(
        make_pack(text=film_text("one", "two"), kind=kind), overrides={f"{kind}.model": "big"}, repeat=2
    )
    assert (made.submission.job_count, made.submission.image_count) == (4, 4)
    for row in JobRecord.objects.all():
        record = read_record(row.canonical_json, row.sha256)
        assert record.kind == kind
        assert (row.checkpoint, row.sampler, row.image_count) == ("big", "", 1)
        assert (row.width_px, row.height_px, row.seed) == (record.width, record.height, record.seed)
    for job in Job.objects.select_related("needs"):
        assert (job.kind, job.status, job.checkpoint) == (kind, JobStatus.QUEUED, "big")
        assert job.needs is not None
        assert job.needs.document == "[]"
        assert [event.event_type for event in LifecycleEvent.objects.filter(job=job)] == [
            EventType.SUBMITTED,
            EventType.QUEUED,
        ]


def test_records_are_proved_by_building_their_pack_again() -> None:
    revision = make_pack(text=film_text("one", "two"), kind="i2v")
    options = BuildOptions(build_seed=4)
    records = build(source_of(revision), options).records
    assert len(submit_jobs(records, options=options).job_ids) == 2
    for change in ({"positive_prompt": "another"}, {"seed": 3}, {"inputs": ()}):
        with pytest.raises(RefusedError) as refused:
            submit_jobs([records[0].model_copy(update=change)], options=options)
        assert refused.value.problems
    assert Submission.objects.count() == 1


def test_a_name_keeps_its_kind_and_nothing_is_stored_beside_the_refusal() -> None:
    make_pack("harbour")
    films = parse_pack(film_source(name="harbour"))
    with pytest.raises(RefusedError, match="makes pictures; this one makes films"):
        import_pack(films)
    order = build_order(
        plan_order([parse_pack(film_source(name="first")), films], BuildOptions(build_seed=1))
    )
    with pytest.raises(RefusedError) as refused:
        place(order.builds)
    assert [(problem.code, problem.pack) for problem in refused.value.problems] == [("other_kind", "harbour")]
    assert list(PromptPack.objects.values_list("name", "kind")) == [("harbour", "image")]


def test_all_packs_whose_names_are_taken_are_told_at_once() -> None:
    for name in ("harbour", "garden"):
        make_pack(name)
    packs = [parse_pack(film_source(name=name)) for name in ("harbour", "new", "garden")]
    with pytest.raises(RefusedError) as refused:
        import_packs(packs)
    assert [problem.pack for problem in refused.value.problems] == ["garden", "harbour"]
    assert not PromptPack.objects.filter(name="new").exists()


def test_storing_a_known_pack_asks_for_it_once() -> None:
    pack = parse_pack(film_source(name="harbour"))
    import_pack(pack)
    with CaptureQueriesContext(connection) as asked:
        import_pack(pack)
    reads = [
        one["sql"]
        for one in asked
        if one["sql"].startswith("SELECT") and 'FROM "jobs_promptpack"' in one["sql"]
    ]
    assert len(reads) == 1


# --- claims -------------------------------------------------------------------------------------------------


def test_nodes_claim_their_kind_in_order_whatever_lies_before_it() -> None:
    pictures, films, edits = (make_runner(make_node(kind=kind)) for kind in WorkKind)
    first_film, image = queue_films(), list(submit(repeat=2).job_ids)
    edit, more_films = queue_films("edit", 2), queue_films(rows=2)
    front = queue_films(run_now=True)
    assert drain(edits) == edit
    assert drain(pictures) == image
    assert drain(films) == [*front, *first_film, *more_films]


def test_lanes_stay_of_one_kind_also_for_a_node_that_lacks_something() -> None:
    store_catalog(make_node("poor"), {Thing.LORA: ["bar"]})
    pictures = make_runner(make_node())
    films = make_runner(make_node(kind=WorkKind.I2V))
    store_catalog(pictures.node, {Thing.LORA: ["bar"]})
    store_catalog(films.node, {Thing.LORA: []})
    film, held, plain, edit = (
        queue_films(),
        queue(WITH_FOO),
        queue("a cliff\nneg: low\n"),
        queue_films("edit"),
    )
    [empty] = NeedSet.objects.filter(document="[]").values_list("pk", flat=True)
    assert set(Job.objects.filter(needs=empty).values_list("pk", flat=True)) == {*film, *edit}
    assert empty not in free_lanes(pictures.node_id, WorkKind.IMAGE)
    assert free_lanes(films.node_id, WorkKind.I2V) == [empty]
    head = head_of_lane(WorkKind.I2V, empty).get()
    assert head.pk == film[0]
    assert drain(pictures) == plain
    assert drain(films) == film
    assert set(Job.objects.filter(status=JobStatus.QUEUED).values_list("pk", flat=True)) == {*held, *edit}


def test_jobs_that_run_anyway_are_claimed_by_their_kind_too() -> None:
    film = queue_films(on_missing=OnMissing.ANYWAY)
    assert Job.objects.get(pk=film[0]).needs is None
    assert drain(make_runner(make_node())) == []
    assert drain(make_runner(make_node(kind=WorkKind.I2V))) == film


# --- again --------------------------------------------------------------------------------------------------


def test_a_rerun_and_a_bulk_retry_keep_record_kind_and_needs() -> None:
    runner = make_runner(make_node(kind=WorkKind.EDIT))
    [job_id] = queue_films("edit")
    claim = claim_next(runner.pk, ProcessIdentity.of_self())
    assert claim is not None
    move_job(job_id, JobStatus.FAILED, event=EventType.FAILED, run_token=claim.run_token)
    [again] = rerun([job_id], by="ann")
    old, new = Job.objects.get(pk=job_id), Job.objects.get(pk=again)
    assert (new.kind, new.record_id, new.needs_id) == (WorkKind.EDIT, old.record_id, old.needs_id)
    assert drain(runner) == [again]
    [act] = acts.run(acts.start(BulkVerb.RETRY, [again], by="ann"))
    assert act.done == 1
    third = Job.objects.latest("pk")
    assert (third.kind, third.record_id, third.needs_id) == (WorkKind.EDIT, old.record_id, old.needs_id)
    assert drain(runner) == [third.pk]


# --- what people are told -----------------------------------------------------------------------------------


def test_a_preview_shows_sizes_settings_pictures_and_what_snaps() -> None:
    shown = previewed(repeat=2, overrides={"i2v.num_frames": 50, "i2v.model": "wan"})
    assert (shown.records, shown.images, shown.can_submit) == (4, 4, True)
    [line] = shown.settings
    assert (line.checkpoint, line.width_px, line.height_px) == ("wan", 848, 480)
    assert line.sampling == "49 frames at 16 per second, 8 steps, CFG 1"
    assert line.stages == ("i2v",)
    assert [sample.pictures for sample in shown.samples] == [("cat1.png",)] * 2 + [("cat2.png",)] * 2
    assert [str(warning) for _, warning in shown.warnings] == ["i2v.num_frames 50 becomes 49."]
    [edit] = previewed("edit").settings
    assert edit.sampling == "lightning, 4 steps, CFG 1"


def test_a_preview_refuses_words_and_settings_together() -> None:
    shown = previewed(text=film_text("", "x" * 501), overrides={"i2v.steps": 101})
    assert not shown.can_submit
    assert [(problem.field, problem.row) for problem in shown.problems] == [
        ("i2v.steps", None),
        ("prompt", 1),
        ("prompt", 2),
    ]


def test_without_a_worker_it_is_a_note_and_no_refusal() -> None:
    make_node()
    records = build(film_source(), BuildOptions(build_seed=1)).records
    found = preflight(records)
    assert (found.held, found.homeless) == (frozenset(), (("i2v", 1),))
    assert sentences(found, timezone.now()) == [
        "There is no node for films yet: they wait until a worker is added."
    ]
    assert found.as_json()["kinds_without_node"] == {"i2v": 1}
    worker = make_node("gpu", kind=WorkKind.I2V)
    there = preflight(records)
    assert (there.homeless, sentences(there, timezone.now())) == ((), [])
    edits = build(film_source(kind="edit"), BuildOptions(build_seed=1)).records
    assert sentences(preflight(edits, node=worker), timezone.now()) == [
        "gpu takes other work, so none of these records runs there."
    ]


def test_packs_of_forms_stay_out_of_lists_unless_they_are_asked_for(client: Client) -> None:
    make_pack("harbour", document='{"txt2img": {"steps": 3}}')
    films = make_pack("films", text=film_text(), kind="i2v", document='{"i2v": {"steps": 3}}')
    source = form_source("i2v", [picture()], "it waves", effective=True)
    form = import_pack(parse_pack(source), origin=PackOrigin.FORM).revision.pack
    assert [pack.name for pack in pack_page().packs] == ["films", "harbour"]
    assert [pack.makes for pack in pack_page().packs] == ["films", ""]
    assert pack_page().forms == 1
    assert source.pack_id in [pack.name for pack in pack_page(with_forms=True).packs]
    assert pack_choices() == ("films", "harbour")
    assert [choice.name for choice in preset_choices()] == ["harbour"]
    client.force_login(make_user())
    page = client.get("/packs/")
    assert source.pack_id not in page.content.decode()
    assert "1 pack of forms is left out" in page.content.decode()
    assert source.pack_id in client.get("/packs/?forms=1").content.decode()
    detail = pack_detail(films.pack_id)
    assert detail is not None
    assert (len(detail.rows.rows), detail.problems) == (1, ())
    assert client.get(f"/packs/{films.pack_id}/").status_code == 200
    import_pack(parse_pack(source))
    form.refresh_from_db()
    assert form.origin == PackOrigin.FILE


# --- commands -----------------------------------------------------------------------------------------------


def test_an_imported_pack_of_films_is_submitted_by_its_name(console: Console) -> None:
    make_pack("films", text=film_text("one", "two"), kind="i2v")
    words = (
        "submit_pack",
        "films",
        "--set",
        "i2v.num_frames=50",
        "--sweep",
        "i2v.steps=4,8",
        "--repeat",
        "2",
    )
    dry = console.json(*words, "--seed", "5", "--dry-run")
    assert (dry["jobs"], dry["images"]) == (8, 8)
    assert [warning["message"] for warning in dry["warnings"]] == ["i2v.num_frames 50 becomes 49."]
    assert not Job.objects.exists()
    done = console.json(*words, "--seed", "5")
    assert done["record_hashes"] == dry["record_hashes"]
    assert set(Job.objects.values_list("kind", flat=True)) == {"i2v"}
    refused = console.json("submit_pack", "films", "--set", "i2v.steps=101", "--set", "i2v.fps=0", expect=1)
    assert [error["field"] for error in refused["errors"]] == ["i2v.fps", "i2v.steps"]


def test_a_pack_whose_pictures_are_gone_is_not_exported(console: Console, tmp_path: Path) -> None:
    make_pack("films", text=film_text(), kind="i2v")
    refused = console.json("export_pack", "films", "--to", tmp_path / "out", expect=1)
    assert refused["errors"][0]["message"].startswith("The input picture cat1.png is missing.")
    assert not (tmp_path / "out").exists()


def test_a_form_is_exported_with_its_pictures_and_submitted_again_as_the_same_revision(
    console: Console, tmp_path: Path
) -> None:
    content = sample(7)
    facts = read_input(content, "cat.png")
    keep(content, facts, name="cat.png")
    image = RowImage(facts.sha256, "cat.png", facts.width_px, facts.height_px)
    source = form_source("i2v", [image], "it waves", settings={"num_frames": 50}, effective=True)
    import_pack(parse_pack(source), origin=PackOrigin.FORM)
    out = tmp_path / "out"
    refused = console.json("export_pack", source.pack_id, "--to", __file__, expect=1)
    assert refused["errors"][0]["message"] == f"{__file__} cannot be written: File exists."
    made = console.json("export_pack", source.pack_id, "--to", out)
    assert (made["same_revision"], made["pictures"]) == (True, 1)
    assert (out / f"{source.pack_id}.pictures" / "cat.png").read_bytes() == content
    written = json.loads((out / f"{source.pack_id}.json").read_text())["preset_data"]["i2v"]
    assert written.keys() == {*LIMITS["i2v"], "seed", "model", "negative_prompt"}
    assert written["num_frames"] == 49
    read = read_picture_list(out / f"{source.pack_id}.jsonl", "i2v").source
    again = import_pack(parse_pack(read))
    assert (again.created, again.revision.sha256) == (False, source.sha256)
