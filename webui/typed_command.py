"""Commands that a hint tells somebody to type, in the words by which StableNew was started here."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from django.conf import settings

PROGRAM_VARIABLE = "STABLENEW_PROGRAM"
"""What a person typed, in the environment of the processes that we start ourselves."""

CHECKOUT = "python manage.py"
INSTALLED = "stablenew"
MODULE = "python -m stablenew_site"


def typed(words: str) -> str:
    """The whole command line of one of our commands: `typed("node logs gpu1")`."""
    return f"{program()} {words}"


def program() -> str:
    """How a person starts StableNew here. Another server's process (WSGI) goes by where our code lies."""
    given = os.environ.get(PROGRAM_VARIABLE)
    if given:
        return given
    script = Path(sys.argv[0])
    if script.name == "__main__.py" and script.parent.name == "stablenew_site":
        return MODULE
    known = {"manage": CHECKOUT, "stablenew": INSTALLED}.get(script.stem)
    return known or (CHECKOUT if settings.IN_CHECKOUT else INSTALLED)
