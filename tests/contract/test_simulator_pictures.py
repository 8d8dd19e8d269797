"""What the simulator draws and says about it, over real HTTP."""

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
from PIL import Image, ImageChops, ImageStat

from tests.contract.simulator_process import SimulatorProcess, wait_until

HIRES: dict[str, Any] = {
    "enable_hr": True,
    "hr_scale": 1.5,
    "hr_upscaler": "Latent",
    "denoising_strength": 0.4,
}


@pytest.fixture(scope="module")
def simulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimulatorProcess]:
    arguments = ("--checkpoint", "tinyA", "--checkpoint", "tinyB", "--lora", "detail", "--vae", "soft.pt")
    with SimulatorProcess(tmp_path_factory.mktemp("simulator"), *arguments) as process:
        yield process


def _opened(coded: str) -> Image.Image:
    image = Image.open(io.BytesIO(base64.b64decode(coded)))
    image.load()
    return image


def _info(answer: requests.Response) -> dict[str, Any]:
    info: dict[str, Any] = json.loads(answer.json()["info"])
    return info


def _difference(one: Image.Image, other: Image.Image) -> float:
    """Mean difference of two pictures, 0 to 255."""
    difference = ImageChops.difference(one.convert("RGB"), other.convert("RGB"))
    return sum(ImageStat.Stat(difference).mean) / 3


# --- the same request, the same picture ---------------------------------------------------------------


def test_same_request_gives_the_same_bytes_in_another_process(
    simulator: SimulatorProcess, tmp_path: Path
) -> None:
    fields: dict[str, Any] = {"prompt": "a lighthouse", "seed": 7, "width": 256, "height": 192, "n_iter": 2}
    with SimulatorProcess(tmp_path, "--checkpoint", "tinyA", "--checkpoint", "tinyB") as another:
        assert another.post(**fields).json()["images"] == simulator.post(**fields).json()["images"]


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 43},
        {"prompt": "a dog"},
        {"negative_prompt": "dark"},
        {"width": 512},
        {"steps": 3},
        {"cfg_scale": 5},
        {"sampler_name": "DPM++ 2M"},
        {"override_settings": {"sd_model_checkpoint": "tinyB"}},
        {"override_settings": {"CLIP_stop_at_last_layers": 2}},
        HIRES,
    ],
    ids=lambda change: ",".join(change),
)
def test_what_is_asked_for_shows_in_the_pixels(simulator: SimulatorProcess, change: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"width": 384, "height": 256}
    one = _opened(simulator.post(**fields).json()["images"][0])
    other = _opened(simulator.post(**(fields | change)).json()["images"][0])
    assert one.tobytes() != other.tobytes()


def test_later_picture_of_a_batch_equals_the_single_picture_of_its_seed(simulator: SimulatorProcess) -> None:
    batch = simulator.post(seed=10, n_iter=2, batch_size=2)
    assert _info(batch)["all_seeds"] == [10, 11, 12, 13]
    single = simulator.post(seed=12)
    assert batch.json()["images"][2] == single.json()["images"][0]


def test_seed_minus_one_becomes_a_seed_of_its_own(simulator: SimulatorProcess) -> None:
    answers = [simulator.post(seed=-1) for _ in range(2)]
    seeds = [_info(answer)["seed"] for answer in answers]
    assert seeds[0] != seeds[1]
    assert min(seeds) >= 0
    assert [answer.json()["parameters"]["seed"] for answer in answers] == [-1, -1]
    again = simulator.post(seed=seeds[0]).json()["images"]
    assert again == answers[0].json()["images"]


# --- what stands in the file --------------------------------------------------------------------------


def test_png_carries_the_infotext_with_what_was_used(simulator: SimulatorProcess) -> None:
    answer = simulator.post(
        prompt="a cat, <lora:detail:0.6> <lora:absent:1>",
        negative_prompt="blurry",
        sampler_name="DPM++ 2M",
        scheduler="karras",
        override_settings={"CLIP_stop_at_last_layers": 2, "sd_vae": "soft.pt"},
    )
    text = _opened(answer.json()["images"][0]).info["parameters"]
    files = ("checkpoint:tinyA", "vae:soft.pt", "lora:detail")
    model, vae, lora = (hashlib.sha256(name.encode()).hexdigest() for name in files)
    assert text == (
        "a cat, <lora:detail:0.6> <lora:absent:1>\nNegative prompt: blurry\n"
        "Steps: 2, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7.0, Seed: 42, Size: 64x64, "
        f"Model hash: {model[:10]}, Model: tinyA, VAE hash: {vae[:10]}, VAE: soft.pt, Clip skip: 2, "
        f'Lora hashes: "detail: {lora[:12]}", Version: v1.9.3-amd-28-g371f53ed'
    )
    assert _info(answer)["infotexts"] == [text]
    assert (_info(answer)["sd_vae_name"], _info(answer)["clip_skip"]) == ("soft.pt", 2)


