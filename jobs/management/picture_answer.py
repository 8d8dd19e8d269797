"""What `submit_pack --kind` takes, and what it says of pictures, films and edits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from django.core.management.base import CommandParser

from jobs.building.builder import Build
from jobs.cli import ArgumentsRefused, CommandAnswer, progress_bar, who
from jobs.models import InputPicture
from jobs.packs.kinds import WORDS_OF_KIND
from jobs.packs.picture_lists import PictureList
from jobs.records.films import InputRecord
from jobs.submitting.ordering import PackOrder, find
from jobs.submitting.picture_packs import PICTURE_KINDS, FoundPictures, find_pictures, keep_pictures
from webui.kinds import WorkKind
from webui.work.limits import AUTO, AUTO_PIXELS, SIZE_STEP_PX
from webui.work.parameters import I2VParameters

ItemT = TypeVar("ItemT")
MIB = 1024 * 1024
SHOWN_FROM = 20
"""Pictures from which on a bar shows how far the reading is."""
MAX_SIZES = 8
"""Sizes of results that are told one by one."""
MAX_BY_CHARS = InputPicture._meta.get_field("by").max_length


def add_picture_arguments(parser: CommandParser) -> None:
    add = parser.add_argument
    kinds = "i2v: a film of each picture, edit: a picture made of it by an instruction"
    add(
        "--kind",
        choices=[str(kind) for kind in PICTURE_KINDS],
        help=f"of folders and lists of pictures: {kinds}",
    )
    add("--name", default="", help="with --kind: the pack's name, if not that of the folder or list")
    add("--prompt", default="", help="with --kind: the prompt of pictures without one of their own")
    add("--negative-prompt", default="", metavar="TEXT", help="with --kind: the same for the negative prompt")


def find_asked(options: Mapping[str, Any]) -> FoundPictures:
    """The packs that were named. Raises `CommandRefused`."""
    given = {name: options[name] for name in ("name", "prompt", "negative_prompt")}
    if options["kind"] is None:
        if any(given.values()):
            message = "--name, --prompt and --negative-prompt go with --kind: a pack of prompts has its own."
            raise ArgumentsRefused.saying(message, "arguments")
        return FoundPictures(find(options["packs"]), (), ())

    def watch(rows: Sequence[ItemT]) -> Iterator[ItemT]:
        yield from _watched(rows, options, "reading pictures")

    if given["name"] and len(options["packs"]) > 1:
        raise ArgumentsRefused.saying(
            "--name is for one folder or list: submit them one by one.", "arguments"
        )
    return find_pictures(options["packs"], WorkKind(options["kind"]), **given, watch=watch)


def keep_asked(lists: Sequence[PictureList], builds: Sequence[Build], options: Mapping[str, Any]) -> None:
    """Store the pictures of what will be queued. Raises `RefusedError` and `InputNotKeptError`."""
    queued = {made.source.pack_id for made in builds}

    def watch(pictures: Sequence[ItemT]) -> Iterator[ItemT]:
        yield from _watched(pictures, options, "storing pictures")

    wanted = [one for one in lists if one.source.pack_id in queued]
    keep_pictures(wanted, by=who()[:MAX_BY_CHARS], watch=watch)


def _watched(items: Sequence[ItemT], options: Mapping[str, Any], words: str) -> Iterator[ItemT]:
    with progress_bar(shown=not options["json"] and len(items) > SHOWN_FROM) as bar:
        yield from bar.track(items, description=words)


def picture_facts(found: FoundPictures, order: PackOrder) -> dict[str, Any]:
    """For the JSON document; empty lists for packs of prompts."""
    pictures = {one.facts.sha256: one.facts for read in found.lists for one in read.pictures}
    return {
        "inputs": {"pictures": len(pictures), "bytes": sum(facts.size_bytes for facts in pictures.values())},
        "made": [{**dict(made), "count": count} for made, count in _made(order).items()],
        "notes": [
            {"pack": read.source.pack_id, "message": note}
            for read in (*found.lists, *found.broken)
            for note in read.notes
        ],
    }


def show_pictures(answer: CommandAnswer, facts: Mapping[str, Any], order: PackOrder) -> None:
    for note in facts["notes"]:
        answer.line(f"{note['pack']}: {note['message']}")
    if count := facts["inputs"]["pictures"]:
        size = facts["inputs"]["bytes"] / MIB
        answer.line(f"{count:,} input {'picture' if count == 1 else 'pictures'}, {size:,.1f} MiB")
    made = facts["made"]
    for one in made[:MAX_SIZES]:
        answer.line(_made_words(one))
    if left := made[MAX_SIZES:]:
        answer.line(f"{sum(one['count'] for one in left):,} more in {len(left):,} other sizes")
    for words in dict.fromkeys(_how_sizes_follow(made) for made in order.good):
        if words:
            answer.line(words)


def _how_sizes_follow(made: Build) -> str:
    """How the size of results comes from that of their pictures; "" where both sides were given."""
    kind = made.source.kind
    if kind == WorkKind.IMAGE:
        return ""
    section = made.plan.pack.under(made.options.overrides, made.options.preset).document.film
    sides = [side for side in ("width", "height") if getattr(section, side) == AUTO]
    if not sides:
        return ""
    what = WORDS_OF_KIND[kind].removesuffix("s")
    if len(sides) == 1:
        return f"The {sides[0]} of each {what} follows the shape of its picture, in steps of {SIZE_STEP_PX} pixels."
    return (
        f"The size of each {what} follows its picture: the same shape with about {AUTO_PIXELS[kind]:,} pixels, "
        f"in steps of {SIZE_STEP_PX}."
    )


def _made(order: PackOrder) -> Counter[tuple[tuple[str, Any], ...]]:
    """How many results of which size, the most frequent first."""
    found = Counter(
        tuple(_size_of(record).items())
        for made in order.builds
        for record in made.records
        if isinstance(record, InputRecord)
    )
    return Counter(dict(found.most_common()))


def _size_of(record: InputRecord) -> dict[str, Any]:
    settings = record.settings
    size: dict[str, Any] = {"width": settings.width, "height": settings.height, "steps": settings.steps}
    if isinstance(settings, I2VParameters):
        return {"kind": "i2v", **size, "num_frames": settings.num_frames, "fps": settings.fps}
    return {"kind": "edit", **size}


def _made_words(one: Mapping[str, Any]) -> str:
    what, count = WORDS_OF_KIND[one["kind"]], one["count"]
    words = f"{count:,} {what.removesuffix('s') if count == 1 else what} of {one['width']} x {one['height']} pixels"
    if one["kind"] == WorkKind.I2V:
        seconds = one["num_frames"] / one["fps"]
        words += f", {one['num_frames']} frames at {one['fps']} per second ({seconds:.1f} s)"
    return f"{words}, {one['steps']} steps"
