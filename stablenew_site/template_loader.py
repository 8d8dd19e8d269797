"""Our templates without their indentation: on long lists it would be two fifths of what is sent."""

from __future__ import annotations

import re

from django.template import Origin
from django.template.loaders import filesystem

_INDENTATION = re.compile(r"\n[ \t]+")


class Loader(filesystem.Loader):
    """Lines stay, so that an error names the right one. No template holds a text of several lines to be shown as is."""

    def get_contents(self, origin: Origin) -> str:
        return _INDENTATION.sub("\n", super().get_contents(origin))