def test_prompt_in_another_script_is_kept_in_the_file(simulator: SimulatorProcess) -> None:
    answer = simulator.post(prompt="猫とソファ", width=256, height=256)
    assert _opened(answer.json()["images"][0]).info["parameters"].startswith("猫とソファ\nSteps: ")


def test_png_info_reads_the_text_back(simulator: SimulatorProcess) -> None:
    answer = simulator.post(prompt="a cat", negative_prompt="blurry")
    read = simulator.post("png-info", image=answer.json()["images"][0]).json()
    assert read["info"] == _info(answer)["infotexts"][0]
    expected = {"Prompt": "a cat", "Negative prompt": "blurry", "Seed": "42", "Size-1": "64", "Size-2": "64"}
    assert expected.items() <= read["parameters"].items()


def test_grid_comes_first_when_images_are_saved(simulator: SimulatorProcess) -> None:
    answer = simulator.post(n_iter=2, batch_size=2, save_images=True)
    sizes = [_opened(image).size for image in answer.json()["images"]]
    assert sizes == [(128, 128), (64, 64), (64, 64), (64, 64), (64, 64)]
    assert _info(answer)["index_of_first_image"] == 1


# --- hires fix, img2img, extras -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asked", "size", "said"),
    [
        ({"hr_scale": 1.5}, (96, 96), "Hires upscale: 1.5"),
        ({"hr_resize_x": 120}, (120, 120), "Hires resize: 120x0"),
        ({"hr_resize_x": 120, "hr_resize_y": 80}, (120, 80), "Hires resize: 120x80"),
    ],
)
def test_hires_fix_gives_the_larger_size(
    simulator: SimulatorProcess, asked: dict[str, Any], size: tuple[int, int], said: str
) -> None:
    answer = simulator.post(**(HIRES | {"hr_second_pass_steps": 3} | asked))
    image = _opened(answer.json()["images"][0])
    assert image.size == size
    assert (
        f"Denoising strength: 0.4, {said}, Hires steps: 3, Hires upscaler: Latent, "
        in image.info["parameters"]
    )
    assert (_info(answer)["width"], _info(answer)["height"]) == (64, 64)


OWN_SECOND_PASS: dict[str, Any] = HIRES | {
    "hr_prompt": "a golden cat",
    "hr_negative_prompt": "blur",
    "hr_sampler_name": "DPM++ 2M",
    "hr_scheduler": "exponential",
    "hr_checkpoint_name": "tinyB",
}


def test_second_pass_of_its_own_shows_in_infotext_and_picture(simulator: SimulatorProcess) -> None:
    size = {"width": 256, "height": 256}
    answer = simulator.post(**OWN_SECOND_PASS, **size)
    listed = simulator.get("sd-models")[1]
    assert (
        f"Denoising strength: 0.4, Hires checkpoint: tinyB [{listed['hash']}], Hires sampler: DPM++ 2M, "
        "Hires prompt: a golden cat, Hires negative prompt: blur, Hires schedule type: Exponential, "
        "Hires upscale: 1.5, Hires upscaler: Latent, "
    ) in _info(answer)["infotexts"][0]
    plain = _opened(simulator.post(**HIRES, **size).json()["images"][0])
    upper = (0, 60, 384, 200)  # between badge and caption
    assert _difference(_opened(answer.json()["images"][0]).crop(upper), plain.crop(upper)) > 3


def test_second_pass_says_nothing_of_what_it_repeats(simulator: SimulatorProcess) -> None:
    first = HIRES | {"scheduler": "karras"}
    same = first | {"hr_prompt": "a cat", "hr_sampler_name": "Euler", "hr_scheduler": "Karras"}
    said = _info(simulator.post(**same))["infotexts"]
    assert said == _info(simulator.post(**first))["infotexts"]
    assert not any(word in said[0] for word in ("Hires prompt", "Hires sampler", "Hires schedule type"))


