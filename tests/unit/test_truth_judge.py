"""From witnesses and pixels to a verdict."""

from __future__ import annotations

from dataclasses import replace

import pytest

from jobs.lifecycle import TruthVerdict
from jobs.truth.judge import Came, judge
from jobs.truth.look import Look
from jobs.truth.outcomes import FieldVerdict, Judgement, worst
from jobs.truth.pixel_rules import Seen
from webui.drivers.a1111.driver import DRIVER
from webui.work.catalog import Catalog, Entry, Thing
from webui.work.testimony import Saying, Witness
from webui.work.told import PictureFacts
from webui.work.unit import Request, Vocabulary

SOURCE = Look(512, 512, fingerprint="source")
GOOD = Look(512, 512, fingerprint="a")
OTHER = Look(512, 512, fingerprint="b")
IMG2IMG = Request(
    "img2img", "/sdapi/v1/img2img", {"steps": None}, 1, Vocabulary(), size_px=(512, 512), changes=True
)
TXT2IMG = replace(IMG2IMG, stage="txt2img", changes=False)
UPSCALE = replace(
    IMG2IMG, body={"upscaler_1": "R-ESRGAN 4x+"}, stage="upscale", size_px=(1024, 1024), enlarges=2.0
)
LARGE = Look(1024, 1024, fingerprint="large")


def verdict_of(request: Request, *looks: Look, **more: object) -> Judgement:
    return judge(DRIVER, request, [Came(look) for look in looks], **more)[0]  # type: ignore[arg-type]


def drifts(judgement: Judgement) -> dict[str, str]:
    return {one.field: one.used for one in judgement.drifts}


def test_good_picture_is_verified() -> None:
    assert verdict_of(TXT2IMG, GOOD).verdict is TruthVerdict.VERIFIED


@pytest.mark.parametrize(
    ("look", "field", "used"),
    [
        (replace(GOOD, black=True, flat=True), "Content", "black"),
        (replace(GOOD, flat=True), "Content", "one colour"),
        (replace(GOOD, whole=False, problem="it is cut"), "Whole", "it is cut"),
        (Look(504, 512, fingerprint="a"), "Size", "504x512"),
        (Look(256, 256, fingerprint="a"), "Size", "256x256"),
    ],
)
def test_picture_of_no_use_drifts_gravely(look: Look, field: str, used: str) -> None:
    judgement = verdict_of(TXT2IMG, look)
    assert judgement.verdict is TruthVerdict.DRIFTED
    assert drifts(judgement) == {field: used}
    assert judgement.drifts[0].grave


@pytest.mark.parametrize(
    ("asked", "came"),
    [((70, 66), (64, 64)), ((665, 512), (664, 512)), ((520, 512), (512, 512)), ((520, 512), (576, 512))],
)
def test_size_between_two_steps_of_a_model_is_rounded(asked: tuple[int, int], came: tuple[int, int]) -> None:
    judgement = verdict_of(replace(TXT2IMG, size_px=asked), Look(*came, fingerprint="a"))
    assert judgement.verdict is TruthVerdict.VERIFIED


def test_fewer_pictures_than_asked_drift() -> None:
    assert drifts(verdict_of(replace(TXT2IMG, pictures=3), GOOD)) == {"Pictures": "1"}


def test_unseen_picture_is_unproven_and_never_verified() -> None:
    unseen = Look(512, 512, seen=False, problem="it has more than 64,000,000 pixels")
    assert verdict_of(TXT2IMG, unseen).verdict is TruthVerdict.UNPROVEN


def test_flat_picture_may_come_of_a_flat_one() -> None:
    flat = replace(OTHER, flat=True)
    assert verdict_of(IMG2IMG, flat, source=replace(SOURCE, flat=True)).verdict is TruthVerdict.VERIFIED
    assert drifts(verdict_of(IMG2IMG, flat, source=SOURCE)) == {"Content": "one colour"}


def test_input_that_comes_back_unchanged_drifts_where_it_had_to_change() -> None:
    back = replace(SOURCE)
    assert drifts(verdict_of(IMG2IMG, back, source=SOURCE)) == {"Changed": "its input, unchanged"}
    assert verdict_of(replace(IMG2IMG, changes=False), back, source=SOURCE).verdict is TruthVerdict.VERIFIED
    assert verdict_of(replace(IMG2IMG, changes=None), back, source=SOURCE).verdict is TruthVerdict.UNPROVEN


