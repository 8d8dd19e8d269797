"""The ADetailer extension: what its arguments ask for, and what it writes into the infotext.

Names, defaults and rules are those of the extension's version 25.3.0 (`data/adetailer.json`); it brings its
own reading of values, the same in every dialect. Like the real
one it never fails a request: with arguments that it cannot read it stays silent, and only the log tells.
Drawing is in `detailing`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from webui.simulator import pydantic1
from webui.simulator.answers import InvalidFieldsError
from webui.simulator.documents import recorded
from webui.simulator.fields import completed
from webui.simulator.log import complain

TITLE = "ADetailer"
VERSION = "25.3.0"
TABS = 4
"""So many lists of settings are taken; more are cut off, as the server does with surplus arguments."""

SKIPPED_PASS: dict[str, Any] = {"steps": 1, "sampler_name": "Euler", "width": 128, "height": 128}
"""What the extension makes of an img2img pass that is to be skipped; the infotext shows it, too."""


def detectors() -> tuple[str, ...]:
    """Those that the extension brings."""
    return tuple(recorded("adetailer.json")["models"])


SCRIPT_INFO: dict[str, Any] = {
    "name": TITLE.lower(),
    "is_alwayson": True,
    "args": [
        {"label": label, "value": value, "minimum": None, "maximum": None, "step": None, "choices": None}
        for label, value in ((TITLE, False), ("Skip img2img", False), *[("", {})] * TABS)
    ],
}
"""The entry of `/sdapi/v1/script-info`, but for `is_img2img`."""


@dataclass(frozen=True)
class Tab:
    """One list of settings: a detector, and how what it finds is drawn anew."""

    settings: dict[str, Any]
    number: int
    """0 for the first; later ones mark their part of the infotext: ` 2nd`."""

    @property
    def model(self) -> str:
        return str(self.settings["ad_model"])

    @property
    def is_on(self) -> bool:
        return self.model != "None" and self.settings["ad_tab_enable"]

    def shown(self) -> dict[str, Any]:
        """This tab's part of the infotext: what differs from the default, and some that always stand there."""
        if not self.is_on:
            return {}
        suffix = f" {_ordinal(self.number + 1)}" if self.number else ""
        return {
            f"{TITLE} {rule['label']}{suffix}": self.settings[name]
            for name, rule in recorded("adetailer.json")["arguments"].items()
            if rule["label"]
            and ("unsaid" not in rule or self.settings[name] != rule["unsaid"])
            and ("needs" not in rule or self.settings[rule["needs"]])
        }

    def prompts(self, kind: str, main: str) -> list[str]:
        """Of `ad_prompt` or `ad_negative_prompt`: one per finding, the last for all that follow."""
        parts = re.split(r"\s*\[SEP\]\s*", self.settings[kind])
        return [part.replace("[PROMPT]", f" {main} ") if part else main for part in parts]


@dataclass(frozen=True)
class DetailerRequest:
    """What one generation wants from the extension."""

    tabs: tuple[Tab, ...]
    skip_img2img: bool

    def shown(self) -> dict[str, Any]:
        """Its part of the infotext."""
        shown: dict[str, Any] = {}
        for tab in self.tabs:
            shown |= tab.shown()
        return shown | {f"{TITLE} version": VERSION}


def asked(kind: str, fields: dict[str, Any]) -> DetailerRequest | None:
    """What the always-on arguments ask for: `[enable, skip_img2img, {..}, {..}]`, both switches optional.

    None where nothing is to be done, or where the extension could not read them.
    """
    given = _arguments(fields["alwayson_scripts"] or {})
    settings = [item for item in given if isinstance(item, dict)]
    enabled = given[0] if given and isinstance(given[0], bool) else True
    if not settings or not enabled:
        return None
    rules = recorded("adetailer.json")["arguments"]
    try:
        tabs = tuple(_tab(rules, item, number) for number, item in enumerate(settings))
    except InvalidFieldsError as error:
        complain(f"*** Error running process: [-] {TITLE}: ValidationError: {error.details}")
        return None
    if not any(tab.is_on for tab in tabs):
        return None
    skip = kind == "img2img" and len(given) > 1 and given[1] is True
    if skip and fields["mask"]:
        complain(f"[-] {TITLE}: img2img inpainting with skip img2img is not supported.")
        return None
    return DetailerRequest(tabs, skip)


def _tab(rules: dict[str, Any], settings: dict[str, Any], number: int) -> Tab:
    unknown = [name for name in settings if name not in rules]
    if unknown:
        raise InvalidFieldsError(
            [
                {"loc": [name], "msg": "extra fields not permitted", "type": "value_error.extra"}
                for name in unknown
            ]
        )
    return Tab(completed(rules, settings, pydantic1.GRAMMAR), number)


def _arguments(scripts: dict[str, Any]) -> list[Any]:
    for name, script in scripts.items():
        if name.lower() == TITLE.lower() and isinstance(script, dict):
            return list(script.get("args") or ())[: 2 + TABS]
    return []


def _ordinal(number: int) -> str:
    return f"{number}{ {1: 'st', 2: 'nd', 3: 'rd'}.get(number, 'th') }"
