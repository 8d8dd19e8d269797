"""A form as a pack of films or edits, and settings with every value written out.

Nothing enters the queue without a pack: what somebody fills in is a revision of its own, named by its content, so that
the same form makes the same pack, revision and records again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from jobs.packs.json_lines import line_of, text_of
from jobs.packs.json_text import dump_document
from jobs.packs.kinds import sections_of
from jobs.packs.options import JsonScalar
from jobs.packs.pack import Pack, parse_pack
from jobs.packs.rows import RowImage
from jobs.packs.sources import PackSource
from webui.work.limits import LIMITS, Limit

NAME_CHARS = 12
"""Of the hash that names the pack of a form."""


def form_source(
    kind: str,
    images: Sequence[RowImage | Sequence[RowImage]],
    prompt: str,
    negative_prompt: str = "",
    settings: Mapping[str, JsonScalar] | None = None,
    *,
    effective: bool = False,
) -> PackSource:
    """The pack of a form: a row for each item of `images`, which is one picture or several.

    `settings` are those of the kind by their names (`steps`); others have their defaults, and all are written down.
    With `effective`, as a submission stores it, sizes and frames are written as they will be; without, as a preview
    wants it, building tells which become others. Never raises: what is wrong is refused by the plan of the pack.
    """
    rows = [(one,) if isinstance(one, RowImage) else tuple(one) for one in images]
    text = text_of(line_of(row, _one_line(prompt), _one_line(negative_prompt)) for row in rows)
    document: dict[str, Any] = {"preset_data": {kind: dict(settings or {})}}
    if title := _title(rows):
        document = {"pack_data": {"name": title}, **document}
    source = PackSource("", text, dump_document(document, ""), kind)
    source = replace(source, document=full_document(parse_pack(source), snapped=effective))
    return replace(source, pack_id=f"{kind}-{source.sha256[:NAME_CHARS]}")


def full_document(pack: Pack, *, snapped: bool = True) -> str:
    """The pack's settings with every parameter of its kind as it counts; all else stays as it stands there.

    What cannot be read, or is out of its range, stays as well: building refuses it.
    """
    kind = pack.kind
    data = dict(pack.data)
    is_unified = not data or "pack_data" in data or "preset_data" in data
    settings = data.get("preset_data", {}) if is_unified else data
    own = settings.get(kind, {}) if isinstance(settings, dict) else None
    if not isinstance(own, dict) or pack.unreadable:
        return pack.source.document
    section = sections_of(kind)[kind]
    refused = {problem.field.rpartition(".")[2] for problem in pack.problems}
    counting = {name: getattr(pack.document.film, name) for name in section.model_fields}
    for name, limit in LIMITS[kind].items():
        if snapped and isinstance(limit, Limit) and limit.allows(counting[name]):
            counting[name] = limit.snapped(counting[name]) if limit.step else counting[name]
    written = {section.ALIASES.get(key, key): value for key, value in own.items()}
    # In one order, so that equal settings are equal bytes.
    full = {name: written[name] if name in refused & written.keys() else counting[name] for name in counting}
    full |= {key: value for key, value in written.items() if key not in full}
    settings = {**settings, kind: full}
    data = {**data, "preset_data": settings} if is_unified else settings
    return dump_document(data, "")


def _title(rows: Iterable[Sequence[RowImage]]) -> str:
    names = [image.name for row in rows for image in row if image.name]
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else "".join(names)


def _one_line(text: str) -> str:
    return " ".join(line for line in map(str.strip, text.splitlines()) if line)
