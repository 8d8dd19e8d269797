"""Forms: what people type becomes typed options, or a sentence that says what to change."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.http import QueryDict
from pydantic import ValidationError as PydanticError

from jobs.errors import OptionError, PackReadError
from jobs.lifecycle import Priority, TruthPolicy
from jobs.models import PackRevision
from jobs.packs.formats import FORMATS
from jobs.packs.options import (
    BuildOptions,
    JsonScalar,
    parse_matrix,
    parse_override,
    parse_rows,
    parse_slot_values,
    parse_sweep,
)
from jobs.packs.presets import Preset, preset_of
from jobs.submitting.ordering import MAX_BUILD_SEED, order_options

PartT = TypeVar("PartT")
#: Fields of single slots that one submission takes, and the characters of a slot's name.
MAX_SLOT_FIELDS = 200
MAX_SLOT_CHARS = 500


class ManyFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


class ManyFilesField(forms.FileField):
    """Several uploaded files, cleaned to a list."""

    widget = ManyFilesInput

    def clean(self, data: Any, initial: Any = None) -> list[UploadedFile[bytes]]:
        # No file at all arrives as an empty list: cleaned as None, it gets the field's own sentence.
        files = list(data or [None]) if isinstance(data, list | tuple) else [data]
        return [super(ManyFilesField, self).clean(file, initial) for file in files]


FORMAT_CHOICES = (("", "a pack: blank lines between rows"), *FORMATS.items())


class ImportForm(forms.Form):
    pack_files = ManyFilesField(
        allow_empty_file=True,
        error_messages={"required": "Choose at least one .txt or .json file."},
    )
    format = forms.ChoiceField(
        required=False,
        choices=FORMAT_CHOICES,
        error_messages={"invalid_choice": "Unknown format; choose one of the list."},
    )


class SubmitForm(forms.Form):
    """The options of one submission of one or several packs, as people type them.

    `preset` is the id of a stored revision, which cannot change between a preview and its submission. `drawn` is
    the seed that the page drew for whoever gives none: with it, a changed option changes nothing else.
    """

    rows = forms.CharField(required=False, max_length=2_000)
    overrides = forms.CharField(required=False, max_length=20_000)
    matrix = forms.CharField(required=False, max_length=20_000)
    sweeps = forms.CharField(required=False, max_length=20_000)
    preset = forms.IntegerField(required=False, min_value=1, max_value=2**62)
    repeat = forms.IntegerField(required=False, min_value=1, max_value=100_000)
    limit = forms.IntegerField(required=False, min_value=1, max_value=1_000_000)
    seed = forms.IntegerField(required=False, min_value=0, max_value=MAX_BUILD_SEED)
    drawn = forms.IntegerField(required=False, min_value=0, max_value=MAX_BUILD_SEED)
    priority = forms.TypedChoiceField(
        choices=Priority.choices,
        coerce=lambda value: Priority(int(value)),
        required=False,
        initial=Priority.NORMAL,
    )
    truth = forms.TypedChoiceField(
        choices=(("", "Default"), *TruthPolicy.choices),
        coerce=TruthPolicy,
        empty_value=None,
        required=False,
    )
    run_now = forms.BooleanField(required=False)
    skip_unfilled = forms.BooleanField(required=False)
    strict = forms.BooleanField(required=False)

    @property
    def slot_values(self) -> dict[str, str]:
        """What stands in the fields of single slots, by slot: `slot_name` and `slot_values` come in pairs."""
        if not isinstance(self.data, QueryDict):
            return {}
        pairs = zip(self.data.getlist("slot_name"), self.data.getlist("slot_values"), strict=False)
        return {name[:MAX_SLOT_CHARS]: values for name, values in list(pairs)[:MAX_SLOT_FIELDS]}

    def clean_rows(self) -> tuple[int, ...] | None:
        text = self.cleaned_data["rows"].strip()
        return _read(parse_rows, text) if text else None

    def clean_overrides(self) -> dict[str, Any]:
        return dict(_read_lines(parse_override, self.cleaned_data["overrides"]))

    def clean_priority(self) -> Priority:
        return self.cleaned_data["priority"] or Priority.NORMAL

    def clean_matrix(self) -> dict[str, tuple[str, ...]]:
        matrix = dict(_read_lines(parse_matrix, self.cleaned_data["matrix"]))
        for name, text in self.slot_values.items():
            if not text.strip():
                continue
            if name in matrix:
                raise forms.ValidationError(
                    f"{name} has values here and in its own field; empty one of them."
                )
            matrix[name] = _read(partial(parse_slot_values, name), text)
        return matrix

    def clean_sweeps(self) -> dict[str, tuple[JsonScalar, ...]]:
        return dict(_read_lines(parse_sweep, self.cleaned_data["sweeps"]))

    def clean_preset(self) -> Preset | None:
        revision_id = self.cleaned_data["preset"]
        if revision_id is None:
            return None
        revision = PackRevision.objects.select_related("pack").filter(pk=revision_id).first()
        if revision is None:
            raise forms.ValidationError("That preset is gone; choose another one.")
        try:
            return preset_of(revision.pack.name, revision.document)
        except PackReadError as exc:
            raise forms.ValidationError(str(exc)) from exc

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if not self.errors:
            try:
                self.options = self._options(cleaned)
            except PydanticError as exc:
                for error in exc.errors():
                    place = ".".join(str(part) for part in error["loc"])
                    self.add_error(None, f"{place}: {error['msg']}")
        return cleaned

    def _options(self, cleaned: dict[str, Any]) -> BuildOptions:
        # Without any seed one is drawn here, once: the page carries it on, so that what a dry run showed is what
        # a submission makes.
        return order_options(
            rows=cleaned["rows"],
            overrides=cleaned["overrides"],
            matrix=cleaned["matrix"],
            repeat=cleaned["repeat"] or 1,
            limit=cleaned["limit"],
            seed=cleaned["seed"] if cleaned["seed"] is not None else cleaned["drawn"],
            sweeps=cleaned["sweeps"],
            preset=cleaned["preset"],
            run_now=cleaned["run_now"],
            skip_unfilled=cleaned["skip_unfilled"],
            strict=cleaned["strict"],
        )


def _read(parse: Callable[[str], PartT], text: str) -> PartT:
    try:
        return parse(text)
    except OptionError as exc:
        raise forms.ValidationError(str(exc)) from exc


def _read_lines(parse: Callable[[str], PartT], text: str) -> Sequence[PartT]:
    """One option a line; every line that cannot be read is told, by its number."""
    parts: list[PartT] = []
    errors: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            parts.append(parse(line))
        except OptionError as exc:
            errors.append(f"Line {number}: {exc}")
    if errors:
        raise forms.ValidationError([forms.ValidationError(error) for error in errors])
    return parts
