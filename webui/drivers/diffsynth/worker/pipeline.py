"""The pipelines of DiffSynth-Studio: the only module that touches torch and diffsynth.

`build` loads one as configured, from local files alone; its `draw` makes one film or picture. Imported by the job
thread only, after the server listens: importing torch takes seconds.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Protocol

import torch
from PIL import Image

from webui.drivers.diffsynth.worker.configuration import REQUIRED_FOLDER, LoraFile, WorkerConfiguration
from webui.drivers.diffsynth.worker.drawing import (
    DrawingProgress,
    FatalDrawingError,
    FusedLora,
    NoMemoryError,
    PipelineBuildError,
)
from webui.drivers.diffsynth.worker.orders import WorkOrder
from webui.work.limits import LIGHTNING

_MODEL_NAMES: Final[Mapping[str, Mapping[str, str]]] = {
    "i2v": {
        "dit": "wan_video_dit",
        "dit2": "wan_video_dit",
        "text_encoder": "wan_video_text_encoder",
        "vae": "wan_video_vae",
    },
    "edit": {"dit": "qwen_image_dit", "text_encoder": "qwen_image_text_encoder", "vae": "qwen_image_vae"},
}
"""What the library calls the model that belongs in each place of a configuration."""
_SCHEDULERS: Final = {True: "Qwen-Image-Lightning", False: "Qwen-Image"}
"""Whether an edit is drawn in the few steps of the Lightning LoRA, whose steps lie elsewhere."""
_PACKAGES: Final = ("diffsynth", "torch", "torchvision", "transformers", "safetensors")
_NO_MEMORY: Final = ("out of memory", "can't allocate memory", "cannot allocate memory", "alloc_failed")
_DEVICE_BROKEN: Final = ("cuda error", "device-side assert", "cublas_status", "cudnn_status")


class _Draw(Protocol):
    def __call__(
        self,
        pipe: Any,
        order: WorkOrder,
        size_px: tuple[int, int],
        pictures: Sequence[Image.Image],
        steps: Callable[[Any], Iterator[Any]],
    ) -> list[Image.Image]: ...


class DiffSynthPipeline:
    """A loaded pipeline (`webui.drivers.diffsynth.worker.drawing.LoadedPipeline`)."""

    def __init__(self, pipe: Any, device: str, loras: tuple[FusedLora, ...], draw: _Draw) -> None:
        self.device = device
        self.loras = loras
        self.versions: Mapping[str, str] = {
            "python": sys.version.split()[0],
            **{name: version(name) for name in _PACKAGES},
        }
        self._pipe = pipe
        self._draw = draw

    def vram_bytes(self) -> tuple[int, int] | None:
        if not self.device.startswith("cuda"):
            return None
        try:
            free, total = torch.cuda.mem_get_info(self.device)
        except RuntimeError:
            return None  # The next job tells what is wrong with the card.
        return total - free, total

    def draw(
        self,
        order: WorkOrder,
        size_px: tuple[int, int],
        pictures: Sequence[Image.Image],
        progress: DrawingProgress,
    ) -> list[Image.Image]:
        def steps(timesteps: Any) -> Iterator[Any]:
            """Between two steps is the only place where a drawing can be watched and ended."""
            count = len(timesteps)
            progress.enter("denoise")
            progress.step(0, count)
            for number, timestep in enumerate(timesteps):
                progress.check()
                yield timestep
                progress.step(number + 1, count)
            progress.enter("decode")

        progress.enter("encode")
        try:
            return self._draw(self._pipe, order, size_px, pictures, steps)
        except (RuntimeError, MemoryError) as exc:
            raise _fatal(exc, self.device) or exc from exc


def build(configuration: WorkerConfiguration, enter: Callable[[str], None]) -> DiffSynthPipeline:
    """Raises PipelineBuildError, or what the library raises."""
    if configuration.registry:
        importlib.import_module(configuration.registry)
    _check_device(configuration.device)
    load, draw = {"i2v": (_load_wan, _draw_film), "edit": (_load_qwen, _draw_edit(configuration))}[
        configuration.kind
    ]
    enter("weights")
    try:
        _check_folder(configuration)
        _check_models(configuration)
        pipe = load(configuration)
        _check_parts(configuration, pipe)
        enter("loras")
        loras = tuple(_fused(pipe, lora) for lora in configuration.loras)
    except (RuntimeError, MemoryError) as exc:
        if isinstance(_fatal(exc, configuration.device), NoMemoryError):
            message = (
                f"{configuration.name} does not fit the memory of {configuration.device}: {exc} "
                "Set vram_limit_gb and offload, or use a smaller model."
            )
            raise PipelineBuildError(" ".join(message.split())) from exc
        raise
    return DiffSynthPipeline(pipe, configuration.device, loras, draw)


def _check_device(device: str) -> None:
    if not device.startswith("cuda"):
        return
    if not torch.cuda.is_available():
        raise PipelineBuildError(
            f"The device is {device}, but PyTorch finds no GPU here. Check the driver of the graphics card."
        )
    count = torch.cuda.device_count()
    if int(device.partition(":")[2] or 0) >= count:
        raise PipelineBuildError(
            f"The device is {device}, but this machine has {count} GPUs, counted from 0."
        )


def _check_folder(configuration: WorkerConfiguration) -> None:
    """Whether the tokenizer or processor loads: that takes a moment, and the models behind it minutes."""
    from transformers import AutoTokenizer, Qwen2VLProcessor

    key = REQUIRED_FOLDER[configuration.kind]
    loader = {"tokenizer": AutoTokenizer, "processor": Qwen2VLProcessor}[key]
    try:
        loader.from_pretrained(str(configuration.folder), local_files_only=True)
    except Exception as exc:
        why = (str(exc).strip().splitlines() or [""])[0] or type(exc).__name__
        raise PipelineBuildError(
            f"{key}: {configuration.folder} holds no {key} that can be loaded ({why}). Download the whole folder again."
        ) from exc


def _check_models(configuration: WorkerConfiguration) -> None:
    """Whether each file holds the model of its place. Swapped `dit` and `dit2` look alike and are not found."""
    from diffsynth.configs import MODEL_CONFIGS
    from diffsynth.core.loader import hash_model_file

    for place, shards in configuration.files.items():
        if any(shard.suffix != ".safetensors" for shard in shards):
            continue  # The keys of other files are known only once all of it is loaded: `_check_parts` looks then.
        wanted = _MODEL_NAMES[configuration.kind][place]
        found = hash_model_file(_paths(shards))
        names = {row["model_name"] for row in MODEL_CONFIGS if row["model_hash"] == found}
        if not names:
            raise PipelineBuildError(
                f"files.{place}: DiffSynth does not know the model in {_listed(shards)}. "
                "Give all shards of one model in its original format. A newer model needs a newer version."
            )
        if wanted not in names:
            raise PipelineBuildError(
                f"files.{place}: {_listed(shards)} is {' and '.join(names)}, not {wanted}."
            )


def _check_parts(configuration: WorkerConfiguration, pipe: Any) -> None:
    """The library only prints that a part is missing."""
    parts = [*configuration.files, REQUIRED_FOLDER[configuration.kind]]
    missing = [part for part in parts if getattr(pipe, part) is None]
    if missing:
        raise PipelineBuildError(
            f"{', '.join(missing)}: missing after loading. Check that each file holds the model of its place."
        )


def _load_wan(configuration: WorkerConfiguration) -> Any:
    from diffsynth.pipelines.wan_video import ModelConfig, WanVideoPipeline

    return WanVideoPipeline.from_pretrained(
        torch_dtype=getattr(torch, configuration.dtype),
        device=configuration.device,
        model_configs=_model_configs(configuration, ModelConfig),
        tokenizer_config=ModelConfig(path=str(configuration.folder)),
        vram_limit=configuration.vram_limit_gb,
    )


def _load_qwen(configuration: WorkerConfiguration) -> Any:
    from diffsynth.pipelines.qwen_image import ModelConfig, QwenImagePipeline

    return QwenImagePipeline.from_pretrained(
        torch_dtype=getattr(torch, configuration.dtype),
        device=configuration.device,
        model_configs=_model_configs(configuration, ModelConfig),
        tokenizer_config=None,
        processor_config=ModelConfig(path=str(configuration.folder)),
        vram_limit=configuration.vram_limit_gb,
    )


def _model_configs(configuration: WorkerConfiguration, model_config: Any) -> list[Any]:
    """In the order of the configuration: of two equal models the first becomes `dit`, which draws the strong noise."""
    offload = {
        key: getattr(torch, value) if key.endswith("_dtype") and value != "disk" else value
        for key, value in configuration.offload.items()
    }
    return [model_config(path=_paths(shards), **offload) for shards in configuration.files.values()]


def _paths(shards: Sequence[Path]) -> str | list[str]:
    return str(shards[0]) if len(shards) == 1 else [str(shard) for shard in shards]


def _listed(shards: Sequence[Path]) -> str:
    return ", ".join(map(str, shards))


def _fused(pipe: Any, lora: LoraFile) -> FusedLora:
    """The library takes a LoRA that fits no layer without a word, so the layers are counted here."""
    from diffsynth.core.loader import load_state_dict

    model = getattr(pipe, lora.target)
    try:
        weights = load_state_dict(str(lora.path), torch_dtype=pipe.torch_dtype, device=pipe.device)
        converted = pipe.lora_loader(torch_dtype=pipe.torch_dtype, device=pipe.device).convert_state_dict(
            weights
        )
        layers = {
            name.removesuffix(".lora_B.weight") for name in converted if name.endswith(".lora_B.weight")
        }
        fitting = sum(name in layers for name, _ in model.named_modules())
        if fitting:
            pipe.load_lora(model, alpha=lora.strength, state_dict=weights)
    except (RuntimeError, KeyError, ValueError) as exc:
        if isinstance(_fatal(exc, str(pipe.device)), NoMemoryError):
            raise
        raise PipelineBuildError(
            f"The LoRA {lora.path} does not fit {lora.target}: {' '.join(str(exc).split())}. "
            "Use one that was made for this model."
        ) from exc
    if not fitting:
        raise PipelineBuildError(
            f"The LoRA {lora.path} fits no layer of {lora.target}. Use one that was made for this model."
        )
    return FusedLora(lora.name, lora.target, lora.strength, fitting)


def _draw_film(
    pipe: Any,
    order: WorkOrder,
    size_px: tuple[int, int],
    pictures: Sequence[Image.Image],
    steps: Callable[[Any], Iterator[Any]],
) -> list[Image.Image]:
    frames: list[Image.Image] = pipe(
        prompt=order.prompt,
        negative_prompt=order.negative_prompt,
        input_image=pictures[0],
        seed=order.seed,
        rand_device="cpu",
        width=size_px[0],
        height=size_px[1],
        num_frames=order.whole("num_frames"),
        cfg_scale=order.number("cfg_scale"),
        switch_DiT_boundary=order.number("boundary"),
        num_inference_steps=order.whole("steps"),
        sigma_shift=order.number("sigma_shift"),
        tiled=True,
        progress_bar_cmd=steps,
    )
    return frames


def _draw_edit(configuration: WorkerConfiguration) -> _Draw:
    def draw(
        pipe: Any,
        order: WorkOrder,
        size_px: tuple[int, int],
        pictures: Sequence[Image.Image],
        steps: Callable[[Any], Iterator[Any]],
    ) -> list[Image.Image]:
        from diffsynth.pipelines.qwen_image import FlowMatchScheduler

        pipe.scheduler = FlowMatchScheduler(_SCHEDULERS[order.word("scheduler") == LIGHTNING])
        picture = pipe(
            prompt=order.prompt,
            negative_prompt=order.negative_prompt,
            # Always a list: a single picture would take another template of the prompt.
            edit_image=list(pictures),
            seed=order.seed,
            rand_device="cpu",
            width=size_px[0],
            height=size_px[1],
            cfg_scale=order.number("cfg_scale"),
            num_inference_steps=order.whole("steps"),
            zero_cond_t=configuration.zero_cond_t,
            progress_bar_cmd=steps,
        )
        return [picture]

    return draw


def _fatal(exc: BaseException, device: str) -> FatalDrawingError | None:
    """What makes the whole process unusable; None for the rest."""
    words = " ".join(str(exc).split())
    lower = words.lower()
    if isinstance(exc, MemoryError | torch.OutOfMemoryError) or any(mark in lower for mark in _NO_MEMORY):
        return NoMemoryError(f"{device} has too little memory for this job: {words or 'no memory left'}")
    if any(mark in lower for mark in _DEVICE_BROKEN):
        return FatalDrawingError(f"{device} failed and cannot be used further by this process: {words}")
    return None
