"""Every lie of the simulator over real HTTP: other pixels than those of an honest answer, and texts as said."""

import base64
import io
import json
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.truth.installation import LORAS, Installation
from tests.truth.lies import DETAILED, ENLARGED, ENLARGED_BY_IMG, HIRES, IMG, PLAIN, THREE, TOLD, Lie, Order
from webui.simulator.faults import LYING

DIALECTS = ("a1111", "forge")


@dataclass(frozen=True)
class Answer:
    """What came, read with nothing of the product."""

    body: dict[str, Any]

    @property
    def coded(self) -> list[str]:
        return list(self.body["images"]) if "images" in self.body else [self.body["image"]]

    @property
    def pictures(self) -> list[Image.Image]:
        opened: list[Image.Image] = [Image.open(io.BytesIO(base64.b64decode(one))) for one in self.coded]
        for picture in opened:
            picture.load()
        return opened

    @property
    def pixels(self) -> list[bytes]:
        return [picture.convert("RGB").tobytes() for picture in self.pictures]

    @property
    def sizes(self) -> list[tuple[int, int]]:
        return [picture.size for picture in self.pictures]

    @property
    def own_texts(self) -> list[str]:
        return [str(picture.info.get("parameters", "")) for picture in self.pictures]

    @property
    def told(self) -> Any:
        """`info` without its clock, or the notes of extras."""
        if "info" not in self.body:
            return self.body["html_info"]
        return {
            name: value for name, value in json.loads(self.body["info"]).items() if name != "job_timestamp"
        }


class Asking:
    """Sends the same order honestly and under a lie."""

    def __init__(self, installation: Installation) -> None:
        self.installation = installation
        self.picture = base64.b64decode(self.honest(_of_size(PLAIN, 128, 128)).coded[0])

    def honest(self, order: Order) -> Answer:
        return self.under("", order)

    def under(self, rule: str, order: Order) -> Answer:
        picture = getattr(self, "picture", b"")
        request = self.installation.driver.request(order(picture))
        self.installation.lie(rule)
        answer = self.installation.process.post(
            request.endpoint.removeprefix("/sdapi/v1/"), **dict(request.body)
        )
        self.installation.lie("")
        assert answer.status_code == 200, answer.text
        return Answer(answer.json())


def _of_size(order: Order, width: int, height: int) -> Order:
    def changed(picture: bytes) -> Any:
        asked = order(picture)
        return replace(
            asked, parameters=asked.parameters.model_copy(update={"width": width, "height": height})
        )

    return changed


@pytest.fixture(scope="module")
def askings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Asking]]:
    started: dict[str, Asking] = {}

    def of(dialect: str) -> Asking:
        if dialect not in started:
            started[dialect] = Asking(Installation(dialect, tmp_path_factory.mktemp(dialect)).__enter__())
        return started[dialect]

    yield of
    for asking in started.values():
        asking.installation.__exit__(None, None, None)


@pytest.fixture(params=DIALECTS)
def asking(askings: Callable[[str], Asking], request: pytest.FixtureRequest) -> Asking:
    return askings(request.param)


UNREADABLE = {"truncated", "torn-picture", "half-drawn"}
"""Nothing opens these; what they are stands in the tests below."""
NEEDS_AN_EARLIER_ANSWER = {"stale", "stale-answer"}
OPENED = [lie for lie in TOLD if lie.rule not in UNREADABLE]

SAME_TEXTS = {
    *("lora-ignored-hidden", "wrong-checkpoint-hidden", "wrong-seed-hidden", "steps-fewer-hidden"),
    *("refiner-ignored-hidden", "clip-skip-ignored", "upscale-not-done", "swapped-pixels", "swapped-order"),
    *("upscaler-without-weights", "img2img-upscaler-ignored", "face-restorer-missing", "detector-missing"),
    *("black", "nearly-black", "flat", "wrong-size", "sisters-equal", "grid", "stale", "input-returned"),
    *("fewer-images", "seed-of-another", "interrupted"),
}
"""Lies whose `info` is word for word that of an honest answer."""


def test_every_kind_of_lie_is_in_the_table() -> None:
    assert set(LYING) <= {lie.rule for lie in TOLD}


