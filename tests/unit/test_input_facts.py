"""What a file is that somebody gives as an input picture, and the sentence that refuses it."""

from __future__ import annotations

import hashlib
import io
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
from PIL import Image, ImageFile

from jobs.errors import InputRefusedError
from jobs.inputs.facts import InputFacts, join_bounded, read_input
from tests.sample_pictures import chunk, png_of
from webui.work import limits

ORIENTATION = 0x0112
MIB = 1024 * 1024


def encoded(picture: Image.Image, kind: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def noisy(size: tuple[int, int] = (96, 64), mode: str = "RGB", number: int = 0) -> Image.Image:
    """A picture that no format makes small: the same one of each `number`, in every run."""
    return Image.frombytes("RGB", size, Random(number).randbytes(size[0] * size[1] * 3)).convert(mode)


def animation(kind: str) -> bytes:
    return encoded(
        noisy(), kind, save_all=True, append_images=[noisy(number=1), noisy(number=2)], duration=40
    )


def huge_png(width_px: int, height_px: int) -> bytes:
    """A true PNG of black and white pixels, written row by row."""
    packer = zlib.compressobj(9)
    row = b"\0" + bytes(-(-width_px // 8))
    packed = b"".join(packer.compress(row) for _ in range(height_px)) + packer.flush()
    header = width_px.to_bytes(4) + height_px.to_bytes(4) + bytes((1, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("size", [(96, 64), (640, 512)])
def test_pictures_of_four_formats_are_read_by_their_content(kind: str, size: tuple[int, int]) -> None:
    content = encoded(noisy(size), kind)
    digest = hashlib.sha256(content).hexdigest()
    assert read_input(content, "cat.bin") == InputFacts(digest, len(content), *size, kind)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
def test_pictures_of_every_colour_mode_are_read(mode: str) -> None:
    picture = noisy().convert("I").convert("I;16") if mode == "I;16" else noisy(mode=mode)
    assert read_input(encoded(picture), "cat.png").width_px == 96


def test_a_suffix_that_lies_changes_nothing() -> None:
    assert read_input(encoded(noisy(), "JPEG"), "cat.png").format == "JPEG"


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (96, 64)), (3, (96, 64)), (6, (64, 96)), (8, (64, 96)), (99, (96, 64))]
)
def test_the_size_is_that_of_the_picture_as_exif_turns_it(
    kind: str, orientation: int, size: tuple[int, int]
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    facts = read_input(encoded(noisy(), kind, exif=exif), "phone.jpg")
    assert (facts.width_px, facts.height_px) == size


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_exif_that_cannot_be_read_turns_nothing() -> None:
    content = encoded(noisy(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert read_input(content, "cat.jpg").width_px == 96


def test_a_jpeg_of_a_camera_with_more_pictures_behind_the_first_is_that_first_one() -> None:
    content = encoded(noisy(), "MPO", save_all=True, append_images=[noisy((32, 32))])
    facts = read_input(content, "phone.jpg")
    assert (facts.format, facts.width_px, facts.height_px) == ("JPEG", 96, 64)


def refusal(content: bytes, name: str = "cat.png") -> str:
    with pytest.raises(InputRefusedError) as caught:
        read_input(content, name)
    told = str(caught.value)
    assert told.startswith(f"{name} ")
    assert told.endswith(".")
    return told


def test_an_empty_file_has_its_sentence() -> None:
    assert refusal(b"") == "cat.png is empty (0 bytes). Choose another file."


def test_the_largest_file_is_taken_and_one_byte_more_is_refused_with_both_numbers() -> None:
    content = encoded(noisy())
    largest = content + bytes(limits.MAX_INPUT_BYTES - len(content))
    assert read_input(largest, "cat.png").size_bytes == limits.MAX_INPUT_BYTES
    told = refusal(largest + b"\0")
    assert "cat.png has 7,864,321 bytes" in told
    assert "7,864,320 bytes (10 MB as base64)" in told


def test_a_file_that_streams_in_is_refused_at_its_first_byte_too_many() -> None:
    taken = 0

    def pieces() -> Iterator[bytes]:
        nonlocal taken
        while True:
            taken += 1
            yield bytes(MIB // 2)

    with pytest.raises(
        InputRefusedError, match=r"cat\.png has more than 7,864,320 bytes \(10 MB as base64\)"
    ):
        join_bounded(pieces(), "cat.png")
    assert taken == 16
    assert join_bounded([b"a", b"b"], "cat.png") == b"ab"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_an_animation_has_its_sentence(kind: str) -> None:
    assert "is an animation of 3 pictures" in refusal(animation(kind))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.9, 0.999])
def test_a_file_that_is_cut_off_has_its_sentence(kind: str, share: float) -> None:
    content = encoded(noisy((640, 512)), kind)
    assert f"{kind} that is cut off or broken" in refusal(content[: int(len(content) * share)])


@pytest.mark.parametrize(("kind", "missing"), [("PNG", 12), ("JPEG", 2)])
def test_a_file_that_lacks_only_its_end_has_its_sentence(kind: str, missing: int) -> None:
    assert f"is a {kind} that is cut off or broken" in refusal(encoded(noisy(), kind)[:-missing])


def test_an_avif_whose_data_is_broken_has_its_sentence() -> None:
    """Its decoder raises what no other one does."""
    whole = encoded(noisy(), "AVIF")
    data = whole.index(b"mdat") + 4
    with pytest.raises(InputRefusedError, match=r"is an AVIF that is cut off or broken"):
        read_input(whole[:data] + b"\xff" * (len(whole) - data), "cat.avif")


def test_bytes_that_changed_on_the_way_have_their_sentence() -> None:
    content = bytearray(encoded(noisy()))
    content[len(content) // 2] ^= 0xFF
    assert "is a PNG that is cut off or broken" in refusal(bytes(content))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a castle at dusk\n", "is no picture (PNG, JPEG, WEBP, AVIF)"),
        (encoded(noisy(), "GIF"), "is a GIF"),
        (encoded(noisy(), "BMP"), "is a BMP"),
        (encoded(noisy(), "TIFF"), "is a TIFF"),
        (b"\0\0\0\x18ftypheic" + bytes(40), "is a HEIC picture"),
        (b"\0\0\0\x18ftypisom" + bytes(40), "is a film"),
        (b"%PDF-1.7 ...", "is a PDF"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else value,
)
def test_what_is_no_picture_has_its_sentence(content: bytes, words: str) -> None:
    told = refusal(content)
    assert words in told
    assert "Save it as PNG or JPEG, or choose another file." in told


def test_too_many_pixels_are_told_with_size_and_limit() -> None:
    told = refusal(huge_png(8193, 8192))
    assert "cat.png is 8,193 x 8,192 pixels" in told
    assert "at most 67,108,864 pixels" in told
    assert read_input(huge_png(8192, 8192), "cat.png").width_px == 8192


PEAK = """
import resource, sys
from pathlib import Path
from jobs.errors import InputRefusedError
from jobs.inputs.facts import read_input
from PIL import Image, ImageFile
for kind in ("PNG", "JPEG", "WEBP", "AVIF"):
    Image.preinit(), Image.init()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    read_input(Path(sys.argv[1]).read_bytes(), "bomb.png")
except InputRefusedError as exc:
    print(exc, file=sys.stderr)
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""


def stretched_animation() -> bytes:
    """An animated WebP whose header tells of a canvas of 16,383 x 16,383 pixels."""
    content = bytearray(animation("WEBP"))
    assert content[12:16] == b"VP8X"
    content[24:27] = content[27:30] = (16383 - 1).to_bytes(3, "little")
    return bytes(content)


@pytest.mark.parametrize(
    ("make", "words"),
    [(lambda: huge_png(30_000, 30_000), "30,000 x 30,000"), (stretched_animation, "16,383 x 16,383")],
    ids=["png", "webp"],
)
def test_a_small_file_of_a_huge_picture_costs_no_memory(
    tmp_path: Path, make: Callable[[], bytes], words: str
) -> None:
    file = tmp_path / "bomb"
    content = make()
    assert len(content) < MIB
    file.write_bytes(content)
    command = [sys.executable, "-c", PEAK, str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2])
    assert words in done.stderr
    assert int(done.stdout) < 64 * MIB


def cuts(content: bytes, first: int) -> list[int]:
    """Many places, among them each of the last bytes."""
    return [
        *range(first, len(content) - 40, max(1, len(content) // 60)),
        *range(len(content) - 40, len(content)),
    ]


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "AVIF"])
def test_a_file_that_is_cut_anywhere_is_refused(kind: str) -> None:
    content = encoded(noisy(), kind)
    for at in cuts(content, 1):
        assert refusal(content[:at])


def test_a_png_whose_data_ends_early_is_refused_wherever_it_ends() -> None:
    size = (96, 64)
    rows = b"".join(b"\0" + Random(row).randbytes(3 * 96) for row in range(64))
    packed = zlib.compress(rows)
    assert read_input(png_of(packed, size), "cat.png").height_px == 64
    # The last bytes are the checksum of data that is all there.
    for at in cuts(packed, 0)[:-8]:
        told = refusal(png_of(packed[:at], size))
        assert "a PNG whose pixel data ends after" in told or "a PNG that is cut off or broken" in told
    half = zlib.compress(rows[: len(rows) // 2])
    assert refusal(png_of(half, size)) == (
        "cat.png is a PNG whose pixel data ends after 50 % of the picture. Get the file again, or save it anew."
    )


@pytest.mark.parametrize("size", [(96, 64), (640, 512)])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_a_jpeg_whose_data_ends_early_before_its_end_mark_is_refused(
    size: tuple[int, int], mode: str
) -> None:
    content = encoded(noisy(size, mode=mode), "JPEG")
    assert read_input(content + b"what some cameras add", "cat.jpg").width_px == size[0]
    begin = content.rindex(b"\xff\xda") + 14
    shares = []
    for at in range(begin + 200, len(content) - 100, len(content) // 50):
        told = refusal(content[:at] + b"\xff\xd9")
        found = re.search(r"is a JPEG whose pixel data ends after (\d+) % of the picture\. Get", told)
        assert found, (at, told)
        shares.append(int(found[1]))
    assert shares == sorted(shares)
    assert shares[0] < 30 < 70 < shares[-1]


FEW_BYTES = 64


def scans(content: bytes) -> list[int]:
    """Where the data of each scan begins."""
    found = (one.start() + 2 for one in re.finditer(b"\xff\xda", content))
    return [at + int.from_bytes(content[at : at + 2]) for at in found]


@pytest.fixture
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Pillow's room for what it writes, where it does not see itself how large that becomes."""
    monkeypatch.setattr(ImageFile, "MAXBLOCK", 4 * MIB)


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("size", [(96, 64), (640, 512)])
@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize(
    "options",
    [{}, {"restart_marker_rows": 1}, {"quality": 100, "subsampling": 0}, {"quality": 10}],
    ids=["plain", "restarts", "fine", "coarse"],
)
def test_a_progressive_jpeg_is_refused_wherever_its_data_ends(
    size: tuple[int, int], mode: str, options: dict[str, Any]
) -> None:
    """Its later parts only refine what the first ones tell, the last of them by one bit."""
    content = encoded(noisy(size, mode=mode), "JPEG", progressive=True, **options)
    assert read_input(content, "cat.jpg").width_px == size[0]
    parts = scans(content)
    # What a few last bytes say may be what they would be taken for without them.
    within_the_last = range(parts[-1], len(content) - FEW_BYTES, (len(content) - parts[-1]) // 20)
    for at in (*parts, *range(parts[0], parts[-1], len(content) // 20), *within_the_last):
        for end in (b"", b"\xff\xd9", b"\xff\xd9" + bytes(100)):
            told = refusal(content[:at] + end)
            assert "is a JPEG that is cut off or broken" in told or "is a JPEG whose pixel data ends" in told


@pytest.mark.usefixtures("roomy")
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(96, 64), (640, 512)])
def test_a_jpeg_that_ends_at_a_restart_is_refused(size: tuple[int, int], progressive: bool) -> None:
    """There the decoder looks for the next mark, and passes over everything before it."""
    content = encoded(noisy(size), "JPEG", progressive=progressive, restart_marker_rows=1)
    assert read_input(content, "cat.jpg").width_px == size[0]
    restarts = [one.start() for one in re.finditer(rb"\xff[\xd0-\xd7]", content[scans(content)[-1] :])]
    assert len(restarts) >= size[1] // 16 - 1
    for at in restarts:
        assert "is a JPEG whose pixel data ends after" in refusal(
            content[: scans(content)[-1] + at] + b"\xff\xd9"
        )


def in_three_scans(grey: bytes) -> bytes:
    """The grey picture as each of three colours, one after the other, as few programs write them."""
    frame, scan = grey.index(b"\xff\xc0"), grey.index(b"\xff\xda")
    before, size = grey[: frame + 4], grey[frame + 4 : frame + 9]
    colours = b"".join(bytes((one, 0x11, 0)) for one in (1, 2, 3))
    tables, data = grey[frame + 13 : scan], grey[scan + 10 : -2]
    parts = (b"\xff\xda\0\x08\x01" + bytes((one, 0, 0, 63, 0)) + data for one in (1, 2, 3))
    return before[:-2] + b"\0\x11" + size + b"\x03" + colours + tables + b"".join(parts) + b"\xff\xd9"


def test_a_jpeg_that_lacks_a_colour_is_refused() -> None:
    content = in_three_scans(encoded(noisy(mode="L"), "JPEG"))
    assert read_input(content, "cat.jpg").width_px == 96
    _, second, third = scans(content)
    for at in (second - 10, third - 10):
        assert "parts of its pixel data are missing" in refusal(content[:at] + b"\xff\xd9")
    for at in (second, third):
        cut = content[: at + 500] + content[third - 10 :] * (at == second) + b"\xff\xd9" * (at == third)
        assert "is a JPEG whose pixel data ends after" in refusal(cut)


@pytest.mark.parametrize("progressive", [False, True])
def test_what_stands_before_and_behind_the_picture_is_not_the_picture(progressive: bool) -> None:
    """A small whole JPEG within EXIF, garbage between two segments, a second picture, zeros and words at the end."""
    exif = b"Exif\0\0II*\0\x08\0\0\0" + bytes(6) + encoded(noisy((32, 32)), "JPEG")
    content = encoded(noisy(), "JPEG", progressive=progressive, exif=exif)
    assert content.count(b"\xff\xd9") == 2
    tables = content.index(b"\xff\xdb", content.index(b"\xff\xd9"))
    for good in (
        content,
        content[:tables] + b"lost" + content[tables:],
        content + encoded(noisy((32, 32)), "JPEG"),
        content + bytes(100) + b"what some cameras add",
    ):
        assert read_input(good, "cat.jpg").width_px == 96
    assert refusal(content[: scans(content)[-1] + 100] + b"\xff\xd9")


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_whose_data_ends_early_is_refused(lossless: bool) -> None:
    content = encoded(noisy(), "WEBP", lossless=lossless)
    kind, data = content[12:16], content[20:]
    for at in range(0, len(data) - 2, 2 * (len(data) // 80)):
        body = b"WEBP" + kind + struct.pack("<I", at) + data[:at]
        assert refusal(b"RIFF" + struct.pack("<I", len(body)) + body)


def test_a_jpeg_of_many_scans_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each scan of a few bytes is a walk over the whole picture."""
    content = encoded(Image.new("RGB", (16, 16)), "JPEG", progressive=True)
    at = content.rindex(b"\xff\xda")
    scan = content[at:-2]
    few, many = (content[:at] + scan * number + content[-2:] for number in (80, 200))
    assert read_input(few, "few.jpg").width_px == 16
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda picture: pytest.fail("it was decoded"))
    with pytest.raises(InputRefusedError, match="it has more than 100 scans"):
        read_input(many, "many.jpg")
