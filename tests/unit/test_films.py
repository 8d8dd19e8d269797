"""Films are decoded whole: what they are, what is wrong with them, and what they may cost."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from jobs.errors import NoFilmError
from jobs.films import is_film, read_film
from tests.drawn_films import FAST, encoded, film, flat_film, moving
from tests.sketches import sketch

ROOT = Path(__file__).parents[2]


def words_of(content: bytes, **bounds: int) -> str:
    with pytest.raises(NoFilmError) as caught:
        read_film(content, **bounds)
    return str(caught.value)


def test_a_film_tells_what_it_is() -> None:
    facts = read_film(film((64, 48), 9, fps=16, comment='{"seed": 7}'))

    assert (facts.width_px, facts.height_px, facts.frames, facts.fps) == (64, 48, 9, 16.0)
    assert facts.duration_s == pytest.approx(9 / 16, abs=0.001)
    assert (facts.faststart, facts.flat, facts.black, facts.still) == (True, False, False, False)
    assert facts.comment == '{"seed": 7}'


def test_its_poster_is_its_first_frame() -> None:
    pictures = moving((64, 48), 9)
    poster = Image.open(io.BytesIO(read_film(encoded(pictures)).poster))

    assert (poster.format, poster.size) == ("JPEG", (64, 48))
    assert mean_difference(poster, pictures[0]) < mean_difference(poster, pictures[4])


def mean_difference(one: Image.Image, other: Image.Image) -> float:
    pairs = zip(one.convert("L").tobytes(), other.convert("L").tobytes(), strict=True)
    return sum(abs(a - b) for a, b in pairs) / (one.width * one.height)


def test_a_film_that_a_browser_cannot_begin_early_says_so() -> None:
    assert not read_film(film(faststart=False)).faststart


@pytest.mark.parametrize("fps", [1, 24, 60])
def test_its_rate_is_that_of_its_frames(fps: int) -> None:
    assert read_film(film(fps=fps)).fps == fps


# --- flat and still ---------------------------------------------------------------------------------


def test_a_film_of_one_colour_is_flat() -> None:
    black, red = read_film(flat_film()), read_film(flat_film(colour=(200, 20, 20)))

    assert (black.flat, black.black, black.still) == (True, True, True)
    assert (red.flat, red.black, red.still) == (True, False, True)


def test_a_fine_pattern_is_no_single_colour() -> None:
    chequered = Image.new("RGB", (64, 48))
    chequered.putdata([(255, 255, 255) if (n % 64 + n // 64) % 2 else (0, 0, 0) for n in range(64 * 48)])

    assert not read_film(encoded([chequered] * 3)).flat


def test_one_frame_with_something_on_it_is_enough() -> None:
    plain = Image.new("RGB", (64, 48), (90, 90, 90))
    facts = read_film(encoded([plain, plain, sketch((64, 48), 2), plain]))

    assert (facts.flat, facts.still) == (False, False)


@pytest.mark.parametrize("crf", ["5", "18", "23"])
def test_a_film_that_differs_by_the_noise_of_its_codec_stands_still(crf: str) -> None:
    busy = Image.merge("RGB", [Image.effect_noise((320, 192), 40) for _ in range(3)])

    assert read_film(encoded([busy] * 17, options={"crf": crf})).still


@pytest.mark.parametrize("crf", ["5", "18", "23"])
def test_a_small_thing_that_blinks_faintly_is_motion(crf: str) -> None:
    dim = Image.linear_gradient("L").resize((320, 192)).convert("RGB")
    bright = dim.copy()
    bright.paste(dim.crop((160, 96, 176, 112)).point(lambda level: level + 10), (160, 96))

    assert not read_film(encoded([dim, bright] * 8, options={"crf": crf})).still


def test_equal_films_have_one_fingerprint_whatever_they_say_of_themselves() -> None:
    one, same = read_film(film(comment="one")), read_film(film(comment="other"))

    assert one.fingerprint == same.fingerprint
    assert one.fingerprint != read_film(film(shade=5)).fingerprint


# --- what is none -----------------------------------------------------------------------------------


@pytest.mark.parametrize("content", [b"", b"no film", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_other_bytes_are_no_film(content: bytes) -> None:
    assert not is_film(content)
    assert words_of(content) == "it is no mp4"


def test_a_film_without_its_end_is_cut_off() -> None:
    content = film()

    assert is_film(content)
    for faststart in (True, False):
        content = film(faststart=faststart)
        for part in range(1, 50):
            assert "cut off" in words_of(content[: max(8, len(content) * part // 50)])


def test_a_film_whose_last_frames_are_missing_says_how_many_there_are() -> None:
    content = film(frames=9, faststart=False)
    table = content.index(b"stsz") + 4
    count = int.from_bytes(content[table + 8 : table + 12])
    sizes = bytearray(content)
    # The index still names nine frames, and the last one has no bytes.
    sizes[table + 12 + 4 * (count - 1) : table + 12 + 4 * count] = bytes(4)

    assert words_of(bytes(sizes)) == "it ends after 8 of its 9 frames"


def test_broken_pixels_are_told() -> None:
    content = bytearray(film((320, 192), 9, options={"crf": "5"}))
    begin = content.index(b"mdat") + 2_000
    content[begin : begin + 3_000] = bytes(3_000)

    assert "it does not decode" in words_of(bytes(content)) or "damaged" in words_of(bytes(content))


def test_another_codec_is_named() -> None:
    assert words_of(film(codec="mpeg4", options={})) == "its codec is mpeg4, not h264"


def test_a_film_has_one_picture_track() -> None:
    assert words_of(encoded(moving((64, 48), 3), tracks=2)) == "it has 2 video tracks instead of one"


def test_more_frames_than_it_may_have_are_not_decoded() -> None:
    assert words_of(film(frames=9), most_frames=8) == "it has 9 frames, more than 8"


def test_a_huge_film_is_refused_by_its_size() -> None:
    content = encoded([Image.new("RGB", (2_048, 2_048))], options=FAST)

    assert words_of(content) == "2,048 x 2,048 pixels are more than 3,686,400"


def test_a_huge_film_that_calls_itself_small_is_refused() -> None:
    content = encoded([Image.new("RGB", (2_048, 2_048))], options=FAST).replace(
        (2_048).to_bytes(2) * 2, (64).to_bytes(2) * 2
    )
    words = words_of(content)

    assert "pixels are more than" in words or "does not decode" in words


BROKEN_BYTES = """
import random, sys
from jobs.errors import NoFilmError
from jobs.films import read_film

content, chance = open(sys.argv[1], "rb").read(), random.Random(11)
for place in ("anywhere", "index") * 150:
    broken = bytearray(content)
    for _ in range(chance.choice((1, 3, 30))):
        at = chance.randrange(len(broken) if place == "anywhere" else 1_500)
        broken[at] = chance.randrange(256)
    try:
        read_film(bytes(broken))
    except NoFilmError:
        pass
print("all read")
"""


def test_no_broken_byte_ends_the_process(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    path.write_bytes(film((160, 96), 9))
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_BYTES, str(path)], cwd=ROOT, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout.strip()) == (0, "all read"), done.stderr[-2_000:]
