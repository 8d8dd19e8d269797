"""The `parameters` text that a WebUI writes into its pictures, read as it stands. Parsing it is `webui.work.infotext`.

What was truly used is in the answer's info; this is for pictures on disk.
"""

from PIL import ExifTags

from webui.words import writable
from webui.work.infotext import Infotext as Infotext
from webui.work.infotext import parse_infotext as parse_infotext
from webui.work.pictures import BROKEN, open_picture
from webui.work.png_text import PNG_SIGNATURE, png_text
from webui.work.told import PictureFacts

SEED_DIGITS = 20
MOST_SEED = 2**63


def picture_facts(content: bytes) -> PictureFacts:
    """What a picture says of itself."""
    return facts_of(read_infotext(content) or "")


def facts_of(infotext: str, seed: int | None = None) -> PictureFacts:
    """`seed` if the infotext has none. One that no WebUI can have used is not known."""
    told = parse_infotext(infotext).fields.get("Seed", "")
    if told.isdecimal() and len(told) < SEED_DIGITS:
        seed = int(told)
    return PictureFacts(writable(infotext), seed if seed is not None and 0 <= seed < MOST_SEED else None)


def read_infotext(image: bytes) -> str | None:
    """The text as the WebUI wrote it, to the last character; None if the picture has none.

    PNG: the text chunk `parameters`. JPEG and WebP: the EXIF user comment. Damaged pictures have none.
    """
    if image.startswith(PNG_SIGNATURE):
        return png_text(image, b"parameters")
    return _user_comment(image)


def _user_comment(image: bytes) -> str | None:
    try:
        with open_picture(image) as opened:
            comment = opened.getexif().get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except BROKEN:
        return None
    if not isinstance(comment, bytes):
        return comment if isinstance(comment, str) else None
    code, text = comment[:8], comment[8:]
    if code == b"UNICODE\0":
        return text.decode("utf-16-be", errors="replace")
    return (text if code in (b"ASCII\0\0\0", bytes(8)) else comment).decode("utf-8", errors="replace")
