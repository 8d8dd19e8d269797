"""What the simulator does where something is missing: nothing is said, and the pixels are those without it."""

import base64
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import ExifTags, Image

from tests.contract.simulator_process import SimulatorProcess

INSTALLED = (
    *("--checkpoint", "tinyA", "--checkpoint", "tinyB", "--lora", "detail", "--lora", "glow"),
    *("--embedding", "tidy", "--skipped-embedding", "large", "--vae", "soft.pt"),
    *("--upscaler", "ESRGAN_4x", "--upscaler", "4x-Sharp", "--upscaler-without-weights", "4x-Gone"),
    *("--detector", "face_yolov8n.pt", "--face-restorer", "CodeFormer"),
)
DIALECTS = ("a1111", "forge")
HIRES: dict[str, Any] = {"enable_hr": True, "denoising_strength": 0.4, "hr_additional_modules": []}


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], SimulatorProcess]]:
    started: dict[str, SimulatorProcess] = {}

    def of(dialect: str) -> SimulatorProcess:
        if dialect not in started:
            folder = tmp_path_factory.mktemp(dialect)
            started[dialect] = SimulatorProcess(folder, "--dialect", dialect, *INSTALLED).__enter__()
        return started[dialect]

    yield of
    for process in started.values():
        process.__exit__(None, None, None)


@pytest.fixture(params=DIALECTS)
def server(servers: Callable[[str], SimulatorProcess], request: pytest.FixtureRequest) -> SimulatorProcess:
    return servers(request.param)


@pytest.fixture
def picture(server: SimulatorProcess) -> str:
    return str(server.post(width=128, height=128).json()["images"][0])


def opened(coded: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(coded)))
    image.load()
    return image


def pixels(answer: requests.Response) -> list[bytes]:
    assert answer.status_code == 200, answer.text
    body = answer.json()
    return [opened(coded).tobytes() for coded in body.get("images") or [body["image"]]]


def text_of(answer: requests.Response) -> str:
    return str(json.loads(answer.json()["info"])["infotexts"][0])


# --- the same as without it ---------------------------------------------------------------------------------

SILENT: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LoRA": ({"prompt": "a cat <lora:absent:1>"}, {"prompt": "a cat"}),
    "VAE": ({"override_settings": {"sd_vae": "absent.pt"}}, {}),
    "scheduler": ({"scheduler": "Foo"}, {}),
    "checkpoint": ({"override_settings": {"sd_model_checkpoint": "absent"}}, {}),
    "hr_scheduler": (HIRES | {"hr_scheduler": "Foo"}, HIRES),
    "upscaler of the recorded list without weights": (
        HIRES | {"hr_upscaler": "R-ESRGAN 4x+"},
        HIRES | {"hr_upscaler": "Lanczos"},
    ),
    "upscaler of its own without weights": (
        HIRES | {"hr_upscaler": "4x-Gone"},
        HIRES | {"hr_upscaler": "Lanczos"},
    ),
}


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize(("asked", "without"), SILENT.values(), ids=SILENT.keys())
def test_what_is_missing_is_silently_left_out(
    server: SimulatorProcess, asked: dict[str, Any], without: dict[str, Any], size: int
) -> None:
    shape = {"width": size, "height": size}
    assert pixels(server.post(**shape, **asked)) == pixels(server.post(**shape, **without))


SEEN: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "LoRA": ({"prompt": "a cat <lora:detail:1>"}, {"prompt": "a cat"}),
    "weight of a LoRA": ({"prompt": "a cat <lora:detail:1>"}, {"prompt": "a cat <lora:detail:0.5>"}),
    "scheduler": ({"scheduler": "Karras"}, {}),
    "steps": ({"steps": 3}, {}),
    "cfg": ({"cfg_scale": 5.5}, {}),
    "sampler": ({"sampler_name": "DPM2"}, {"sampler_name": "Euler"}),
    "clip skip": ({"override_settings": {"CLIP_stop_at_last_layers": 2}}, {}),
    "subseed": ({"subseed": 1, "subseed_strength": 0.2}, {"subseed": 2, "subseed_strength": 0.2}),
    "hr_scheduler": (HIRES | {"hr_scheduler": "Karras"}, HIRES),
    "upscaler": (HIRES | {"hr_upscaler": "4x-Sharp"}, HIRES | {"hr_upscaler": "Lanczos"}),
    "another upscaler": (HIRES | {"hr_upscaler": "4x-Sharp"}, HIRES | {"hr_upscaler": "ESRGAN_4x"}),
    "latent mode": (HIRES | {"hr_upscaler": "Latent"}, HIRES | {"hr_upscaler": "Lanczos"}),
}


