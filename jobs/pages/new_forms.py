"""The form of "New video" and "New edit": its fields are the table of limits, the builder judges what is typed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from django import forms
from django.forms.boundfield import BoundField
from django.http import QueryDict

from jobs.lifecycle import Priority, TruthPolicy
from jobs.packs.options import JsonScalar
from jobs.submitting.chosen_pictures import ChosenPicture
from jobs.submitting.filled_form import FilledForm, label_of
from jobs.submitting.ordering import MAX_BUILD_SEED
from webui.kinds import WorkKind
from webui.work.limits import LIMITS, MAX_PROMPT_CHARACTERS, Choice, Limit

MAX_REPEAT: Final = 10_000
EACH: Final = "each"
TOGETHER: Final = "together"


@dataclass(frozen=True, slots=True)
class SettingField:
    """One setting of the kind, as the page shows it. `choices` is empty for a number; `step` is that of its field."""

    name: str
    field: BoundField
    label: str
    hint: str
    example: str = ""
    choices: tuple[str, ...] = ()
    low: int | float = 0
    high: int | float = 0
    step: str = "1"


class NewForm(forms.Form):
    """What a person fills in; `settings` has a field for each of the kind's (`steps`), added at its making.

    `drawn` is the seed that the page drew for whoever gives none; `nonce` names the page, so that pressing twice
    queues nothing twice.
    """

    prompt = forms.CharField(required=False)
    negative_prompt = forms.CharField(required=False)
    seed = forms.IntegerField(
        required=False,
        min_value=0,
        max_value=MAX_BUILD_SEED,
        error_messages={
            "invalid": "Seed is a whole number, or empty for one that is drawn.",
            "min_value": f"Seed %(show_value)s is outside 0-{MAX_BUILD_SEED:,}.",
            "max_value": f"Seed %(show_value)s is outside 0-{MAX_BUILD_SEED:,}.",
        },
    )
    drawn = forms.IntegerField(required=False, min_value=0, max_value=MAX_BUILD_SEED)
    repeat = forms.IntegerField(
        required=False,
        min_value=1,
        max_value=MAX_REPEAT,
        error_messages={
            "invalid": f"Repeat is a whole number, 1-{MAX_REPEAT:,}.",
            "min_value": f"Repeat %(show_value)s is outside 1-{MAX_REPEAT:,}.",
            "max_value": f"Repeat %(show_value)s is outside 1-{MAX_REPEAT:,}.",
        },
    )
    arrange = forms.ChoiceField(
        required=False,
        choices=((EACH, "One edit of each picture"), (TOGETHER, "One edit of all these pictures")),
    )
    priority = forms.TypedChoiceField(
        choices=Priority.choices,
        coerce=lambda value: Priority(int(value)),
        required=False,
        initial=Priority.NORMAL,
    )
    truth = forms.TypedChoiceField(
        choices=(("", "Default"), *TruthPolicy.choices), coerce=TruthPolicy, empty_value=None, required=False
    )

    def __init__(self, kind: WorkKind, data: QueryDict) -> None:
        super().__init__(data)
        self.kind = kind
        for name in LIMITS[kind]:
            self.fields[name] = forms.CharField(required=False)

    @classmethod
    def fresh(cls, kind: WorkKind) -> Self:
        """With the defaults filled in; a size that follows its picture is an empty field."""
        data = QueryDict(mutable=True)
        for name, limit in LIMITS[kind].items():
            data[name] = "" if isinstance(limit, Limit) and limit.auto else str(limit.default)
        data["repeat"], data["arrange"], data["priority"] = "1", EACH, str(Priority.NORMAL.value)
        return cls(kind, data)

    @property
    def told_fields(self) -> tuple[str, ...]:
        """Fields that something may be wrong with; `form` is all of it."""
        return ("form", "images", "prompt", "negative_prompt", *LIMITS[self.kind], "seed", "repeat")

    @property
    def prompt_characters(self) -> int:
        return MAX_PROMPT_CHARACTERS

    def clean_priority(self) -> Priority:
        return self.cleaned_data["priority"] or Priority.NORMAL

    @property
    def setting_fields(self) -> list[SettingField]:
        return [_setting(name, self[name], limit) for name, limit in LIMITS[self.kind].items()]

    def filled(self, pictures: Sequence[ChosenPicture]) -> FilledForm:
        """Of a form that is valid as far as the builder does not judge it."""
        cleaned: Mapping[str, Any] = self.cleaned_data
        seed = cleaned.get("seed")
        return FilledForm(
            kind=self.kind,
            pictures=tuple(pictures),
            prompt=cleaned.get("prompt", ""),
            negative_prompt=cleaned.get("negative_prompt", ""),
            settings={
                name: _value(text, limit)
                for name, limit in LIMITS[self.kind].items()
                if (text := cleaned.get(name, ""))
            },
            seed=(cleaned.get("drawn") or 0) if seed is None else seed,
            repeat=cleaned.get("repeat") or 1,
            together=self.kind == WorkKind.EDIT and cleaned.get("arrange") == TOGETHER,
        )


def _value(text: str, limit: Limit | Choice) -> JsonScalar:
    """The number that was typed; the text itself where it is none, which the builder then refuses."""
    if isinstance(limit, Choice):
        return text
    try:
        number = float(text)
    except ValueError:
        return text
    if not math.isfinite(number):
        return text
    return int(number) if number.is_integer() and limit.whole else number


def _setting(name: str, field: BoundField, limit: Limit | Choice) -> SettingField:
    label = label_of(name)
    if isinstance(limit, Choice):
        return SettingField(name, field, label, HINTS.get(name, ""), choices=limit.values)
    hint = f"{limit.range_words}{HINTS.get(name, '')}"
    # Any whole number is taken: what is between two steps snaps, and the preview says so.
    step = "1" if limit.whole else "any"
    low = 0 if limit.auto else limit.low
    example = "auto" if limit.auto else str(limit.default)
    return SettingField(name, field, label, hint, example, low=low, high=limit.high, step=step)


HINTS: Final[Mapping[str, str]] = {
    "fit": "How a picture of another shape is brought to the size",
    "scheduler": "Lightning goes with its LoRA and few steps",
    "num_frames": ", a multiple of 4 and one more",
    "boundary": ", where the second model takes over",
    "steps": ", more take longer",
}
