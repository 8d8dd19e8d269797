"""The settings of films and of edits: names, defaults and ranges are those of the one table, `webui.work.limits`.

Their files are read more strictly than those of pictures: nobody has old ones, so whatever cannot be read is refused.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Final, Literal

from pydantic import Field

from jobs.packs.sections import ANYTHING, Inert, Number, PipelineSection, Section, Seed, Text, Whole
from webui.work.limits import EDIT, I2V, Choice, Limit

_ALIASES: Final = {
    "model_name": "model",
    "cfg": "cfg_scale",
    "num_inference_steps": "steps",
}


def _default(table: Mapping[str, Limit | Choice], name: str) -> Any:
    return table[name].default


class FilmSection(Section):
    """What films and edits have in common. Width and height 0 follow the first picture of a row.

    `seed` -1 draws one at build; `negative_prompt` stands before that of each row; `model` "" takes the worker's.
    """

    negative_prompt: Text = ""
    seed: Seed = -1
    model: Annotated[Text, Field(max_length=300)] = ""
    width: Whole = _default(I2V, "width")
    height: Whole = _default(I2V, "height")
    steps: Whole
    cfg_scale: Number

    REMEDY: ClassVar[str] = "correct it"
    ALIASES: ClassVar[Mapping[str, str]] = _ALIASES


class I2VSection(FilmSection):
    """A film of one picture."""

    num_frames: Whole = _default(I2V, "num_frames")
    fps: Whole = _default(I2V, "fps")
    steps: Whole = _default(I2V, "steps")
    cfg_scale: Number = _default(I2V, "cfg_scale")
    boundary: Number = _default(I2V, "boundary")
    sigma_shift: Number = _default(I2V, "sigma_shift")
    fit: Literal["crop", "pad"] = _default(I2V, "fit")

    ALIASES: ClassVar[Mapping[str, str]] = {
        **_ALIASES,
        "frames": "num_frames",
        "switch_DiT_boundary": "boundary",
        "shift": "sigma_shift",
    }
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {"fit": {"crop": "crop", "pad": "pad"}}
    MEANING: ClassVar[frozenset[str]] = frozenset({"negative_prompt", "seed", "model", *I2V})


class EditSection(FilmSection):
    """A picture made of others by an instruction."""

    steps: Whole = _default(EDIT, "steps")
    cfg_scale: Number = _default(EDIT, "cfg_scale")
    scheduler: Literal["lightning", "default"] = _default(EDIT, "scheduler")

    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = {
        "scheduler": {"lightning": "lightning", "default": "default"}
    }
    MEANING: ClassVar[frozenset[str]] = frozenset({"negative_prompt", "seed", "model", *EDIT})


class FilmPipelineSection(Section):
    """How often records are repeated. There is one stage, and a record makes one file."""

    loop_type: Text = "pipeline"
    loop_count: Annotated[Whole, Field(ge=1, le=100_000)] = 1
    seed_mode: Text = ""

    ALIASES: ClassVar[Mapping[str, str]] = PipelineSection.ALIASES
    SPELLINGS: ClassVar[Mapping[str, Mapping[str, str]]] = PipelineSection.SPELLINGS
    INERT: ClassVar[Inert] = {
        **PipelineSection.INERT,
        "images_per_prompt": (1,),
        **{name: ANYTHING for name in PipelineSection.model_fields if name.endswith("_enabled")},
        **{name: ANYTHING for name in PipelineSection.model_fields if name.startswith("apply_global")},
    }

    def as_pipeline(self) -> PipelineSection:
        """The same in the terms of all kinds. Global prompts are words for pictures and are left out."""
        off = {name: False for name in PipelineSection.model_fields if name.startswith("apply_global")}
        return PipelineSection(
            loop_type=self.loop_type, loop_count=self.loop_count, seed_mode=self.seed_mode, **off
        )
