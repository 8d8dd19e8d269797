"""The only way into the queue: whole records, proved, all or nothing."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.db import connections
from pytest_django import Settings

from jobs.building.builder import Build, BuildOptions, build
from jobs.errors import ConflictError, NotFoundError, RefusedError
from jobs.models import Job, JobRecord, LifecycleEvent, PackRevision, QueueControl, Submission
from jobs.records.record import NormalizedJobRecord, canonical_json, sha256_text
from jobs.submitting.importing import current_revision
from jobs.submitting.submission import BuiltPack, Submitted, source_of, submit_jobs, submit_packs
from tests.factories import make_pack, submit

pytestmark = pytest.mark.django_db(transaction=True)
OPTIONS = BuildOptions(build_seed=7)


def built(revision: PackRevision, options: BuildOptions = OPTIONS) -> Build:
    return build(source_of(revision), options)


def assert_nothing_queued() -> None:
    assert not Job.objects.exists()
    assert not JobRecord.objects.exists()
    assert not Submission.objects.exists()
    assert not LifecycleEvent.objects.exists()
    assert QueueControl.objects.get().submitted == 0


def problems_of(records: list[Any], options: BuildOptions = OPTIONS) -> list[tuple[str, str]]:
    with pytest.raises(RefusedError) as refused:
        submit_jobs(records, options=options)
    assert_nothing_queued()
    return [(problem.code, problem.message) for problem in refused.value.problems]


def test_bytes_in_the_queue_are_the_bytes_that_were_built() -> None:
    revision = make_pack(text="café in 東京, “quotes”\nneg: x\n\na second row\nneg: y\n")
    made = built(revision)
    submitted = submit_packs([BuiltPack(revision, made)])
    rows = list(JobRecord.objects.order_by("id"))
    assert [row.canonical_json.encode() for row in rows] == [text.encode() for text in made.canonical]
    assert [sha256_text(row.canonical_json) for row in rows] == list(made.hashes)
    assert submitted.record_hashes == made.hashes


def test_records_built_elsewhere_are_proved_and_queued() -> None:
    revision = make_pack()
    submitted = submit_jobs(built(revision).records, options=OPTIONS)
    assert submitted.record_hashes == built(revision).hashes


def test_a_hand_made_record_is_a_bypassed_builder() -> None:
    revision = make_pack()
    record = built(revision).records[0]
    forged = record.model_copy(update={"positive_prompt": "something else"})
    assert sha256_text(canonical_json(forged))
    [(code, message)] = problems_of([forged])
    assert code == "bypassed_builder"
    assert "Record 1" in message


def test_one_bad_record_queues_nothing_and_every_bad_one_is_named() -> None:
    revision = make_pack()
    good = built(revision).records[0]
    bad_size = good.model_copy(
        update={
            "stage_chain": tuple(
                stage.model_copy(update={"parameters": stage.txt2img.model_copy(update={"width": 513})})
                if stage.stage == "txt2img"
                else stage
                for stage in good.stage_chain
            ),
            "width": 513,
        }
    )
    stranger = good.model_copy(update={"pack_revision": "0" * 64})
    far_row = good.model_copy(update={"prompt_pack_row_index": 99})
    found = problems_of([good, bad_size, {"prompt": "raw"}, stranger, far_row])
    assert [code for code, _ in found] == ["out_of_range", "not_a_record", "unknown_revision", "unknown_row"]
    assert "513" in found[0][1]
    assert "dict" in found[1][1]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_pack_id": ""},
        {"positive_prompt": "  "},
        {"negative_prompt": ""},
        {"stage_chain": ()},
        {"seed": -1},
        {"sampler": ""},
        {"cfg_scale": 99.0},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_incomplete_record_is_refused(change: dict[str, Any]) -> None:
    record = built(make_pack()).records[0]
    assert problems_of([record.model_copy(update=change)])


def test_a_record_without_fields_is_refused() -> None:
    [(code, _)] = problems_of([NormalizedJobRecord.model_construct()])
    assert code == "malformed_record"


def test_nothing_is_nothing() -> None:
    [(code, _)] = problems_of([])
    assert code == "nothing"


def test_more_than_the_cap_is_refused(settings: Settings) -> None:
    settings.STABLENEW_MAX_RECORDS = 3
    with pytest.raises(RefusedError, match="STABLENEW_MAX_RECORDS"):
        submit(repeat=4)
    assert_nothing_queued()
    assert django_settings.STABLENEW_MAX_RECORDS == 3


def test_twenty_packs_with_one_bad_queue_nothing_and_name_it() -> None:
    packs = [make_pack(f"good{number}") for number in range(19)]
    packs.insert(7, make_pack("the-bad-one", text="a [[creature]] in fog\nneg: x\n"))
    with pytest.raises(RefusedError) as refused:
        submit_packs([BuiltPack(pack, built(pack)) for pack in packs])
    assert_nothing_queued()
    [problem] = refused.value.problems
    assert "the-bad-one" in problem.message
    assert "creature" in problem.message
    assert "row 1" in problem.message


def test_the_same_key_twice_makes_one_submission() -> None:
    revision = make_pack()
    first = submit(revision, key="night-1")
    second = submit(revision, key="night-1")
    assert first.created
    assert not second.created
    assert second.job_ids == first.job_ids
    assert Submission.objects.count() == 1


def test_a_key_used_for_something_else_is_a_conflict() -> None:
    revision = make_pack()
    submit(revision, key="night-1")
    with pytest.raises(ConflictError, match="night-1"):
        submit(revision, key="night-1", repeat=2)
    assert Job.objects.count() == 1


def test_the_same_key_at_the_same_moment_makes_one_submission() -> None:
    revision = make_pack()
    pack = BuiltPack(revision, built(revision))
    results: list[Submitted] = []

    def send() -> None:
        try:
            results.append(submit_packs([pack], key="together"))
        finally:
            connections.close_all()

    threads = [threading.Thread(target=send) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(result.created for result in results) == [False, False, False, True]
    assert Submission.objects.count() == 1


def test_importing_changed_content_makes_a_revision_and_old_content_none() -> None:
    first = make_pack("castle", text="a castle\nneg: x\n")
    second = make_pack("castle", text="a ruined castle\nneg: x\n")
    assert (first.number, second.number) == (1, 2)
    assert current_revision("castle") == second
    assert make_pack("castle", text="a castle\nneg: x\n") == first
    assert current_revision("castle") == first
    assert PackRevision.objects.count() == 2


def test_unknown_pack_is_named() -> None:
    with pytest.raises(NotFoundError, match="'nowhere'"):
        current_revision("nowhere")
