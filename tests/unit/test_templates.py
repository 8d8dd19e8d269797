"""Templates and static files, judged as text: the policy, the contrast, the vendored parts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.template import Engine

ROOT = Path(__file__).parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
STATIC = ROOT / "stablenew_site" / "static"
OWN_STYLES = sorted((STATIC / "css").glob("*.css"))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_template_holds_no_inline_script_or_style(template: Path) -> None:
    text = template.read_text()
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=|\shx-on|javascript:", text)
    assert not re.search(r"<script(?![^>]*\ssrc=)", text)
    # `js:` values and trigger filters would need eval, which the policy forbids.
    assert not re.search(r"hx-\w+=['\"]js:|hx-trigger=\"[^\"]*\[", text)


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_no_line_of_a_template_is_longer_than_120_columns(template: Path) -> None:
    """The formatter breaks what it can; the rest is a template that says too much on one line."""
    lines = template.read_text().splitlines()
    assert [number for number, line in enumerate(lines, 1) if len(line) > 120] == []


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: path.name)
def test_what_is_shown_with_every_blank_begins_and_ends_with_its_own_text(template: Path) -> None:
    """The styles keep white space there, so that which lays out the template would be shown."""
    kept = r"<(?:pre\b|\w+ [^>]*class=\"[^\"]*\b(?:prompt-text|line-text)\b[^\"]*\")(?:\"[^\"]*\"|[^\">])*>\s"
    assert not re.search(kept, template.read_text())


def test_pages_are_sent_without_the_indentation_of_their_templates() -> None:
    """The sign-in page as Django loads it; the lines stay, for errors to name."""
    written = (ROOT / "templates" / "registration" / "login.html").read_text()
    loaded = Engine.get_default().get_template("registration/login.html").source
    assert "\n  " in written
    assert loaded.splitlines() == [line.lstrip() for line in written.splitlines()]


@pytest.mark.parametrize("file", [*TEMPLATES, *OWN_STYLES, *STATIC.rglob("*.js")], ids=lambda p: p.name)
def test_nothing_refers_to_another_server(file: Path) -> None:
    assert not re.search(r"https?://|src=\"//|url\(", file.read_text())


def test_own_javascript_stays_small() -> None:
    """What all pages share, and what one kind of page needs besides."""
    lines = {path.name: len(path.read_text().splitlines()) for path in STATIC.rglob("*.js")}
    assert lines.pop("app.js") < 100
    assert all(number < 120 for number in lines.values()), lines


def test_every_icon_that_a_template_names_is_in_the_sprite() -> None:
    named = set()
    for template in TEMPLATES:
        named |= set(re.findall(r'{% icon "([^"]+)" %}', template.read_text()))
    drawn = set(re.findall(r'<symbol id="([^"]+)"', (STATIC / "icons.svg").read_text()))
    assert named
    assert named <= drawn


def test_styles_take_their_colours_from_the_tokens() -> None:
    for style in OWN_STYLES:
        if style.name != "tokens.css":
            assert not re.search(r"#[0-9a-fA-F]{3,8}\b(?!-)[^{]*;|rgb\(", style.read_text()), style.name


def luminance(colour: str) -> float:
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one: str, other: str) -> float:
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


TEXT_PAIRS = [
    *((f"{status}-fg", f"{status}-bg") for status in ("quiet", "busy", "good", "bad", "warn")),
    *((f"{status}-fg", "surface") for status in ("quiet", "busy", "good", "bad", "warn")),
    *(
        (ink, ground)
        for ink in ("ink", "ink-soft", "accent")
        for ground in ("surface", "canvas", "surface-hover")
    ),
    ("ink", "surface-sunken"),
    ("ink", "accent-soft"),
    ("accent-ink", "accent"),
    ("danger", "surface"),
]


@pytest.mark.parametrize(("text", "ground"), TEXT_PAIRS)
@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_text_has_the_contrast_of_wcag_aa(text: str, ground: str, theme: int) -> None:
    tokens = {
        name: (light, dark)
        for name, light, dark in re.findall(
            r"--([\w-]+): light-dark\((#\w{6}), (#\w{6})\)", (STATIC / "css" / "tokens.css").read_text()
        )
    }
    assert contrast(tokens[text][theme], tokens[ground][theme]) >= 4.5
