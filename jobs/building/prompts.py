"""The prompts of hires fix and of the stages after txt2img: which words stand instead of or behind the row's."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from jobs.packs.document import PackDocument
from jobs.packs.tags import to_prompt_words
from jobs.records.record import StagePrompt

StageName = Literal["hires", "img2img", "adetailer", "face", "hand", "upscale"]


@dataclass(frozen=True, slots=True)
class StageWords:
    """What the settings say about the prompts of one stage or pass, with tokens still in them.

    `positive` and `negative` stand instead of the record's, the others behind. `global_negative` is "" where
    it is switched off for the stage. A pass (`inherits`) without words of its own takes its stage's.
    """

    stage: StageName
    positive: str = ""
    negative: str = ""
    positive_after: str = ""
    negative_after: str = ""
    global_negative: str = ""
    inherits: bool = False

    @property
    def texts(self) -> tuple[str, ...]:
        return (self.positive, self.negative, self.positive_after, self.negative_after, self.global_negative)

    def fill(
        self, put: Callable[[str], str], positive: str, negative: str, own_negative: str
    ) -> StagePrompt | None:
        """The prompts that differ from the record's `positive` and `negative`; None where none does.

        `own_negative` is the record's negative without the global one.
        """
        own, after = put(self.positive), put(self.positive_after)
        prompt = ", ".join(part for part in (own or positive, after) if part) if own or after else None
        refused: str | None = None
        if self.negative or not self.inherits:
            parts = (
                put(self.global_negative),
                put(self.negative) or own_negative,
                put(self.negative_after),
            )
            refused = ", ".join(part for part in parts if part)
        if not self.inherits:
            prompt = None if prompt == positive else prompt
            refused = None if refused == negative else refused
        if prompt is None and refused is None:
            return None
        return StagePrompt(stage=self.stage, positive=prompt, negative=refused)


def stage_words_of(
    documents: Sequence[PackDocument], global_positive: str, global_negative: str
) -> tuple[StageWords, ...]:
    """The words of every stage that runs in any of these settings, which differ in nothing that is a prompt."""
    first, pipeline = documents[0], documents[0].pipeline
    found: list[StageWords] = []
    if any(document.txt2img.enable_hr for document in documents):
        section = first.txt2img
        shared = global_negative if pipeline.apply_global_negative_txt2img else ""
        own = section.hr_prompt.strip()
        positive = ", ".join(part for part in (global_positive.strip(), own) if part) if own else ""
        found.append(_pass("hires", positive, section.hr_negative_prompt, shared))
    if pipeline.img2img_enabled:
        found.append(
            StageWords(
                "img2img",
                _clean(first.img2img.prompt),
                _clean(first.img2img.negative_prompt),
                _clean(first.img2img.prompt_adjust),
                _clean(first.img2img.negative_adjust),
                _clean(global_negative if pipeline.apply_global_negative_img2img else ""),
            )
        )
    if pipeline.adetailer_enabled:
        detailer = first.adetailer
        shared = _clean(global_negative if pipeline.apply_global_negative_adetailer else "")
        found.append(StageWords("adetailer", global_negative=shared))
        if any(document.adetailer.face_enabled for document in documents):
            found.append(_pass("face", detailer.prompt, detailer.negative_prompt, shared))
        if any(document.adetailer.hand_enabled for document in documents):
            found.append(_pass("hand", detailer.hand_prompt, detailer.hand_negative_prompt, shared))
    if pipeline.upscale_enabled and any(d.upscale.upscale_mode == "img2img" for d in documents):
        shared = global_negative if pipeline.apply_global_negative_upscale else ""
        found.append(StageWords("upscale", global_negative=_clean(shared)))
    return tuple(words for words in found if not words.inherits or words.positive or words.negative)


def _pass(stage: StageName, positive: str, negative: str, global_negative: str) -> StageWords:
    return StageWords(
        stage, _clean(positive), _clean(negative), global_negative=_clean(global_negative), inherits=True
    )


def _clean(text: str) -> str:
    return to_prompt_words(text.strip())
