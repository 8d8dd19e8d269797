"""What somebody filled in for films or edits, as the pack that it becomes: planned, built and told by field.

The numbers are judged by the builder, as for packs and commands, so that there is one sentence for each refusal.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from django.conf import settings
from django.contrib.auth.models import User

from jobs.building.builder import Build, BuildOptions
from jobs.building.film_stages import SNAPPED
from jobs.errors import RecordProblem, RefusedError
from jobs.lifecycle import Priority, TruthPolicy
from jobs.models import PackOrigin
from jobs.packs.forms import form_source
from jobs.packs.options import JsonScalar
from jobs.packs.pack import parse_pack
from jobs.packs.rows import RowImage
from jobs.records.reading import AnyRecord
from jobs.submitting.chosen_pictures import ChosenPicture, keep_results
from jobs.submitting.ordering import OrderPlan, build_order, order_options, place, plan_order
from jobs.submitting.preflight import OnMissing
from jobs.submitting.submission import Submitted
from webui.kinds import count_results
from webui.words import count
from webui.work.limits import LIMITS
from webui.work.parameters import I2VParameters

_WHERE: Final = re.compile(r"^Pack [^:]*?(?:, rows? [0-9–, ]+)?: ")
_HASH_CHARS: Final = 16
MAX_SIZES: Final = 8
"""Different sizes that a page lists one by one."""


@dataclass(frozen=True, slots=True)
class FilledForm:
    """`settings` are those of the kind by name, as far as they were filled in; a text is one that is no number.

    `together`: one edit of all pictures; else each makes a film or an edit of its own.
    """

    kind: str
    pictures: tuple[ChosenPicture, ...]
    prompt: str
    negative_prompt: str
    settings: Mapping[str, JsonScalar]
    seed: int
    repeat: int = 1
    together: bool = False

    def plan(self, *, effective: bool = False) -> OrderPlan:
        """`effective` as it is stored: sizes and frames are written as they will be."""
        images: Sequence[RowImage | Sequence[RowImage]] = [one.image for one in self.pictures]
        if self.together and images:
            images = [[one.image for one in self.pictures]]
        source = form_source(
            self.kind, images, self.prompt, self.negative_prompt, self.settings, effective=effective
        )
        return plan_order([parse_pack(source)], self._options())

    def _options(self) -> BuildOptions:
        return order_options(
            rows=None,
            overrides={},
            matrix={},
            repeat=self.repeat,
            limit=None,
            seed=self.seed,
            run_now=False,
        )


@dataclass(frozen=True, slots=True)
class MadeSize:
    """Results that have one size. `frames`, `fps` and `duration_s` are those of films, else 0."""

    results: int
    width_px: int
    height_px: int
    frames: int = 0
    fps: int = 0

    @property
    def duration_s(self) -> float:
        return self.frames / self.fps if self.fps else 0


@dataclass(frozen=True, slots=True)
class Made:
    """What the form makes; nothing is stored. `problems` are sentences by field, "" for those of no field."""

    kind: str
    results: int
    sizes: tuple[MadeSize, ...]
    problems: Mapping[str, tuple[str, ...]]
    notes: tuple[str, ...]
    """What becomes of values that are not taken as they are, and what has no effect."""

    @property
    def words(self) -> str:
        return count_results({self.kind: self.results})

    @property
    def shown_sizes(self) -> tuple[MadeSize, ...]:
        return self.sizes[:MAX_SIZES]

    @property
    def more_sizes(self) -> int:
        return max(0, len(self.sizes) - MAX_SIZES)


def look_at(form: FilledForm) -> Made:
    """Plan and build the form as a preview. Repeats are counted, not built."""
    plan = form.plan()
    total = plan.plans[0].counts.all_records
    too_many = total > plan.options.max_records
    once = plan if too_many or form.repeat == 1 else replace(form, repeat=1).plan()
    made = build_order(once)
    sizes: dict[tuple[int, int, int, int], int] = {}
    for build in made.builds:
        for record in build.records:
            key = _size_of(record)
            sizes[key] = sizes.get(key, 0) + form.repeat
    return Made(
        kind=form.kind,
        results=sum(sizes.values()),
        sizes=tuple(MadeSize(number, *key) for key, number in sorted(sizes.items(), key=lambda one: -one[1])),
        problems=by_field(made.problems, form.kind),
        notes=_notes(made.builds, form.kind),
    )


def queue(
    form: FilledForm,
    *,
    nonce: str,
    user: User | None,
    priority: Priority = Priority.NORMAL,
    truth: TruthPolicy | None = None,
) -> Submitted:
    """Submit it. The same form of the same page (`nonce`) again queues nothing.

    Raises `RefusedError`, `ConflictError` and `InputNotKeptError`; nothing but input pictures is stored then.
    """
    made = build_order(form.plan(effective=True))
    if made.problems:
        raise RefusedError(made.problems)
    keep_results(form.pictures, by=user.get_username() if user else "")
    content = [made.builds[0].source.sha256, form.seed, form.repeat, priority, truth]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:_HASH_CHARS]
    return place(
        made.builds,
        priority=priority,
        key=f"form-{nonce}-{digest}",
        user=user,
        truth=truth,
        # What a worker has is not listed anywhere, so nothing can be missing.
        on_missing=OnMissing.STOP,
        origin=PackOrigin.FORM,
    )


def by_field(problems: Sequence[RecordProblem], kind: str) -> dict[str, tuple[str, ...]]:
    """Sentences for the fields of a form: each once, however many rows it is about."""
    found: dict[str, list[str]] = {}
    for problem in problems:
        field = problem.field.removeprefix(f"{kind}.")
        if problem.code == "too_many_records":
            field = "repeat"
            words = _too_many()
        elif problem.code == "unresolved_token":
            field = "prompt"
            words = f"[[{problem.field}]] is a slot, and a form has no values for slots. Write the words out."
        else:
            words = _words(problem.message, kind)
        field = field if field in (*LIMITS[kind], "prompt", "negative_prompt", "images", "repeat") else ""
        if words not in found.setdefault(field, []):
            found[field].append(words)
    return {field: tuple(told) for field, told in found.items()}


def _words(message: str, kind: str) -> str:
    """A problem of a pack, in the words of a form."""
    words = _WHERE.sub("", message)
    for name in LIMITS[kind]:
        words = words.replace(f"{kind}.{name} ", f"{label_of(name)} ", 1)
    return f"{words[:1].upper()}{words[1:]}"


LABELS: Final[Mapping[str, str]] = {
    "num_frames": "Frames",
    "fps": "Frames per second",
    "cfg_scale": "CFG",
    "sigma_shift": "Shift",
}


def label_of(name: str) -> str:
    """What the field of a setting is called."""
    return LABELS.get(name, name.capitalize())


def _too_many() -> str:
    most = count(settings.STABLENEW_MAX_RECORDS, "record")
    return f"Pictures times repeats are more than the {most} that one submission may hold. Make fewer."


def _notes(builds: Sequence[Build], kind: str) -> tuple[str, ...]:
    codes = (SNAPPED, "no_effect", "choice", "wildcard")
    told = [
        _words(re.sub(r"^row [0-9]+: ", "", warning.message), kind)
        for build in builds
        for warning in build.warnings
        if warning.code in codes
    ]
    return tuple(dict.fromkeys(told))


def _size_of(record: AnyRecord) -> tuple[int, int, int, int]:
    film = record.stage_chain[0].parameters
    frames, fps = (film.num_frames, film.fps) if isinstance(film, I2VParameters) else (0, 0)
    return record.width, record.height, frames, fps