@pytest.mark.parametrize("lie", OPENED, ids=lambda lie: lie.name)
def test_lie_draws_other_pictures_than_an_honest_server(asking: Asking, lie: Lie) -> None:
    if asking.installation.dialect not in lie.dialects:
        return
    honest = asking.honest(lie.order)
    assert asking.honest(lie.order).pixels == honest.pixels
    if lie.rule in NEEDS_AN_EARLIER_ANSWER:
        asking.honest(_other_seed(lie.order))
    told = asking.under(lie.rule, lie.order)
    assert told.pixels != honest.pixels
    assert (told.told == honest.told) is (lie.rule in SAME_TEXTS)


def _other_seed(order: Order) -> Order:
    return lambda picture: replace(order(picture), seed=77)


# --- what is told -------------------------------------------------------------------------------------------

SAID = {
    "wrong-seed": "Seed: 2000,",
    "wrong-subseed": "Variation seed: 6000,",
    "steps-fewer": "Steps: 6,",
    "cfg-other": "CFG scale: 10.0,",
    "denoising-other": "Denoising strength: 0.",
    "sampler-replaced": "Sampler: DPM++ 2M,",
    "hr-upscaler-other": "Hires upscaler: Lanczos",
    "wrong-checkpoint": "Model: inkwash-XL",
}
UNSAID = {
    "lora-ignored": "Lora hashes",
    "embedding-ignored": "TI",
    "vae-ignored": "VAE",
    "refiner-ignored": "Refiner",
    "hr-scheduler-ignored": "Hires schedule type",
    "clip-skip-other": "Clip skip",
}


@pytest.mark.parametrize(
    "lie", [lie for lie in TOLD if lie.rule in SAID or lie.rule in UNSAID], ids=lambda lie: lie.name
)
def test_lie_says_what_was_used_or_nothing(asking: Asking, lie: Lie) -> None:
    if asking.installation.dialect not in lie.dialects:
        return
    honest, told = (asking.under(rule, lie.order).told["infotexts"][0] for rule in ("", lie.rule))
    if lie.rule in SAID:
        assert SAID[lie.rule] in told
        assert told != honest
    else:
        assert UNSAID[lie.rule] in honest
        assert UNSAID[lie.rule] not in told


def test_ignored_schedule_is_repeated_by_a1111_and_not_among_what_came_into_force(
    askings: Callable[[str], Asking],
) -> None:
    told = askings("a1111").under("scheduler-ignored", PLAIN).told
    assert "Schedule type: Karras" in told["infotexts"][0]
    assert "Schedule type" not in told["extra_generation_params"]
    assert (
        "Schedule type: Automatic" in askings("forge").under("scheduler-ignored", PLAIN).told["infotexts"][0]
    )


def test_half_loaded_loras_tell_the_hash_of_the_first_or_of_other_files(asking: Asking) -> None:
    two = next(lie.order for lie in TOLD if lie.rule == "lora-first-only")
    honest, first, other = (
        asking.under(rule, two).told["extra_generation_params"]["Lora hashes"]
        for rule in ("", "lora-first-only", "lora-other-file")
    )
    assert first == honest.split(", ")[0]
    assert [part.split(": ")[0] for part in other.split(", ")] == list(LORAS[:2])
    assert not set(other.split(", ")) & set(honest.split(", "))


def test_only_the_picture_itself_says_that_its_seed_is_that_of_another(asking: Asking) -> None:
    honest, told = asking.honest(THREE), asking.under("seed-of-another", THREE)
    assert told.pixels[:2] == honest.pixels[1:]
    assert told.own_texts[:2] == honest.own_texts[1:]


# --- pictures of the finished answer --------------------------------------------------------------------------


def test_swapped_pictures_keep_their_texts_or_take_those_of_their_place(asking: Asking) -> None:
    honest = asking.honest(THREE)
    order, pixels = asking.under("swapped-order", THREE), asking.under("swapped-pixels", THREE)
    assert order.pixels == pixels.pixels == honest.pixels[::-1]
    assert order.own_texts == honest.own_texts[::-1]
    assert pixels.own_texts == honest.own_texts


