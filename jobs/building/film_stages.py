"""The one stage of a film or an edit: a pack's settings as what a worker takes.

Sizes snap to multiples of 16 and frames to 4k+1 here, once, and it is said. A size of 0 follows the row's first
picture. The ranges are those of `webui.work.limits`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from jobs.packs.document import PackDocument
from jobs.packs.findings import Report
from jobs.records.stage_config import StageConfig
from webui.work.limits import AUTO, LIMITS, Choice, Limit, auto_size
from webui.work.parameters import EditParameters, I2VParameters

SNAPPED: Final = "snapped_value"
"""The code of the warning that a value becomes another one."""

_PARAMETERS: Final[Mapping[str, type[I2VParameters | EditParameters]]] = {
    "i2v": I2VParameters,
    "edit": EditParameters,
}


def film_chain(document: PackDocument, report: Report) -> tuple[StageConfig, ...]:
    """The stage with every value snapped; a size that follows the picture is still `AUTO`.

    What is out of its range goes to `report`, and so does what became another value.
    """
    kind, section = document.kind, document.film
    values = {
        name: _settled(f"{kind}.{name}", getattr(section, name), limit, report)
        for name, limit in LIMITS[kind].items()
    }
    name = section.model.strip()
    values["model"] = "" if name.lower() == "none" else name
    return (_stage(kind, _PARAMETERS[kind].model_validate(values)),)


def follows_picture(chain: Sequence[StageConfig]) -> bool:
    """Whether a side of the result is that of its picture."""
    parameters = _parameters(chain)
    return AUTO in (parameters.width, parameters.height)


def sized(chain: Sequence[StageConfig], width_px: int, height_px: int) -> tuple[StageConfig, ...]:
    """The stage for a row whose first picture has this size: no side is `AUTO` any more.

    Where one side is given, the other follows by the shape of the picture.
    """
    kind, parameters = chain[0].stage, _parameters(chain)
    width, height = parameters.width, parameters.height
    if width == AUTO and height == AUTO:
        width, height = auto_size(kind, width_px, height_px)
    elif width == AUTO:
        width = _snapped(kind, "width", height * width_px / height_px)
    elif height == AUTO:
        height = _snapped(kind, "height", width * height_px / width_px)
    return (_stage(kind, parameters.model_copy(update={"width": width, "height": height})),)


def _stage(kind: str, parameters: I2VParameters | EditParameters) -> StageConfig:
    return StageConfig(stage=kind, enabled=True, parameters=parameters)


def _parameters(chain: Sequence[StageConfig]) -> I2VParameters | EditParameters:
    parameters = chain[0].parameters
    if not isinstance(parameters, I2VParameters | EditParameters):
        raise TypeError(f"stage {chain[0].stage} is neither a film nor an edit")
    return parameters


def _settled(
    setting: str, value: int | float | str, limit: Limit | Choice, report: Report
) -> int | float | str:
    if isinstance(limit, Choice) or isinstance(value, str):
        return value
    if not limit.allows(value):
        words = f"{setting} {value} is outside {limit.range_words}."
        report.refuse("out_of_range", words, setting)
    elif limit.step and (near := limit.snapped(int(value))) != value:
        report.warn(SNAPPED, f"{setting} {value} becomes {near}.", setting)
        return near
    return value


def _snapped(kind: str, name: str, side: float) -> int:
    limit = LIMITS[kind][name]
    if not isinstance(limit, Limit):
        raise TypeError(f"{kind}.{name} has no range")
    return limit.snapped(round(side))
