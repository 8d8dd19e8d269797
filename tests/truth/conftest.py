"""What the tests of the orders begin with."""

import io

import pytest
from PIL import Image


@pytest.fixture
def picture() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 48), "teal").save(stream, "PNG")
    return stream.getvalue()