def test_refiner_takes_over_and_is_named(simulator: SimulatorProcess) -> None:
    fields: dict[str, Any] = {"steps": 10, "width": 256, "height": 256}
    plain = simulator.post(**fields)
    refined = simulator.post(**fields, refiner_checkpoint="tinyB", refiner_switch_at=0.6)
    listed = simulator.get("sd-models")[1]
    assert f", Refiner: tinyB [{listed['hash']}], Refiner switch at: 0.6, " in _info(refined)["infotexts"][0]
    assert _info(refined)["sd_model_name"] == "tinyA"
    assert _difference(*(_opened(answer.json()["images"][0]) for answer in (plain, refined))) > 3
    assert simulator.post(**fields).json()["images"] == plain.json()["images"]


def test_each_iteration_begins_with_its_own_checkpoint_again(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--checkpoint", "tinyA", "--checkpoint", "tinyB") as simulator:
        simulator.post(n_iter=2, steps=4, refiner_checkpoint="tinyB", refiner_switch_at=0.5)
        loads = [
            line.removesuffix(".safetensors")[-1]
            for line in simulator.log.splitlines()
            if line.startswith("Loading weights")
        ]
        assert loads == [*"ABAB"]


@pytest.mark.parametrize("never", [{"refiner_switch_at": 1.0}, {"steps": 1, "refiner_switch_at": 0.5}])
def test_refiner_that_never_comes_to_work_is_not_named(
    simulator: SimulatorProcess, never: dict[str, Any]
) -> None:
    answer = simulator.post(refiner_checkpoint="tinyB", **never)
    assert "Refiner" not in _info(answer)["infotexts"][0]


@pytest.mark.parametrize(
    ("asked", "error", "words"),
    [
        ({"refiner_checkpoint": "no-such"}, "Exception", "Could not find checkpoint with name no-such"),
        (HIRES | {"hr_checkpoint_name": "no"}, "Exception", "Could not find checkpoint with name no"),
        (HIRES | {"hr_sampler_name": "No Such"}, "AssertionError", "bad sampler name: No Such"),
    ],
)
def test_unknown_refiner_and_second_pass_are_refused(
    simulator: SimulatorProcess, asked: dict[str, Any], error: str, words: str
) -> None:
    answer = simulator.post(**asked)
    assert (answer.status_code, answer.json()["error"], answer.json()["errors"]) == (500, error, words)


def test_img2img_keeps_more_of_its_picture_at_low_denoising(simulator: SimulatorProcess) -> None:
    red = _png(Image.new("RGB", (64, 64), (250, 0, 0)))

    def away(strength: float) -> float:
        answer = simulator.post("img2img", init_images=[red], denoising_strength=strength)
        return _difference(_opened(answer.json()["images"][0]), _opened(red))

    assert away(0.0) == 0.0
    assert 0.0 < away(0.2) < away(0.6) < away(1.0)


def test_img2img_changes_only_what_the_mask_shows(simulator: SimulatorProcess) -> None:
    red = Image.new("RGB", (64, 64), (250, 0, 0))
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    fields: dict[str, Any] = {"init_images": [_png(red)], "mask": _png(mask), "denoising_strength": 1.0}
    image = _opened(simulator.post("img2img", **fields).json()["images"][0])
    assert _difference(image.crop((32, 0, 64, 64)), red.crop((32, 0, 64, 64))) == 0.0
    assert _difference(image.crop((0, 0, 32, 64)), red.crop((0, 0, 32, 64))) > 20


def test_img2img_does_the_share_of_steps_that_denoising_asks_for(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.02") as simulator:
        picture = _png(Image.new("RGB", (64, 64)))
        simulator.post("img2img", init_images=[picture], steps=20, denoising_strength=0.5)
        assert simulator.get("progress")["state"]["sampling_steps"] == 11


def test_extras_resize_by_a_factor_or_to_a_size(simulator: SimulatorProcess) -> None:
    picture = simulator.post(width=160, height=120).json()["images"][0]

    def extras(**fields: Any) -> Image.Image:
        answer = simulator.post("extra-single-image", image=picture, upscaler_1="Lanczos", **fields)
        return _opened(answer.json()["image"])

    assert extras(upscaling_resize=1.5).size == (240, 176)  # a multiple of 8, rounded down
    to_size: dict[str, Any] = {"resize_mode": 1, "upscaling_resize_w": 300, "upscaling_resize_h": 300}
    assert extras(**to_size).size == (300, 300)
    assert extras(**to_size, upscaling_crop=False).size == (400, 296)
    assert extras(upscaling_resize=2).info["parameters"] == _opened(picture).info["parameters"]
    plainly_resized = _opened(picture).resize((320, 240), Image.Resampling.LANCZOS)
    assert extras(upscaling_resize=2).tobytes() == plainly_resized.tobytes()


def test_extras_without_an_upscaler_change_nothing(simulator: SimulatorProcess) -> None:
    picture = simulator.post().json()["images"][0]
    answer = simulator.post("extra-single-image", image=picture, upscaling_resize=4).json()
    assert _opened(answer["image"]).tobytes() == _opened(picture).tobytes()
    assert answer["html_info"] == "<p></p>"


def _png(image: Image.Image) -> str:
    stream = io.BytesIO()
    image.save(stream, "PNG")
    return base64.b64encode(stream.getvalue()).decode()


@pytest.mark.parametrize(
    "asked",
    [{"width": 100_000, "height": 8192}, {"n_iter": 10**9}, HIRES | {"hr_scale": 1000}],
    ids=["one huge picture", "too many pictures", "a huge second pass"],
)
def test_what_no_memory_can_hold_is_refused_as_the_allocator_does(
    simulator: SimulatorProcess, asked: dict[str, Any]
) -> None:
    answer = simulator.post(**asked)
    assert (answer.status_code, answer.json()["error"]) == (500, "RuntimeError")
    assert "DefaultCPUAllocator: can't allocate memory" in answer.json()["errors"]


def test_scripts_are_refused_and_not_pretended(simulator: SimulatorProcess) -> None:
    always_on = simulator.post(script_name="Seed")
    assert (always_on.status_code, always_on.json()["detail"]) == (422, "Script 'Seed' not found")
    selectable = simulator.post(script_name="X/Y/Z plot")
    assert (selectable.status_code, selectable.json()["error"]) == (500, "NotImplementedError")
    assert simulator.post(alwayson_scripts={"Seed": {"args": []}}).status_code == 200


# --- checkpoints --------------------------------------------------------------------------------------


def test_checkpoint_override_is_used_and_the_setting_restored(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--checkpoint", "tinyA", "--checkpoint", "tinyB") as simulator:
        title = simulator.get("sd-models")[1]["title"]
        assert title == "tinyB.safetensors"
        used = _info(simulator.post(override_settings={"sd_model_checkpoint": title}))
        listed = simulator.get("sd-models")[1]
        assert (used["sd_model_name"], used["sd_model_hash"]) == ("tinyB", listed["hash"])
        assert listed["title"] == f"tinyB.safetensors [{listed['hash']}]"
        options = simulator.get("options")
        assert options["sd_model_checkpoint"].startswith("tinyA.safetensors [")
        assert options["sd_checkpoint_hash"] == listed["sha256"]
        assert _info(simulator.post())["sd_model_name"] == "tinyA"


def test_override_that_is_not_restored_stays(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--checkpoint", "tinyA", "--checkpoint", "tinyB") as simulator:
        simulator.post(
            override_settings={"sd_model_checkpoint": "tinyB"}, override_settings_restore_afterwards=False
        )
        assert _info(simulator.post())["sd_model_name"] == "tinyB"
        assert simulator.get("options")["sd_model_checkpoint"].startswith("tinyB.safetensors [")


def loaded(simulator: SimulatorProcess) -> list[str]:
    """The checkpoints that took their time to load, one after the other."""
    return re.findall(r"Loading weights \[\w+\] from \S*?(\w+)\.safetensors", simulator.log)


def test_loading_another_checkpoint_takes_its_time_and_reads_idle_at_start(tmp_path: Path) -> None:
    arguments = ("--checkpoint", "tinyA", "--checkpoint", "tinyB", "--load-seconds", "1.5")
    with SimulatorProcess(tmp_path, *arguments) as simulator:
        pending = simulator.in_background()
        assert simulator.get("progress")["state"]["job_count"] == 0
        assert simulator.get("sd-models")
        assert not pending.done
        assert pending.answer().elapsed.total_seconds() > 0.3
        simulator.post()
        assert loaded(simulator) == ["tinyA"]
        override = {"sd_model_checkpoint": "tinyB"}
        assert simulator.post(override_settings=override).elapsed.total_seconds() > 1.5
        simulator.post(override_settings=override)
        assert loaded(simulator) == ["tinyA", "tinyB"]
        assert simulator.post("options", sd_model_checkpoint="tinyA").elapsed.total_seconds() > 1.5
        assert loaded(simulator) == ["tinyA", "tinyB", "tinyA"]


# --- interrupt, skip, progress ------------------------------------------------------------------------


def test_interrupt_answers_200_with_a_half_done_picture(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.05") as simulator:
        pending = simulator.in_background(n_iter=3, steps=60, width=256, height=256)
        simulator.wait_for_step(3)
        simulator.post("interrupt")
        answer = pending.answer()
        assert len(answer.json()["images"]) == 1
        assert len(_info(answer)["all_seeds"]) == 3
        assert simulator.get("progress")["state"]["interrupted"] is True
        whole = simulator.post(steps=60, width=256, height=256)
        assert _info(whole)["infotexts"] == _info(answer)["infotexts"]
        assert whole.json()["images"][0] != answer.json()["images"][0]
        assert simulator.get("progress")["state"]["interrupted"] is False


def test_skip_goes_on_with_the_next_iteration(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.05") as simulator:
        pending = simulator.in_background(n_iter=2, steps=50)
        simulator.wait_for_step(2)
        simulator.post("skip")
        images = pending.answer().json()["images"]
        whole = simulator.post(n_iter=2, steps=50).json()["images"]
        assert images[0] != whole[0]
        assert images[1] == whole[1]


def test_interrupt_before_the_job_begins_is_lost(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--load-seconds", "2") as simulator:
        pending = simulator.in_background(n_iter=2)
        simulator.post("interrupt")
        assert len(pending.answer().json()["images"]) == 2


def test_progress_moves_through_the_iterations(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.2") as simulator:
        pending = simulator.in_background(n_iter=3, steps=5)
        seen = []
        wait_until(lambda: simulator.get("progress")["state"]["job_count"] == 3)
        while not pending.done:
            progress = simulator.get("progress")
            if progress["state"]["job_count"] and progress["state"]["job_no"] < 3:
                seen.append(progress)
        assert {line["state"]["job"] for line in seen} == {f"Batch {n} out of 3" for n in (1, 2, 3)}
        assert {line["state"]["job_no"] for line in seen} == {0, 1, 2}
        shares = [line["progress"] for line in seen]
        assert shares == sorted(shares)
        assert 0.01 <= shares[0] < 0.34
        assert 0.66 < shares[-1] < 1.0
        assert simulator.get("progress")["progress"] == 0.0


def test_hires_fix_counts_two_jobs_and_starts_its_steps_anew(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.2") as simulator:
        simulator.in_background(**HIRES, steps=6, hr_second_pass_steps=8)
        seen = set()

        def second_pass() -> bool:
            state = simulator.get("progress")["state"]
            seen.add((state["job"], state["job_count"], state["job_no"], state["sampling_steps"]))
            return (state["job_no"], state["sampling_step"]) >= (1, 2)

        wait_until(second_pass)
        assert ("scripts_txt2img", 2, 0, 6) in seen
        assert ("scripts_txt2img", 2, 1, 8) in seen


def test_preview_comes_after_ten_steps_and_only_where_wanted(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.3") as simulator:
        simulator.in_background(steps=40, width=512, height=256)
        simulator.wait_for_step(2)
        assert simulator.get("progress")["current_image"] is None
        simulator.wait_for_step(10)
        assert simulator.get("progress?skip_current_image=true")["current_image"] is None
        assert _opened(simulator.get("progress")["current_image"]).size == (64, 32)


def test_extras_do_not_show_in_progress(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--seconds-per-step", "0.5") as simulator:
        picture = _png(Image.new("RGB", (64, 64)))
        pending = simulator.in_background("extra-single-image", image=picture, upscaler_1="Lanczos")
        for _ in range(3):
            assert simulator.get("progress")["state"]["job_count"] == 0
        assert not pending.done
        assert pending.answer().elapsed.total_seconds() >= 0.5


# --- credentials --------------------------------------------------------------------------------------


def test_credentials_are_asked_for_and_several_users_may_have_them(tmp_path: Path) -> None:
    with SimulatorProcess(tmp_path, "--api-auth", "alice:secret,bob:other") as simulator:
        address = f"{simulator.url}/sdapi/v1/progress"

        def status(user: str, password: str) -> int:
            return requests.get(address, auth=(user, password), timeout=60).status_code

        assert [status("alice", "secret"), status("bob", "other"), status("alice", "other")] == [
            200,
            200,
            401,
        ]
        assert requests.get(address, timeout=60).status_code == 401
