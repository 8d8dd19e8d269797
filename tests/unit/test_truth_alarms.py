"""Honest results that once gave an alarm, and lies that once were verified: what the runs of `tests.truth` found."""

from __future__ import annotations

import io
from dataclasses import replace

import pytest
from PIL import Image

from jobs.truth.judge import Came, judge
from jobs.truth.look import Look, is_plain_resize
from jobs.truth.outcomes import DISTINCT, FieldVerdict
from jobs.truth.pixel_rules import Seen
from webui.drivers.a1111.driver import DRIVER
from webui.work.catalog import Catalog, Entry, JsonScalar, Thing
from webui.work.told import PictureFacts
from webui.work.unit import Request, Vocabulary

SOURCE = Look(512, 512, fingerprint="source")
REQUEST = Request(
    "img2img", "/sdapi/v1/img2img", {"steps": 9}, 1, Vocabulary(), size_px=(512, 512), changes=None
)
BEFORE = (Seen("source", "its own wish", "job 1"), Seen("again", "the same source", "job 2"))


def distinct(request: Request, look: Look, source: Look | None) -> list[FieldVerdict]:
    [judgement] = judge(DRIVER, request, [Came(look)], source=source, before=BEFORE)
    return [row.outcome for row in judgement.fields if row.field == DISTINCT]


@pytest.mark.parametrize("changes", [None, False], ids=["detectors found nothing", "nothing to change"])
@pytest.mark.parametrize("fingerprint", ["source", "again"])
def test_input_that_may_come_back_is_no_picture_of_another_job(
    changes: bool | None, fingerprint: str
) -> None:
    request = replace(REQUEST, changes=changes)
    assert distinct(request, Look(512, 512, fingerprint=fingerprint), SOURCE) == []


def test_extras_of_equal_pixels_in_two_files_may_be_equal() -> None:
    request = replace(REQUEST, changes=True, samples=False, body={"upscaler_1": "Lanczos"})
    assert distinct(request, Look(512, 512, fingerprint="again"), SOURCE) == []


def test_picture_of_another_job_drifts_where_this_one_had_to_be_drawn() -> None:
    stale = Look(512, 512, fingerprint="again")
    assert distinct(replace(REQUEST, changes=True), stale, SOURCE) == [FieldVerdict.DRIFT]
    assert distinct(replace(REQUEST, changes=False), stale, None) == [FieldVerdict.DRIFT]


def png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()


def test_smooth_edge_and_unchanged_size_tell_nothing_of_a_resize() -> None:
    smooth = Image.linear_gradient("L").resize((160, 256)).convert("RGB")
    larger = (240, 384)
    for method in (Image.Resampling.LANCZOS, Image.Resampling.BICUBIC, Image.Resampling.NEAREST):
        assert is_plain_resize(png(smooth), png(smooth.resize(larger, method))) is None
    noise = Image.effect_noise((160, 120), 90).convert("RGB")
    assert is_plain_resize(png(noise), png(noise)) is None
    assert is_plain_resize(png(noise), png(noise.resize((320, 240), Image.Resampling.LANCZOS))) is True


@pytest.mark.parametrize(
    ("dialect", "tells", "extra", "outcome"),
    [
        ("a1111", True, {}, FieldVerdict.NOT_TOLD),
        ("a1111", False, {}, FieldVerdict.VERIFIED),
        ("a1111", True, {"TI hashes": "easyneg: 0123456789ab"}, FieldVerdict.VERIFIED),
        ("forge", None, {}, FieldVerdict.NOT_TOLD),
        ("forge", None, {"TI": "other, EasyNeg"}, FieldVerdict.VERIFIED),
    ],
)
def test_embedding_that_is_listed_is_proved_by_its_name_where_the_server_names_them(
    dialect: str, tells: JsonScalar, extra: dict[str, str], outcome: FieldVerdict
) -> None:
    options = {"textual_inversion_add_hashes_to_infotext": tells}
    catalog = Catalog(dialect, lists={Thing.EMBEDDING: (Entry("easyneg"),)}, options=options)
    request = replace(REQUEST, embeddings=("easyneg",), changes=False)
    came = Came(Look(512, 512, fingerprint="a"), PictureFacts(info={"Steps": "9"} | extra))
    [judgement] = judge(DRIVER, request, [came], catalog=catalog)
    assert [row.outcome for row in judgement.fields if row.field == "Embedding easyneg"] == [outcome]