def test_pictures_of_one_colour_or_none_have_size_and_text(asking: Asking) -> None:
    honest = asking.honest(PLAIN)
    for rule, brightest in (("black", 0), ("nearly-black", 2), ("flat", 128)):
        told = asking.under(rule, PLAIN)
        assert max(told.pixels[0]) == brightest
        assert (told.sizes, told.own_texts) == (honest.sizes, honest.own_texts)
    assert len(set(asking.under("flat", PLAIN).pictures[0].getcolors() or ())) == 1


def test_sisters_are_equal_under_texts_of_their_own(asking: Asking) -> None:
    honest, told = asking.honest(THREE), asking.under("sisters-equal", THREE)
    assert told.pixels == [honest.pixels[0]] * 3
    assert told.own_texts == honest.own_texts


def test_grid_is_larger_than_the_picture_in_whose_place_it_is(asking: Asking) -> None:
    (width, height), *others = asking.honest(THREE).sizes
    assert asking.under("grid", THREE).sizes == [(width * 2, height * 2), *others]
    assert asking.under("grid", PLAIN).sizes == [(width * 2, height * 2)]


def test_stale_pixels_have_the_new_text_and_a_stale_answer_its_own(asking: Asking) -> None:
    now = asking.honest(PLAIN)
    earlier = asking.honest(_other_seed(PLAIN))
    stale = asking.under("stale", PLAIN)
    assert (stale.pixels, stale.own_texts) == (earlier.pixels, now.own_texts)
    asking.honest(_other_seed(PLAIN))
    whole = asking.under("stale-answer", PLAIN)
    assert (whole.pixels, whole.own_texts, whole.told) == (earlier.pixels, earlier.own_texts, earlier.told)


@pytest.mark.parametrize(
    "order", [IMG, DETAILED, ENLARGED, ENLARGED_BY_IMG], ids=["img2img", "ADetailer", "extras", "upscale"]
)
def test_input_comes_back_under_the_texts_of_the_work(asking: Asking, order: Order) -> None:
    told = asking.under("input-returned", order)
    given = Image.open(io.BytesIO(asking.picture)).convert("RGB")
    assert told.pixels == [given.tobytes()]


@pytest.mark.parametrize(
    ("order", "size"), [(ENLARGED, (128, 128)), (HIRES, (128, 96)), (ENLARGED_BY_IMG, (128, 128))]
)
def test_upscale_that_was_not_done_leaves_the_size(
    asking: Asking, order: Order, size: tuple[int, int]
) -> None:
    assert asking.under("upscale-not-done", order).sizes == [size]
    assert asking.honest(order).sizes != [size]


@pytest.mark.parametrize("order", [PLAIN, ENLARGED], ids=["txt2img", "extras"])
def test_half_drawn_picture_has_sound_checksums_and_half_of_its_rows(asking: Asking, order: Order) -> None:
    told, honest = asking.under("half-drawn", order), asking.honest(order)
    data = base64.b64decode(told.coded[0])
    Image.open(io.BytesIO(data)).verify()  # every chunk's checksum
    # Pillow opens it without a word; what is not there is black.
    assert (told.sizes, told.own_texts) == (honest.sizes, honest.own_texts)
    width, height = honest.sizes[0]
    at = data.index(b"IDAT")
    packed = data[at + 4 : at + 4 + int.from_bytes(data[at - 4 : at])]
    assert len(zlib.decompress(packed)) == height // 2 * (1 + width * 3)
    assert told.pixels[0][: height // 2 * width * 3] == honest.pixels[0][: height // 2 * width * 3]


def test_lies_strike_jpeg_too_and_keep_its_text(tmp_path: Path) -> None:
    with Installation("a1111", tmp_path) as installation:
        installation.send_pictures_as("jpg")
        asking = Asking(installation)
        for rule in ("flat", "swapped-pixels", "stale"):
            told = asking.under(rule, THREE)
            assert {picture.format for picture in told.pictures} == {"JPEG"}
            assert len({str(picture.getexif().get_ifd(0x8769)) for picture in told.pictures}) == 3


def test_seeds_by_chance_are_the_same_in_pictures_and_texts_of_a_lie(asking: Asking) -> None:
    told = asking.under("steps-fewer-hidden", lambda picture: replace(THREE(picture), seed=-1))
    assert [
        f"Seed: {seed}," in text for seed, text in zip(told.told["all_seeds"], told.own_texts, strict=True)
    ] == [True] * 3