@pytest.mark.parametrize("size", [64, 128])
@pytest.mark.parametrize(("one", "other"), SEEN.values(), ids=SEEN.keys())
def test_what_is_here_shows_in_the_pixels_of_any_size(
    server: SimulatorProcess, one: dict[str, Any], other: dict[str, Any], size: int
) -> None:
    shape = {"width": size, "height": size}
    assert pixels(server.post(**shape, **one)) == pixels(server.post(**shape, **one))
    assert pixels(server.post(**shape, **one)) != pixels(server.post(**shape, **other))


def test_vae_is_a_setting_of_a1111_and_a_module_of_forge(servers: Callable[[str], SimulatorProcess]) -> None:
    def drawn(dialect: str, **options: Any) -> tuple[list[bytes], str]:
        answer = servers(dialect).post(override_settings=options)
        return pixels(answer), text_of(answer)

    for dialect, used in (
        ("a1111", {"sd_vae": "soft.pt"}),
        ("forge", {"forge_additional_modules": ["/vae/soft.pt"]}),
    ):
        plain, words = drawn(dialect)
        other, told = drawn(dialect, **used)
        assert other != plain
        assert ("VAE: soft.pt" if dialect == "a1111" else "Module 1: soft") in told
        assert "soft" not in words
    assert drawn("forge", sd_vae="soft.pt") == drawn("forge")
    assert drawn("forge", forge_additional_modules=["absent.pt"]) == drawn("forge")


def test_embedding_that_is_not_loaded_is_a_word(server: SimulatorProcess, tmp_path: Path) -> None:
    prompt = "a cat, Tidy, large"
    with SimulatorProcess(tmp_path, "--checkpoint", "tinyA") as without:
        assert pixels(server.post(prompt=prompt)) != pixels(without.post(prompt=prompt))
        assert pixels(server.post(prompt="a cat, large")) == pixels(without.post(prompt="a cat, large"))
    assert pixels(server.post(prompt="a cat, untidy")) != pixels(server.post(prompt="a cat, tidy"))
    assert "TI" not in text_of(server.post(prompt="a cat, untidy"))


def test_embeddings_are_told_as_each_dialect_does(servers: Callable[[str], SimulatorProcess]) -> None:
    negative: dict[str, Any] = {"negative_prompt": "(tidy:1.2), blurry"}
    assert "TI hashes: tidy: " in text_of(servers("a1111").post(**negative)).replace('"', "")
    assert ", TI: tidy, " in text_of(servers("forge").post(**negative))


def test_unknown_schedule_is_repeated_by_a1111_only(servers: Callable[[str], SimulatorProcess]) -> None:
    assert ", Schedule type: Beta, " in text_of(servers("a1111").post(scheduler="Beta"))
    assert ", Schedule type: Beta, " in text_of(servers("forge").post(scheduler="Beta"))
    assert ", Schedule type: Automatic, " in text_of(servers("forge").post(scheduler="Foo"))
    plain = pixels(servers("a1111").post())
    assert pixels(servers("a1111").post(scheduler="Beta")) == plain


def test_only_loras_that_are_here_have_hashes(server: SimulatorProcess) -> None:
    told = text_of(server.post(prompt="a cat <lora:detail:1><lora:absent:1> <lora:glow:0.2>"))
    assert "Lora hashes: " in told
    assert "absent: " not in told
    assert "detail: " in told
    assert "glow: " in told


def test_unknown_sampler_is_refused_by_a1111_and_replaced_by_forge(
    servers: Callable[[str], SimulatorProcess],
) -> None:
    refused = servers("a1111").post(sampler_name="euler A")
    assert (refused.status_code, refused.json()["detail"]) == (404, "Sampler not found")
    replaced = servers("forge").post(sampler_name="euler A")
    assert pixels(replaced) == pixels(servers("forge").post(sampler_name="DPM++ 2M"))
    assert ", Sampler: DPM++ 2M, " in text_of(replaced).replace("\n", ", ")


def test_variation_keeps_the_seed_and_counts_up_the_subseed(server: SimulatorProcess) -> None:
    answer = server.post(seed=5, subseed=8, subseed_strength=0.3, n_iter=3)
    info = json.loads(answer.json()["info"])
    assert (info["all_seeds"], info["all_subseeds"]) == ([5, 5, 5], [8, 9, 10])
    assert len(set(pixels(answer))) == 3


# --- upscalers, detectors, face restorers -------------------------------------------------------------------


def _extras(server: SimulatorProcess, picture: str, **fields: Any) -> requests.Response:
    return server.post("extra-single-image", image=picture, **fields)


@pytest.mark.parametrize("name", ["R-ESRGAN 4x+", "4x-Gone"])
def test_upscaler_without_weights_is_lanczos_under_its_own_name(
    server: SimulatorProcess, picture: str, name: str
) -> None:
    bare = _extras(server, picture, upscaler_1=name)
    assert pixels(bare) == pixels(_extras(server, picture, upscaler_1="Lanczos"))
    assert f"Postprocess upscaler: {name}" in bare.json()["html_info"]
    listed = {one["name"]: one["model_path"] for one in server.get("upscalers")}
    assert listed[name].startswith("https://")


