"""Prompts in layers: which source gives which words, how they join, and their matrix tokens."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from jobs.building.prompts import StageWords
from jobs.packs.choices import put_choices
from jobs.packs.grammar import PackRow
from jobs.packs.matrix import SlotIndex, replace_tokens, tokens_of
from jobs.packs.randomization import WILDCARD_RE, PromptChoices
from jobs.packs.tags import lora_weight, to_prompt_words
from jobs.records.record import LoraTag, PromptLayer, StagePrompt

Side = Literal["positive", "negative"]
Source = Literal["global", "embeddings", "matrix", "row", "loras", "pack", "override"]


@dataclass(frozen=True, slots=True)
class PackWords:
    """The words that a pack's settings and the global prompts add to every row."""

    global_positive: str
    global_negative: str
    pack_negative: str
    pack_negative_source: Literal["pack", "override"]
    choices: PromptChoices
    stages: tuple[StageWords, ...] = ()


@dataclass(frozen=True, slots=True)
class Layered:
    """The prompts of one combination of a row, ready for a record."""

    positive: str
    negative: str
    layers: tuple[PromptLayer, ...]
    positive_embeddings: tuple[str, ...]
    negative_embeddings: tuple[str, ...]
    loras: tuple[LoraTag, ...]
    stage_prompts: tuple[StagePrompt, ...]


@dataclass(frozen=True, slots=True)
class Filling:
    """Words for tokens (by the name that the token writes), for wildcards and for searched words."""

    values: Mapping[str, str] = field(default_factory=dict)
    wildcards: Mapping[str, str] = field(default_factory=dict)
    replacements: Mapping[str, str] = field(default_factory=dict)

    def put(self, text: str) -> str:
        """Choices and wildcards, then tokens; a value may itself hold a wildcard."""
        text = put_choices(text, self.wildcards)
        return self._wild(replace_tokens(self._wild(text), self.values))

    def put_row(self, text: str) -> str:
        """Searched words in one pass, so that no replacement is searched again; choices go by what is written."""
        text = put_choices(text, self.wildcards)
        if self.replacements:
            searched = "|".join(re.escape(word) for word in sorted(self.replacements, key=len, reverse=True))
            text = re.sub(searched, lambda match: self.replacements[match[0]], text)
        return self.put(text)

    def _wild(self, text: str) -> str:
        if not self.wildcards or "__" not in text:
            return text
        return WILDCARD_RE.sub(lambda match: self.wildcards.get(match[0], match[0]), text)


@dataclass(frozen=True, slots=True)
class RowTemplate:
    """The layers of a row before its tokens have values.

    Tokens count wherever they stand: in positive and negative text, in tags, in the pack's negative, in global
    prompts and in the prompts of stages. A token that stayed would reach the WebUI as brackets.
    """

    layers: tuple[tuple[Side, Source, str], ...]
    positive_embeddings: tuple[str, ...]
    negative_embeddings: tuple[str, ...]
    loras: tuple[tuple[str, str], ...]
    stages: tuple[StageWords, ...]

    @property
    def texts(self) -> tuple[str, ...]:
        own = tuple(text for _, _, text in self.layers)
        return (*own, *(text for words in self.stages for text in words.texts if text))

    @property
    def without_base(self) -> RowTemplate:
        """The same without the matrix's base prompt: what the row says of its own."""
        return replace(self, layers=tuple(layer for layer in self.layers if layer[1] != "matrix"))

    @property
    def row_text(self) -> str:
        """The row's own positive text, the only place where rules search."""
        found = (text for side, source, text in self.layers if (side, source) == ("positive", "row"))
        return next(found, "")

    def fill(self, words: Filling) -> Layered:
        """The layers with their words put in, and joined."""
        filled = [
            (side, source, words.put_row(text) if (side, source) == ("positive", "row") else words.put(text))
            for side, source, text in self.layers
        ]
        positive = _join_positive([(source, text) for side, source, text in filled if side == "positive"])
        refused = [(source, text) for side, source, text in filled if side == "negative" and text]
        negative = ", ".join(text for _, text in refused)
        own_negative = ", ".join(text for source, text in refused if source != "global")
        prompts = [stage.fill(words.put, positive, negative, own_negative) for stage in self.stages]
        return Layered(
            positive=positive,
            negative=negative,
            layers=tuple(PromptLayer(side=side, source=source, text=text) for side, source, text in filled),
            positive_embeddings=tuple(map(words.put, self.positive_embeddings)),
            negative_embeddings=tuple(map(words.put, self.negative_embeddings)),
            loras=tuple(
                LoraTag(name=words.put(name), weight=lora_weight(words.put(strength)))
                for name, strength in self.loras
            ),
            stage_prompts=tuple(prompt for prompt in prompts if prompt is not None),
        )


def template_of(row: PackRow, words: PackWords) -> RowTemplate:
    """The layers of a row in the order in which they are sent.

    Positive: global, embeddings, text (with the matrix's base prompt before, after or instead of it), LoRAs.
    Negative: global, the pack's negative, embeddings, text.
    """
    positive_embeddings = tuple(tag.words for tag in row.positive_embeddings)
    negative_embeddings = tuple(tag.words for tag in row.negative_embeddings)
    layers: list[tuple[Side, Source, str]] = [
        ("positive", "global", to_prompt_words(words.global_positive.strip())),
        ("positive", "embeddings", " ".join(positive_embeddings)),
        *_row_layers(to_prompt_words(row.positive_text), words.choices),
        ("positive", "loras", " ".join(map(str, row.loras))),
        ("negative", "global", to_prompt_words(words.global_negative.strip())),
        ("negative", words.pack_negative_source, to_prompt_words(words.pack_negative.strip())),
        ("negative", "embeddings", ", ".join(negative_embeddings)),
        ("negative", "row", to_prompt_words(row.negative_text)),
    ]
    return RowTemplate(
        tuple(layer for layer in layers if layer[2]),
        positive_embeddings,
        negative_embeddings,
        tuple((tag.name, tag.strength) for tag in row.loras),
        words.stages,
    )


def _row_layers(text: str, choices: PromptChoices) -> list[tuple[Side, Source, str]]:
    """The row's text and the base prompt, which is not said twice."""
    base = to_prompt_words(choices.base_prompt)
    own: tuple[Side, Source, str] = ("positive", "row", text)
    given: tuple[Side, Source, str] = ("positive", "matrix", base)
    if not base or base in text:
        return [own]
    if choices.prompt_mode == "replace":
        return [given]
    return [given, own] if choices.prompt_mode == "prepend" else [own, given]


def tokens_in(texts: Sequence[str]) -> tuple[str, ...]:
    """Names in tokens, as written, each once."""
    return tuple(dict.fromkeys(token for text in texts for token in tokens_of(text)))


def slots_of_tokens(tokens: Sequence[str], slots: SlotIndex) -> tuple[dict[str, str], tuple[str, ...]]:
    """Token names mapped to slot names, and the tokens that no slot answers."""
    found: dict[str, str] = {}
    missing: list[str] = []
    for token in tokens:
        slot = slots.find(token)
        if slot is None:
            missing.append(token)
        else:
            found[token] = slot.name
    return found, tuple(missing)


def _join_positive(layers: Sequence[tuple[Source, str]]) -> str:
    """A global or base prompt is parted by a comma; a row's parts follow each other as they were written."""
    joined = ""
    before: Source = "global"
    for source, text in layers:
        if joined and text:
            joined += ", " if {before, source} & {"global", "matrix"} and source != "loras" else " "
        joined += text
        before = source
    return joined
