"""What a record asks for, as names and values for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from webui.kinds import WorkKind
from webui.work.limits import AUTO

Pairs = tuple[tuple[str, str], ...]


def facts_of_record(record: dict[str, Any]) -> Pairs:
    """By its canonical document, whatever its kind; what is not asked for is left out."""
    pairs = _of_inputs(record) if record.get("inputs") else _of_pictures(record)
    return tuple((name, value) for name, value in pairs if value)


def film_words(frames: int | None, fps: float | None, duration_s: float | None) -> str:
    """`81 frames at 16 per second, 5.1 s`; empty for a picture."""
    if frames is None:
        return ""
    told = [f"{frames:,} frame{'' if frames == 1 else 's'}{f' at {fps:g} per second' if fps else ''}"]
    return ", ".join([*told, *([f"{duration_s:.1f} s"] if duration_s else [])])


def _of_inputs(record: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """Films and edits have one stage."""
    asked = record["stage_chain"][0]["parameters"]
    yield "Input pictures", ", ".join(one["name"] or one["sha256"][:12] for one in record["inputs"])
    yield from settings_of_stage(record["kind"], asked)
    yield "Seed", str(record["seed"])
    yield "Matrix", _matrix(record)


def settings_of_stage(kind: str, asked: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    """What the one stage of a film or an edit is made with, but for its seed."""
    film = kind == WorkKind.I2V
    yield "Model", asked["model"] or model_words("", kind)
    sides = (asked["width"], asked["height"])
    yield "Size", "in the shape of the picture" if AUTO in sides else f"{sides[0]} × {sides[1]}"
    if film:
        seconds = asked["num_frames"] / asked["fps"]
        yield "Frames", f"{asked['num_frames']} at {asked['fps']} per second, {seconds:.1f} s"
        yield "Fit", {"crop": "cropped", "pad": "padded"}.get(asked["fit"], asked["fit"])
    else:
        yield "Scheduler", asked["scheduler"]
    yield "Steps", str(asked["steps"])
    yield "CFG scale", f"{asked['cfg_scale']:g}"
    if film:
        yield "Boundary", f"{asked['boundary']:g}"
        yield "Sigma shift", f"{asked['sigma_shift']:g}"


def model_words(name: str, kind: str) -> str:
    """What draws: the checkpoint or model of this name, or the one that is taken where nobody names one."""
    return name or ("the one that the WebUI has loaded" if kind == WorkKind.IMAGE else "the worker's own")


def _of_pictures(record: dict[str, Any]) -> Pairs:
    stages = [stage["stage"] for stage in record["stage_chain"] if stage["enabled"]]
    return (
        ("Checkpoint", model_words(record["base_model"], WorkKind.IMAGE)),
        ("VAE", record["vae"] or "the WebUI's own"),
        ("Modules", _modules_shown(record.get("modules"))),
        ("Size", f"{record['width']} × {record['height']}"),
        ("Sampler", " ".join(filter(None, (record["sampler"], record["scheduler"])))),
        ("Steps", str(record["steps"])),
        ("CFG scale", f"{record['cfg_scale']:g}"),
        ("Seed", str(record["seed"])),
        ("Clip skip", str(record.get("clip_skip") or "the WebUI's own")),
        ("Pictures", str(record["images_per_prompt"])),
        ("Stages", " → ".join(stages)),
        ("LoRAs", ", ".join(f"{tag['name']} ({tag['weight']:g})" for tag in record["lora_tags"])),
        ("Matrix", _matrix(record)),
    )


def _matrix(record: dict[str, Any]) -> str:
    return "; ".join(f"{name} = {value}" for name, value in record["matrix_slot_values"].items())


def _modules_shown(modules: list[str] | None) -> str:
    """Text encoders and VAEs beside the checkpoint (Forge); "" where nobody asked for any."""
    return "" if modules is None else ", ".join(modules) or "those in the checkpoint"
