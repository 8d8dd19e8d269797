"""Units of work as the product hands them to a driver: complete ones to change, and varied ones by chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

from tests.truth.installation import (
    CHECKPOINTS,
    DETECTORS,
    EMBEDDINGS,
    FACE_RESTORER,
    LORAS,
    UPSCALERS,
    VAES,
)
from webui.work.catalog import Catalog, Thing
from webui.work.parameters import (
    ADetailerParameters,
    DetailerPass,
    Img2ImgParameters,
    Txt2ImgParameters,
    UpscaleByImg2ImgParameters,
    UpscaleParameters,
)
from webui.work.unit import Prompts, Work

LATENT_MODES: Final = ("Latent", "Latent (antialiased)", "Latent (nearest-exact)")
PLAIN_UPSCALERS: Final = ("Lanczos", "Nearest")
SUBJECTS: Final = (
    "a lighthouse",
    "two cats on a sofa",
    "an old man, portrait",
    "薄明の街",
    "castle, (mist:1.2)",
)
STYLES: Final = ("", ", oil painting", ", 35mm photo, bokeh", ", [ink:watercolor:0.4]", ", BREAK, night")

TXT2IMG: Final = Txt2ImgParameters(
    steps=12,
    cfg_scale=7.0,
    width=128,
    height=96,
    sampler="Euler",
    scheduler="Karras",
    enable_hr=False,
    hr_scale=2.0,
    hr_upscaler="Latent",
    hr_second_pass_steps=0,
    hr_resize_x=0,
    hr_resize_y=0,
    denoising_strength=0.5,
    hr_sampler="",
    hr_scheduler="",
    refiner_checkpoint="",
    refiner_switch_at=0.6,
)
IMG2IMG: Final = Img2ImgParameters(
    steps=12,
    cfg_scale=7.0,
    denoising_strength=0.4,
    width=0,
    height=0,
    sampler="Euler",
    scheduler="Karras",
    checkpoint="",
    vae="",
    seed=None,
)
PASS: Final = DetailerPass(
    enabled=True,
    model=DETECTORS[0],
    confidence=0.3,
    mask_filter_method="Area",
    mask_k=0,
    mask_min_ratio=0.0,
    mask_max_ratio=1.0,
    dilate_erode=4,
    mask_blur=4,
    mask_merge_invert="None",
    inpaint_only_masked=True,
    inpaint_padding=32,
    inpaint_width=0,
    inpaint_height=0,
    steps=8,
    cfg_scale=6.0,
    denoising_strength=0.4,
    sampler="Euler",
    scheduler="",
)
ADETAILER: Final = ADetailerParameters(
    face=PASS, hand=PASS.model_copy(update={"model": DETECTORS[1], "enabled": False})
)
UPSCALE: Final = UpscaleParameters(
    upscale_mode="single",
    upscaler=UPSCALERS[0],
    upscaling_resize=2.0,
    resize_mode=0,
    gfpgan_visibility=0.0,
    codeformer_visibility=0.0,
    codeformer_weight=0.0,
)
UPSCALE_BY_IMG2IMG: Final = UpscaleByImg2ImgParameters(
    upscale_mode="img2img",
    upscaler=UPSCALERS[0],
    upscaling_resize=1.5,
    steps=10,
    cfg_scale=7.0,
    denoising_strength=0.3,
    sampler="Euler",
    scheduler="Karras",
)


def work(parameters: Any, **changes: Any) -> Work:
    """A complete unit of work; its stage is that of its parameters."""
    stages: dict[type[Any], str] = {
        Txt2ImgParameters: "txt2img",
        Img2ImgParameters: "img2img",
        ADetailerParameters: "adetailer",
        UpscaleParameters: "upscale",
        UpscaleByImg2ImgParameters: "upscale",
    }
    complete: dict[str, Any] = {
        "stage": stages[type(parameters)],
        "parameters": parameters,
        "prompt": "a lighthouse",
        "negative_prompt": "blurry",
        "parts": {},
        "seed": 1000,
        "subseed": 5000,
        "subseed_strength": 0.0,
        "images": (0,),
        "checkpoint": CHECKPOINTS[0],
        "vae": "",
        "clip_skip": None,
        "task_id": "truth",
        "embeddings": (),
    }
    return Work(**complete | changes)


@dataclass
class Chance:
    """Honest work by chance: everything that it names is on the server. `pictures` are what later stages begin with."""

    rng: Random
    catalog: Catalog
    pictures: list[bytes] = field(default_factory=list)
    most_pictures: int = 24
    made: int = 0

    def keep(self, pictures: Sequence[bytes]) -> None:
        """Results that later stages may begin with; the oldest go."""
        self.pictures = [*self.pictures, *map(bytes, pictures)][-self.most_pictures :]

    def work(self) -> Work:
        """The next one, of any stage; the first ones are txt2img, as nothing else has a picture to begin with."""
        self.made += 1
        makers = [self._txt2img] * 4
        if self.pictures:
            makers += (
                [self._img2img] * 2 + [self._adetailer] + [self._upscale] * 2 + [self._upscale_by_img2img]
            )
        return self.rng.choice(makers)()

    # --- stages -------------------------------------------------------------------------------------------

    def _txt2img(self) -> Work:
        rng = self.rng
        with_hires, with_refiner = rng.random() < 0.35, rng.random() < 0.25
        parameters = TXT2IMG.model_copy(
            update=self._sampling()
            | {"width": self._side(), "height": self._side(), "enable_hr": with_hires}
            | (self._second_pass() if with_hires else {})
            | (
                {"refiner_checkpoint": self._checkpoint(), "refiner_switch_at": self._share()}
                if with_refiner
                else {}
            )
        )
        images = tuple(range(rng.choice((1, 1, 1, 2, 3, 4))))
        if rng.random() < 0.15:
            images = tuple(index + 2 for index in images)
        parts = {"hires": Prompts("a golden city", "dull")} if with_hires and rng.random() < 0.3 else {}
        return self._complete(parameters, images=images, parts=parts)

    def _second_pass(self) -> dict[str, Any]:
        rng = self.rng
        asked: dict[str, Any] = {
            "hr_scale": rng.choice((1.25, 1.5, 2.0)),
            "hr_upscaler": rng.choice((*LATENT_MODES, *PLAIN_UPSCALERS, *UPSCALERS)),
            "hr_second_pass_steps": rng.choice((0, 0, 6, 10)),
            "denoising_strength": self._share(),
            "hr_sampler": rng.choice(("", "", self._name(Thing.SAMPLER))),
            "hr_scheduler": rng.choice(("", "", self._name(Thing.SCHEDULER))),
        }
        if rng.random() < 0.2:
            asked |= {"hr_resize_x": rng.choice((0, 320)), "hr_resize_y": 256}
        return asked

    def _img2img(self) -> Work:
        rng = self.rng
        sized = {"width": self._side(), "height": self._side()} if rng.random() < 0.2 else {}
        own = {
            "checkpoint": rng.choice(("", "", self._checkpoint())),
            "vae": rng.choice(("", self._vae())),
            "clip_skip": rng.choice((None, 2)),
            "seed": rng.choice((None, rng.randrange(2**32))),
        }
        denoising = {"denoising_strength": rng.choice((0.0, 1.0, self._share(), self._share()))}
        return self._later(IMG2IMG.model_copy(update=self._sampling() | sized | own | denoising))

    def _adetailer(self) -> Work:
        rng = self.rng

        def one(model: str, *, enabled: bool) -> DetailerPass:
            own = self._sampling() | {
                "model": model,
                "enabled": enabled,
                "confidence": rng.choice((0.3, 0.95)),
                "mask_k": rng.choice((0, 1)),
                "denoising_strength": self._share(),
            }
            return PASS.model_copy(update=own)

        face = rng.random() < 0.8
        passes = ADetailerParameters(
            face=one(DETECTORS[0], enabled=face),
            hand=one(DETECTORS[1], enabled=not face or rng.random() < 0.5),
        )
        parts = {"face": Prompts("a calm face", None)} if rng.random() < 0.4 else {}
        return self._later(passes, parts=parts)

    def _upscale(self) -> Work:
        rng = self.rng
        upscaler = rng.choice((*PLAIN_UPSCALERS, *UPSCALERS, "None"))
        restored = rng.random() < 0.25
        return self._later(
            UPSCALE.model_copy(
                update={
                    "upscaler": upscaler,
                    "upscaling_resize": 1.0 if upscaler == "None" else rng.choice((1.0, 1.5, 2.0)),
                    f"{FACE_RESTORER.lower()}_visibility": self._share() if restored else 0.0,
                    f"{FACE_RESTORER.lower()}_weight": 0.5 if restored else 0.0,
                }
            )
        )

    def _upscale_by_img2img(self) -> Work:
        rng = self.rng
        own: dict[str, Any] = {
            "upscaler": rng.choice((*PLAIN_UPSCALERS, *UPSCALERS)),
            "upscaling_resize": rng.choice((1.0, 1.25, 1.5, 2.0)),
            "denoising_strength": rng.choice((0.0, self._share())),
        }
        return self._later(UPSCALE_BY_IMG2IMG.model_copy(update=self._sampling() | own))

    # --- parts --------------------------------------------------------------------------------------------

    def _complete(self, parameters: Any, **more: Any) -> Work:
        rng = self.rng
        varied = rng.random() < 0.2
        return work(
            parameters,
            prompt=self._prompt(),
            negative_prompt=rng.choice(("", "blurry", f"lowres, ({rng.choice(EMBEDDINGS)}:1.1)")),
            seed=rng.choice((0, 2**32 - 3, rng.randrange(2**32))),
            subseed=rng.randrange(2**32),
            subseed_strength=self._share() if varied else 0.0,
            checkpoint=rng.choice(("", self._checkpoint(), self._checkpoint())),
            vae=rng.choice(("", "", "Automatic", self._vae())),
            clip_skip=rng.choice((None, None, 1, 2)),
            task_id=f"truth-{self.made}",
            **more,
        )

    def _later(self, parameters: Any, **more: Any) -> Work:
        """Of a stage that begins with a picture; such a request is for one picture, of any index."""
        picture = self.rng.choice(self.pictures)
        return self._complete(parameters, picture=picture, images=(self.rng.choice((0, 0, 1, 5)),), **more)

    def _prompt(self) -> str:
        rng = self.rng
        prompt = rng.choice(SUBJECTS) + rng.choice(STYLES)
        for name in rng.sample(LORAS, rng.choice((0, 0, 1, 2))):
            prompt += f" <lora:{name}:{rng.choice((0.4, 0.8, 1))}>"
        return prompt + (f", {rng.choice(EMBEDDINGS)}" if rng.random() < 0.15 else "")

    def _sampling(self) -> dict[str, Any]:
        return {
            "steps": self.rng.choice((1, 2, 5, 12, 20, 31)),
            "cfg_scale": self.rng.choice((1.0, 3.5, 6.25, 7.0, 12.0)),
            "sampler": self._name(Thing.SAMPLER),
            "scheduler": self.rng.choice(("", "Automatic", "Karras", self._name(Thing.SCHEDULER))),
        }

    def _name(self, thing: Thing) -> str:
        return self.rng.choice(self.catalog.names(thing) or ("Euler",))

    def _checkpoint(self) -> str:
        """By its name or by its title, which has a hash once it was loaded."""
        titles: Sequence[str] = self.catalog.names(Thing.CHECKPOINT) or ()
        return self.rng.choice((*CHECKPOINTS, *titles))

    def _vae(self) -> str:
        """A server that lists modules instead reads no VAE of a request."""
        return self.rng.choice(VAES) if Thing.VAE in self.catalog.lists else ""

    def _side(self) -> int:
        """Pixels; most are multiples of 8, which the server needs not round."""
        return self.rng.choice((64, 72, 128, 136, 192, 256, 70, 131))

    def _share(self) -> float:
        return self.rng.choice((0.1, 0.35, 0.5, 0.72, 0.9))
