"""A picture made small, as WebP: what lists and live previews show. Files and rows are not known here.

The bytes come from elsewhere, so nothing is decoded before its format and its size are known.
"""

from __future__ import annotations

import io
from pathlib import Path

from PIL import Image, ImageOps

from jobs.errors import UnreadablePictureError
from webui.work.pictures import BROKEN, open_picture


def small_webp(
    source: Path | bytes, *, edge_px: int, most_pixels: int, quality: int = 80, turned: bool = False
) -> bytes:
    """The picture as WebP, at most `edge_px` wide and high, without any of its words (infotext, EXIF).

    `turned`: as its EXIF data say. Raises `UnreadablePictureError`; a picture of more than `most_pixels` is refused
    before it is decoded.
    """
    try:
        with open_picture(source) as picture:
            width_px, height_px = picture.size
            if width_px * height_px > most_pixels:
                raise UnreadablePictureError(f"{width_px} x {height_px} pixels are too many")
            # Lets a JPEG be decoded at a fraction of its size; other formats ignore it.
            picture.draft("RGB", (edge_px * 2, edge_px * 2))
            picture.thumbnail((edge_px, edge_px), Image.Resampling.LANCZOS, reducing_gap=2.0)
            if turned:
                ImageOps.exif_transpose(picture, in_place=True)
            stream = io.BytesIO()
            picture.save(stream, "WEBP", quality=quality, method=2, exif=b"", icc_profile=b"", xmp=b"")
            return stream.getvalue()
    except UnreadablePictureError:
        raise
    except BROKEN as exc:
        raise UnreadablePictureError(str(exc) or type(exc).__name__) from exc
