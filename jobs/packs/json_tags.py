"""Embeddings and LoRAs of a JSON slot: names with weights in any form in which programs and people write them.

A name that is written as a tag, or with its weight (`name:0.8`), is read by the tokenizer that texts have.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from jobs.packs.tags import MAX_TAG_CHARS, EmbeddingTag, TagLine, WrittenLora, read_tag_line, weighed
from jobs.packs.values import shown

Tell = Callable[[str, str], None]
"""Takes the code of a finding and its words."""

_WEIGHT: Final = ("weight", "strength")
_CLIP_WEIGHT: Final = ("clip_weight", "clip_strength", "strength_clip")
_NUMBER: Final = re.compile(r"[+-]?(?:[0-9]{1,20}(?:[.,][0-9]{0,20})?|[.,][0-9]{1,20})")
_IN_NO_WEIGHT: Final = re.compile(r"[<>\r\n]")
_IN_NO_NAME: Final = re.compile(r"[<>:\r\n]")
_PARTED: Final = re.compile(r"[,\r\n]")
_BRACKETS: Final = re.compile(r"\(([^():<>\r\n]++:[^():<>\r\n]++)\)")
_MOST_OF_NAME: Final = MAX_TAG_CHARS - 200
_MOST_OF_WEIGHT: Final = 180
"""Characters; a name and its weight fit into a tag together."""


@dataclass(frozen=True, slots=True)
class _Item:
    """An entry as it is `written`: its name, its weight and that of the text encoder, "" for none."""

    written: object
    name: str
    weight: str
    clip_weight: str


def loras_of(raw: object, key: str, tell: Tell) -> list[WrittenLora]:
    """The LoRAs of a slot; `tell` gets what cannot be read, which is left out."""
    found: list[WrittenLora] = []
    for item in _items(raw, key, tell):
        line = read_tag_line(item.name) or read_tag_line(f"<lora:{item.name}>") if _says_more(item) else None
        has_weight = bool(item.weight or item.clip_weight)
        if line and line.loras and not line.embeddings and not (has_weight and len(line.loras) > 1):
            if has_weight:
                (tag,) = line.loras
                own = "" if line.odd and tag.strength == "1.0" else tag.strength
                found += _weighted(tag.name, own, item, key, tell)
            else:
                _tell_odd(line, key, tell)
                found += line.loras
        elif _is_name(item.name):
            found += _weighted(item.name, "", item, key, tell)
        else:
            _tell_of_name(item, key, tell)
    return found


def _says_more(item: _Item) -> bool:
    """Whether a LoRA's name is a tag, or has a number behind it."""
    _, colon, strength = item.name.partition(":")
    first = strength.partition(":")[0].strip()
    return item.name.startswith("<") or (bool(colon) and (bool(_NUMBER.fullmatch(first)) or "[[" in first))


def _weighted(name: str, own: str, item: _Item, key: str, tell: Tell) -> tuple[WrittenLora, ...]:
    """The LoRA with the item's weight over its `own`, and the text encoder's behind it."""
    if own and item.weight and _differ(own, item.weight):
        words = f"{key}: {name} has the weights {own} and {item.weight}; {item.weight} counts"
        tell("conflicting_alias", words)
    strength = item.weight or own or "1.0"
    if item.clip_weight and not (_NUMBER.fullmatch(strength) and _NUMBER.fullmatch(item.clip_weight)):
        tell("wrong_value", f"{key}: {name} has a second weight, which is left out")
    elif item.clip_weight:
        # Of two bare numbers a WebUI takes the first for the text encoder; names leave no doubt.
        strength = f"{strength}:te={item.clip_weight}:unet={strength}"
        tell("adjusted_value", f"{key}: {item.clip_weight} is taken as the text encoder's weight of {name}")
    line = read_tag_line(f"<lora:{name}:{strength}>")
    if line is None:
        return ()
    _tell_odd(line, key, tell)
    return line.loras


def _tell_odd(line: TagLine, key: str, tell: Tell) -> None:
    for words in line.odd:
        tell("lora_weight", f"{key}: {words.removesuffix('.')}")