def test_upscale_that_was_not_done_drifts() -> None:
    found = drifts(verdict_of(UPSCALE, SOURCE, source=SOURCE))
    assert found == {"Size": "512x512", "Enlarged": "x1", "Changed": "its input, unchanged"}
    none = replace(UPSCALE, body={"upscaler_1": "None"}, size_px=(512, 512), changes=False)
    judgement = verdict_of(none, SOURCE, source=SOURCE)
    assert drifts(judgement) == {"Enlarged": "x1"}
    assert not judgement.drifts[0].grave


def test_plain_resize_instead_of_a_model_drifts_whatever_the_lists_say() -> None:
    catalog = Catalog(lists={Thing.UPSCALER: (Entry("R-ESRGAN 4x+"),)})
    [judgement] = judge(DRIVER, UPSCALE, [Came(LARGE, plain_resize=True)], catalog=catalog, source=SOURCE)
    assert drifts(judgement) == {"Upscaler": "Lanczos"}
    [judgement] = judge(DRIVER, UPSCALE, [Came(LARGE, plain_resize=False)], catalog=catalog, source=SOURCE)
    assert judgement.verdict is TruthVerdict.VERIFIED
    lanczos = replace(UPSCALE, body={"upscaler_1": "Lanczos"})
    [judgement] = judge(DRIVER, lanczos, [Came(LARGE, plain_resize=True)], source=SOURCE)
    assert judgement.verdict is TruthVerdict.VERIFIED


def test_two_pictures_of_one_answer_are_never_the_same() -> None:
    both = replace(TXT2IMG, pictures=2)
    assert drifts(verdict_of(both, GOOD, GOOD)) == {"Distinct": "the pixels of picture 2"}
    assert verdict_of(both, GOOD, OTHER).verdict is TruthVerdict.VERIFIED
    tiny = Look(16, 16, fingerprint="a")
    assert "Distinct" not in drifts(verdict_of(replace(both, size_px=(16, 16)), tiny, tiny))


def test_picture_of_an_earlier_request_is_stale_unless_the_same_was_asked() -> None:
    before = (Seen("a", "seed 1", "job 12"),)
    assert drifts(verdict_of(TXT2IMG, GOOD, before=before, wishes=["seed 2"])) == {
        "Distinct": "the pixels of job 12"
    }
    assert verdict_of(TXT2IMG, GOOD, before=before, wishes=["seed 1"]).verdict is TruthVerdict.VERIFIED


def test_swapped_pictures_drift_by_their_own_text() -> None:
    request = replace(TXT2IMG, pictures=2, body={"steps": 20, "seed": 5})
    texts = [f"a\nSteps: 20, Sampler: Euler, Seed: {seed}, Size: 512x512" for seed in (6, 5)]
    info = {"Seed": "5"}
    came = [
        Came(GOOD, PictureFacts(info=info), PictureFacts(texts[0])),
        Came(OTHER, own=PictureFacts(texts[1])),
    ]
    assert [drifts(one)["Seed"] for one in judge(DRIVER, request, came)] == ["6", "5"]


def test_what_a_witness_proves_and_the_lists_deny_asks_for_new_lists() -> None:
    request = replace(TXT2IMG, body={"steps": 20, "override_settings": {"sd_model_checkpoint": "new"}})
    came = [Came(GOOD, PictureFacts(info={"Model": "new"}))]
    [judgement] = judge(DRIVER, request, came, catalog=Catalog(lists={Thing.CHECKPOINT: (Entry("old"),)}))
    assert judgement.verdict is TruthVerdict.UNPROVEN
    assert {one.field: one.outcome for one in judgement.fields}["Checkpoint"] is FieldVerdict.VERIFIED
    assert "new" in judgement.contradicts


def test_sayings_of_an_answer_that_is_gone_are_taken_from_the_earlier_judgement() -> None:
    request = replace(TXT2IMG, body={"steps": 20, "scheduler": "Karras"})
    kept = {"Scheduler": (Saying(Witness.INFO, "Karras", same=True),)}
    [judgement] = judge(DRIVER, request, [Came(GOOD, kept=kept)])
    assert {one.field: one.outcome for one in judgement.fields}["Scheduler"] is FieldVerdict.VERIFIED


def test_a_job_is_as_true_as_its_worst_picture() -> None:
    assert worst(["verified", "unproven"]) == "unproven"
    assert worst(["verified", "drifted", "unproven"]) == "drifted"
    assert worst([]) == ""
