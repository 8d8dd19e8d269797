"""The text inside pictures: read to the last character, parsed without ever failing."""

import re
from io import BytesIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image
from PIL.PngImagePlugin import PngInfo

from tests.steps import counted_steps
from webui.drivers.a1111.infotext import Infotext, parse_infotext, read_infotext

TEXT = "a cat on a sofa\nNegative prompt: blurry\nSteps: 1, Sampler: Euler, CFG scale: 7.0, Seed: 42"


def png(text: str | None, *, key: str = "parameters", packed: bool = False, wide: bool = False) -> bytes:
    info = PngInfo()
    info.add_text("Software", "something else")
    if text is not None:
        if wide:
            info.add_itxt(key, text, zip=packed)
        else:
            info.add_text(key, text, zip=packed)
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize(
    "text", [TEXT, " two  spaces, tab\t, no end\n\n", "naïve café", "猫 on a sofa 🛋", ""]
)
def test_text_is_read_to_the_last_character(text: str, wide: bool, packed: bool) -> None:
    assert read_infotext(png(text, wide=wide, packed=packed)) == text


@pytest.mark.parametrize("image_format", ["JPEG", "WEBP"])
def test_text_of_jpeg_and_webp_is_read_from_the_user_comment(image_format: str) -> None:
    exif = Image.Exif()
    comment = b"UNICODE\0" + "猫, Steps: 1".encode("utf-16-be")
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    buffer = BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, image_format, exif=exif)
    assert read_infotext(buffer.getvalue()) == "猫, Steps: 1"


@pytest.mark.parametrize(
    "image",
    [
        b"",
        b"no picture",
        b"\xff\xd8\xff\xe0",
        png(None),
        png(TEXT, key="other"),
        png(TEXT)[: png(TEXT).index(b"blurry")],
    ],
    ids=["nothing", "other bytes", "cut JPEG", "none", "other key", "cut PNG"],
)
def test_picture_without_the_text_has_none(image: bytes) -> None:
    assert read_infotext(image) is None


def test_text_that_unpacks_without_measure_is_left_alone() -> None:
    assert read_infotext(png("x" * 5_000_000, packed=True)) is None


@given(st.binary(max_size=300))
def test_damaged_pictures_never_raise(tail: bytes) -> None:
    read_infotext(png(TEXT)[:40] + tail)


def test_infotext_is_parsed_into_prompt_negative_and_fields() -> None:
    assert parse_infotext(TEXT) == Infotext(
        "a cat on a sofa",
        "blurry",
        {"Steps": "1", "Sampler": "Euler", "CFG scale": "7.0", "Seed": "42"},
    )


def test_quoted_values_and_many_lines_are_understood() -> None:
    text = (
        'a "red" cat\nsecond: line\n\nNegative prompt: blurry,\nbad hands\n'
        'Steps: 20, Size: 64x64, Lora hashes: "one: 12ab, two: 34cd", '
        'Hires prompt: "say \\"hi\\", cat", Seed: 1'
    )
    parsed = parse_infotext(text)
    assert parsed.prompt == 'a "red" cat\nsecond: line'
    assert parsed.negative_prompt == "blurry,\nbad hands"
    assert parsed.fields["Lora hashes"] == "one: 12ab, two: 34cd"
    assert parsed.fields["Hires prompt"] == 'say "hi", cat'
    assert list(parsed.fields) == ["Steps", "Size", "Lora hashes", "Hires prompt", "Seed"]


def test_prompt_that_only_looks_like_fields_stays_a_prompt() -> None:
    assert parse_infotext("style: anime, mood: calm") == Infotext("style: anime, mood: calm")
    assert parse_infotext("") == Infotext()


@given(st.text(max_size=300))
def test_odd_text_never_raises(text: str) -> None:
    parse_infotext(text)
    parse_infotext(f"{text}\nNegative prompt: {text}\nSteps: 1, Seed: {text}, Size: 8x8")


WEBUI_FIELD = re.compile(r'\s*(\w[\w \-/]*):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
"""The expression with which the WebUI itself reads a last line. It backtracks, so it only judges short ones."""
PIECES = st.sampled_from(
    ["Steps", "a", ":", ",", " ", '"', "\\", "-", "/", "b 1", "é", "(", ": ", 'x: "y"', "1"]
)


@settings(max_examples=500)
@given(st.lists(PIECES, max_size=16).map("".join))
def test_fields_are_those_that_the_webui_finds(line: str) -> None:
    found = {name.strip(): value.strip() for name, value in WEBUI_FIELD.findall(line)}
    fields = parse_infotext(f"x\n{line}").fields
    # A last line with few fields is a part of the prompt; quotes are taken off.
    assert not fields or (list(fields) == list(found) and len(WEBUI_FIELD.findall(line)) >= 3)
    for name, value in fields.items():
        assert value in (found[name], found[name][1:-1]) or "\\" in found[name]


@pytest.mark.parametrize(
    "piece", ["word ", "a: ", "a: b, ", 'a: "', 'a:"b",', 'a: "\\', "-", "/ ", ", ", ": ", '"', "x", "(a)"]
)
def test_twice_the_infotext_is_at_most_little_more_than_twice_the_work(piece: str) -> None:
    def steps(size: int) -> int:
        text = f"a cat\nSteps: 1, {piece * (size // len(piece))}"
        with counted_steps() as counted:
            parse_infotext(text)
        return counted.count

    steps(100)  # What is made once does not count.
    for size in (4_000, 16_000):
        assert steps(2 * size) <= 2.3 * steps(size)