def embeddings_of(raw: object, key: str, tell: Tell) -> list[EmbeddingTag]:
    """The embeddings of a slot; `tell` gets what cannot be read, which is left out."""
    found: list[EmbeddingTag] = []
    for item in _items(raw, key, tell):
        weight = item.weight
        if weight and not _NUMBER.fullmatch(weight):
            tell(
                "wrong_value",
                f"{key}: {item.name} has the weight {shown(weight)}, no number; it is left out",
            )
            weight = ""
        if item.clip_weight:
            tell("wrong_value", f"{key}: {item.name} has a second weight, which is left out")
        tags = _embeddings_in(item.name)
        if not tags or (weight and len(tags) > 1):
            _tell_of_name(item, key, tell)
        elif weight:
            own = tags[0].weight
            if own and _differ(own, weight):
                tell(
                    "conflicting_alias",
                    f"{key}: {tags[0].name} has the weights {own} and {weight}; {weight} counts",
                )
            found.append(weighed(tags[0].name, weight))
        else:
            found += tags
    return found


def _embeddings_in(name: str) -> tuple[EmbeddingTag, ...]:
    """A name, a name with its weight (`name:0.9`, `(name:0.9)`), or whole tags; nothing for anything else."""
    if _is_name(name):
        return (EmbeddingTag(name),)
    inner = _BRACKETS.fullmatch(name)
    line = read_tag_line(name) or read_tag_line(f"<embedding:{inner[1] if inner else name}>")
    return line.embeddings if line and not line.loras else ()


def _is_name(name: str) -> bool:
    """Whether a tag can hold it as it is."""
    return len(name) <= _MOST_OF_NAME and not _IN_NO_NAME.search(name)


def _tell_of_name(item: _Item, key: str, tell: Tell) -> None:
    words = f"{key} has {shown(item.written)}, which is no name that a tag can hold; it is left out"
    tell("wrong_value", words)


def _differ(one: str, other: str) -> bool:
    if _NUMBER.fullmatch(one) and _NUMBER.fullmatch(other):
        return float(one) != float(other)
    return one != other


def _items(raw: object, key: str, tell: Tell) -> Iterator[_Item]:
    """From a list of `"name"`, `["name", 0.9]` or `{"name": .., "weight": ..}`, an object, or one text."""
    if isinstance(raw, str) and raw.strip():
        parts = [raw] if read_tag_line(raw.strip()) else _PARTED.split(raw)
        raw = [name for name in parts if name.strip()]
    elif isinstance(raw, dict):
        raw = [raw] if "name" in raw else [list(pair) for pair in raw.items()]
    if raw and not isinstance(raw, list):
        tell("wrong_value", f"{key} is {shown(raw)}: a list is expected; it is left out")
    for written in raw if isinstance(raw, list) else []:
        name, weights = _parts(written, key, tell)
        if not name:
            tell("wrong_value", f"{key} has {shown(written)}, which cannot be read; it is left out")
            continue
        texts = [_weight_text(weight) for weight in weights]
        if any(not text and weight not in (None, "") for text, weight in zip(texts, weights, strict=True)):
            tell("wrong_value", f"{key} has {shown(written)}, which cannot be read; the weight is left out")
        yield _Item(written, name, *texts)


def _parts(written: object, key: str, tell: Tell) -> tuple[str, tuple[object, object]]:
    """The name, "" where there is none, and both weights as they are written; tells of what is beside them."""
    name: object = written
    weights: tuple[object, object] = (None, None)
    if isinstance(written, list):
        name, *rest = written or [None]
        weights = (*rest, None, None)[:2]
        if len(rest) > 2:
            tell("wrong_value", f"{key} has {shown(written)}; what follows the second weight is left out")
    elif isinstance(written, dict):
        name = written.get("name")
        weights = (_first(written, _WEIGHT, key, tell), _first(written, _CLIP_WEIGHT, key, tell))
        for extra in [one for one in written if one not in ("name", *_WEIGHT, *_CLIP_WEIGHT)]:
            tell("unknown_key", f"{key}: {shown(extra)} of {shown(name)} is not known; it is ignored")
    return (name.strip() if isinstance(name, str) else ""), weights


def _first(written: dict[str, object], keys: tuple[str, ...], key: str, tell: Tell) -> object:
    """What the first of these keys says that says something."""
    given = [written[one] for one in keys if written.get(one) not in (None, "")]
    if any(value != given[0] for value in given):
        tell("conflicting_alias", f"{key} has {shown(written)}; {shown(given[0])} is the weight that counts")
    return given[0] if given else None


def _weight_text(weight: object) -> str:
    """A weight as a tag holds it, "" for none and for what no tag can hold."""
    if isinstance(weight, bool) or not isinstance(weight, str | int | float):
        return ""
    text = str(weight).strip()
    if isinstance(weight, str) and _NUMBER.fullmatch(text):
        return text.replace(",", ".")
    return "" if _IN_NO_WEIGHT.search(text) or len(text) > _MOST_OF_WEIGHT else text