@pytest.mark.parametrize("name", ["ESRGAN_4x", "4x-Sharp"])
def test_upscaler_with_weights_is_a_work_of_its_own(
    server: SimulatorProcess, picture: str, name: str
) -> None:
    done = _extras(server, picture, upscaler_1=name)
    assert pixels(done) != pixels(_extras(server, picture, upscaler_1="Lanczos"))
    listed = {one["name"]: one["model_path"] for one in server.get("upscalers")}
    assert listed[name].startswith("/srv/webui/models/")


def test_upscaler_none_and_an_unknown_one(server: SimulatorProcess, picture: str) -> None:
    nothing = _extras(server, picture, upscaler_1="None", upscaling_resize=2)
    assert pixels(nothing) == [opened(picture).tobytes()]
    unknown = _extras(server, picture, upscaler_1="absent")
    assert unknown.status_code == 500
    assert "could not find upscaler named absent" in unknown.text


@pytest.mark.parametrize(("name", "same"), [("absent", True), ("4x-Gone", True), ("4x-Sharp", False)])
def test_img2img_upscales_plainly_where_it_does_not_have_the_upscaler(
    server: SimulatorProcess, picture: str, name: str, same: bool
) -> None:
    fields: dict[str, Any] = {
        "init_images": [picture],
        "width": 256,
        "height": 256,
        "denoising_strength": 0.2,
    }
    asked = server.post("img2img", **fields, override_settings={"upscaler_for_img2img": name})
    assert (pixels(asked) == pixels(server.post("img2img", **fields))) is same


def test_face_restorer_without_its_model_leaves_the_faces(server: SimulatorProcess, picture: str) -> None:
    missing = _extras(server, picture, upscaler_1="Lanczos", gfpgan_visibility=1)
    assert pixels(missing) == pixels(_extras(server, picture, upscaler_1="Lanczos"))
    assert "GFPGAN visibility: 1" in missing.json()["html_info"]
    here = _extras(server, picture, upscaler_1="Lanczos", codeformer_visibility=1)
    assert pixels(here) != pixels(missing)


def test_detector_that_is_not_here_leaves_the_picture(server: SimulatorProcess) -> None:
    def detailed(model: str) -> requests.Response:
        script = {"ADetailer": {"args": [True, False, {"ad_model": model}]}}
        return server.post(width=128, height=128, alwayson_scripts=script)

    plain = pixels(server.post(width=128, height=128))
    assert pixels(detailed("absent.pt")) == plain
    assert "ADetailer model: absent.pt" in text_of(detailed("absent.pt"))
    assert pixels(detailed("face_yolov8n.pt")) != plain
    told = requests.get(f"{server.url}/adetailer/v1/ad_model", timeout=60).json()
    assert told == {"ad_model": ["face_yolov8n.pt"]}


def test_without_the_extension_its_script_is_refused_and_its_paths_are_unknown(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path) as plain:
        refused = plain.post(alwayson_scripts={"ADetailer": {"args": [{}]}})
        assert (refused.status_code, refused.json()["detail"]) == (422, "Script 'ADetailer' not found")
        assert requests.get(f"{plain.url}/adetailer/v1/ad_model", timeout=60).status_code == 404


def test_lists_show_what_was_installed(server: SimulatorProcess) -> None:
    assert [lora["name"] for lora in server.get("loras")] == ["detail", "glow"]
    embeddings = server.get("embeddings")
    assert (list(embeddings["loaded"]), list(embeddings["skipped"])) == (["tidy"], ["large"])
    assert "adetailer" in {script["name"] for script in server.get("script-info")}


# --- formats ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "kind"), [("jpg", "JPEG"), ("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")]
)
def test_pictures_come_in_the_format_of_the_settings_with_their_text(
    server: SimulatorProcess, name: str, kind: str
) -> None:
    answer = server.post(prompt="猫 and a cat", override_settings={"samples_format": name})
    image = opened(answer.json()["images"][0])
    assert image.format == kind
    text = image.info.get("parameters")
    if text is None:
        comment = image.getexif().get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment]
        text = comment.removeprefix(b"UNICODE\0").decode("utf-16-be")
    assert text == text_of(answer)
    read = server.post("png-info", image=answer.json()["images"][0]).json()
    assert read["info"] == text


def test_format_that_the_api_cannot_send_is_refused(server: SimulatorProcess) -> None:
    refused = server.post(override_settings={"samples_format": "avif"})
    assert (refused.status_code, "Invalid image format" in refused.text) == (500, True)
