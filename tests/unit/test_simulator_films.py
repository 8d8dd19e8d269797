"""What a person sees in simulated films and edits, and what stands in their files."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from io import BytesIO
from itertools import pairwise
from typing import Any

import av
import pytest
from PIL import Image, ImageChops, ImageStat

from webui.simulator.films import encoding, painting
from webui.simulator.films.answers import TurnedAwayError
from webui.simulator.films.asked import AskedJob
from webui.simulator.films.input_pictures import MOST_FILES, SimulatedInputs, decoded
from webui.simulator.films.jobs import KEPT_RESULTS, REMEMBERED_JOBS, SimulatedJob, SimulatedJobs, kept
from webui.simulator.films.painting import FilmOrder
from webui.simulator.journal import Journal

RED, GREEN = (200, 40, 30), (20, 160, 60)
VISIBLE = 24
"""Of 255, in one of 16 x 16 places."""


def order(kind: str = "i2v", **changes: Any) -> FilmOrder:
    """A small film or edit; `changes` may name fields of the order and parameters alike."""
    used: dict[str, Any] = {"steps": 8, "cfg_scale": 1.0, "model": "simulated", "fit": "crop", "loras": []}
    used |= {"boundary": 0.9, "sigma_shift": 5.0} if kind == "i2v" else {"scheduler": "lightning"}
    used |= {name: changes.pop(name) for name in list(changes) if name in used}
    given: dict[str, Any] = {
        "pictures": (Image.new("RGB", (300, 200), RED),),
        "prompt": "the cat walks on",
        "negative_prompt": "",
        "seed": 42,
        "width": 192,
        "height": 128,
        "frames": 9,
        "fps": 16,
    }
    return FilmOrder(kind=kind, used=used, **(given | changes))


def filmed(wanted: FilmOrder, comment: dict[str, Any] | None = None) -> bytes:
    return encoding.mp4(painting.film(wanted), wanted.size, wanted.fps, comment or {})


def frames_of(content: bytes) -> list[Image.Image]:
    with av.open(BytesIO(content), "r") as film:
        return [frame.to_image() for frame in film.decode(video=0)]  # type: ignore[no-untyped-call]


def difference(one: Image.Image, other: Image.Image) -> int:
    """Of 255: what the most different of 16 x 16 places differs by."""
    small = ImageChops.difference(one, other).resize((16, 16), Image.Resampling.BOX)
    return max(int(most) for _, most in small.getextrema())  # type: ignore[misc]  # three bands


def colour(image: Image.Image, box: tuple[int, int, int, int]) -> list[float]:
    return ImageStat.Stat(image.crop(box)).mean


def near(one: Iterable[float], other: Iterable[float], most: float = 12) -> bool:
    return all(abs(a - b) <= most for a, b in zip(one, other, strict=True))


# --- films ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "frames", "fps"), [((64, 64), 5, 1), ((192, 128), 9, 16), ((1920, 64), 13, 60)]
)
def test_film_has_exactly_its_frames_size_and_rate(size: tuple[int, int], frames: int, fps: int) -> None:
    content = filmed(order(width=size[0], height=size[1], frames=frames, fps=fps))
    with av.open(BytesIO(content), "r") as film:
        stream = film.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (float(stream.average_rate or 0), stream.frames) == (fps, frames)
        assert float((stream.duration or 0) * (stream.time_base or 0)) == pytest.approx(frames / fps)
    pictures = frames_of(content)
    assert len(pictures) == frames
    assert {picture.size for picture in pictures} == {size}
    assert content.index(b"moov") < content.index(b"mdat")


def test_same_request_is_the_same_file() -> None:
    assert filmed(order()) == filmed(order())


@pytest.mark.parametrize("size", [(64, 64), (192, 128), (832, 480)])
@pytest.mark.parametrize(
    "change", [{"seed": 43}, {"steps": 9}, {"prompt": "a dog sleeps, or perhaps a bear"}]
)
def test_another_request_is_visibly_another_film(size: tuple[int, int], change: dict[str, Any]) -> None:
    if size == (64, 64) and "prompt" in change:
        size = (96, 96)  # smaller ones have no room for words
    ones, others = (
        list(painting.film(order(width=size[0], height=size[1], **words))) for words in ({}, change)
    )
    seen = max(
        ImageStat.Stat(ImageChops.difference(*pair)).extrema[0][1] for pair in zip(ones, others, strict=True)
    )
    assert seen > 100, "nothing to read differs"
    if "seed" in change:
        assert max(map(difference, ones, others)) > VISIBLE


@pytest.mark.parametrize("size", [(64, 64), (832, 480)])
def test_film_begins_with_its_picture_and_moves(size: tuple[int, int]) -> None:
    for given in (RED, GREEN):
        picture = Image.new("RGB", (300, 200), given)
        film = list(painting.film(order(pictures=(picture,), width=size[0], height=size[1])))
        top = (size[0] * 2 // 3, 0, size[0], size[1] // 8)
        assert near(colour(film[0], top), given)
        assert all(one.tobytes() != other.tobytes() for one, other in pairwise(film))
        assert max(difference(film[0], frame) for frame in film) > VISIBLE


def test_picture_of_another_shape_is_cropped_or_padded() -> None:
    picture = Image.new("RGB", (100, 300), GREEN)
    crop, pad = (
        next(painting.film(order(pictures=(picture,), width=320, height=128, fit=fit)))
        for fit in ("crop", "pad")
    )
    edge, middle = (300, 0, 320, 40), (150, 0, 170, 40)
    assert near(colour(crop, edge), GREEN)
    assert near(colour(pad, edge), (0, 0, 0))
    assert near(colour(pad, middle), GREEN)


@pytest.mark.parametrize("size", [(64, 64), (96, 64), (832, 480)])
@pytest.mark.parametrize("seed", [0, 7, 4294967295])
def test_words_are_written_light_on_dark(size: tuple[int, int], seed: int) -> None:
    for picture in (
        next(painting.film(order(width=size[0], height=size[1], seed=seed))),
        painting.edit(order("edit", width=size[0], height=size[1], seed=seed)),
    ):
        lower = picture.crop((0, size[1] // 2, *size)).convert("L")
        least, most = lower.getextrema()
        assert least < 60 < 200 < most  # type: ignore[operator]  # one band


def test_words_of_a_film_say_what_it_was_made_with() -> None:
    facts = painting.facts(order(seed=7, width=832, height=480, frames=81))
    for words in ("seed 7", "832x480", "8 steps", "81 frames", "16 fps", "CFG 1", "shift 5", "simulated"):
        assert words in facts
    assert "lightning" in painting.facts(order("edit"))


@pytest.mark.parametrize("prompt", ["", "x" * 500, "猫が歩く" * 100, "🐈\n" * 9, "a " * 250])
@pytest.mark.parametrize("size", [(64, 64), (64, 1920), (1920, 64), (96, 96)])
def test_any_words_fit_any_size(prompt: str, size: tuple[int, int]) -> None:
    wanted: dict[str, Any] = {"prompt": prompt, "width": size[0], "height": size[1]}
    assert next(painting.film(order(**wanted))).size == size
    assert painting.edit(order("edit", **wanted)).size == size


def test_frozen_film_stands_and_flat_one_has_no_picture() -> None:
    still = list(painting.film(order(is_frozen=True)))
    assert len({frame.tobytes() for frame in still}) == 1
    flat = list(painting.film(order(is_flat=True)))
    assert all(len(frame.getcolors() or []) == 1 for frame in flat)


def test_film_says_in_its_file_how_it_was_made() -> None:
    comment = {"seed": 42, "prompt": 'ein "Apfel" – 🍎', "loras": [{"name": "a"}]}
    with av.open(BytesIO(filmed(order(), comment)), "r") as film:
        assert json.loads(film.metadata["comment"]) == comment


# --- edits ----------------------------------------------------------------------------------------------


def test_edit_changes_its_picture_by_its_words_and_seed() -> None:
    picture = Image.linear_gradient("L").convert("RGB")
    asked = order("edit", pictures=(picture,))
    edit = painting.edit(asked)
    plain = painting.fitted(picture, asked.size, "crop")
    assert edit.size == asked.size
    assert edit.tobytes() == painting.edit(asked).tobytes()
    assert difference(edit, plain) > VISIBLE
    for change in ({"seed": 43}, {"prompt": "make it night"}, {"steps": 9}):
        assert difference(edit, painting.edit(order("edit", pictures=(picture,), **change))) > VISIBLE


def test_other_pictures_of_an_edit_are_seen() -> None:
    first, second = (Image.new("RGB", (300, 200), given) for given in (RED, GREEN))
    edit = painting.edit(order("edit", pictures=(first, second), width=400, height=400))
    assert near(colour(edit, (330, 10, 390, 70)), GREEN)
    assert not near(colour(edit, (330, 100, 390, 140)), GREEN, 60)


def test_edit_says_in_its_file_how_it_was_made() -> None:
    comment = {"seed": 42, "prompt": "ein Apfel – 🍎"}
    with Image.open(BytesIO(encoding.png(painting.edit(order("edit")), comment))) as image:
        image.load()
        assert (image.format, image.size) == ("PNG", (192, 128))
        assert json.loads(image.info["stablenew"]) == comment


# --- input pictures -------------------------------------------------------------------------------------


def encoded(image: Image.Image, kind: str = "PNG", **words: Any) -> bytes:
    stream = BytesIO()
    image.save(stream, kind, **words)
    return stream.getvalue()


def test_transparency_becomes_white() -> None:
    clear = Image.new("RGBA", (8, 8), (10, 20, 30, 0))
    assert decoded(encoded(clear)).getpixel((3, 3)) == (255, 255, 255)
    shade = Image.new("P", (8, 8), 0)
    assert decoded(encoded(shade, transparency=0)).getpixel((3, 3)) == (255, 255, 255)


def test_second_picture_of_a_photo_is_not_looked_at() -> None:
    one, other = (Image.new("RGB", (8, 8), given) for given in (RED, GREEN))
    content = encoded(one, "MPO", save_all=True, append_images=[other])
    assert near(colour(decoded(content), (0, 0, 8, 8)), RED)


def test_kept_inputs_that_a_job_needs_do_not_go() -> None:
    contents = [encoded(Image.new("RGB", (4, 4), (index, 0, 0))) for index in range(MOST_FILES + 2)]
    names = [hashlib.sha256(content).hexdigest() for content in contents]
    inputs = SimulatedInputs(lambda: [names[0]])
    for name, content in zip(names, contents, strict=True):
        inputs.put(name, content)
    assert [name in inputs for name in names] == [True, False, False] + [True] * (MOST_FILES - 1)
    assert inputs.picture(names[0]).size == (4, 4)
    with pytest.raises(TurnedAwayError, match="not here"):
        inputs.picture(names[1])


# --- jobs -----------------------------------------------------------------------------------------------


def job(number: int, state: str = "done") -> SimulatedJob:
    parameters = {"steps": 4}
    asked = AskedJob("edit", f"job-{number}", ("0" * 64,), "a cat", "", 1, "", parameters)
    return SimulatedJob(asked, str(number), number, Journal(None), 0.0, state=state)


def test_only_the_newest_jobs_are_remembered_and_a_running_one_is_not_forgotten() -> None:
    jobs = SimulatedJobs()
    jobs.add(job(0, "running"))
    for number in range(1, REMEMBERED_JOBS + 3):
        jobs.add(job(number))
    found = [number for number in range(REMEMBERED_JOBS + 3) if jobs.find(f"job-{number}")]
    assert found == [0, *range(4, REMEMBERED_JOBS + 3)]
    assert [one.number for one in jobs.newest()] == list(range(REMEMBERED_JOBS + 2, REMEMBERED_JOBS - 18, -1))


def test_result_that_aged_out_is_still_told_of() -> None:
    jobs = SimulatedJobs()
    for number in range(KEPT_RESULTS + 1):
        one = job(number)
        one.result = kept(b"bytes", {"media_type": "image/png"})
        jobs.add(one)
        jobs.age_results()
    oldest, next_one = (jobs.find(f"job-{number}") for number in (0, 1))
    assert oldest is not None
    assert next_one is not None
    assert jobs.content_of(oldest) is None
    assert oldest.document()["result"]["size_bytes"] == 5
    assert jobs.content_of(next_one) == (next_one.document()["result"], b"bytes")
