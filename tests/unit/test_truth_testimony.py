"""What is said of each setting of a request, and which witness is worth what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from jobs.truth.judge import Came, judge_settings
from jobs.truth.look import Look
from jobs.truth.outcomes import FieldOutcome, FieldVerdict
from webui.drivers.a1111.driver import DRIVER
from webui.drivers.a1111.told_fields import info_fields
from webui.work.catalog import Catalog, Entry, Thing
from webui.work.testimony import Witness
from webui.work.told import PictureFacts
from webui.work.unit import Request, Vocabulary

BODY: dict[str, Any] = {
    "prompt": "a castle, <lora:stone:0.5>",
    "negative_prompt": "blurry",
    "steps": 20,
    "sampler_name": "Euler a",
    "scheduler": "Karras",
    "cfg_scale": 7.0,
    "seed": 41,
    "width": 512,
    "height": 384,
    "override_settings": {
        "sd_model_checkpoint": "sd/castle.safetensors [abc123]",
        "CLIP_stop_at_last_layers": 1,
    },
}
SETTINGS = (
    "Steps: 20, Sampler: Euler a, Schedule type: Karras, CFG scale: 7, Seed: 42, Size: 512x384, Model hash: abc123, "
    'Model: castle, Lora hashes: "stone: 0123456789ab"'
)
A1111, FORGE = "Version: v1.9.3-amd-28-g371f53ed", "Version: f2.0.1v1.10.1-previous-669-gdfdcbab6"


def text_of(settings: str = SETTINGS, version: str = A1111) -> str:
    return f"a castle, <lora:stone:0.5>\nNegative prompt: blurry\n{settings}, {version}"


def judged(
    body: Mapping[str, Any] = BODY,
    text: str = "",
    *,
    info: Mapping[str, Any] | None = None,
    place: int = 1,
    catalog: Catalog | None = None,
    embeddings: tuple[str, ...] = (),
) -> dict[str, FieldOutcome]:
    endpoint = "/sdapi/v1/txt2img" if "steps" in body else "/sdapi/v1/extra-single-image"
    request = Request("txt2img", endpoint, body, 2, Vocabulary(), embeddings=embeddings)
    told = PictureFacts(info=info_fields(info, place) if info is not None else {})
    came = Came(Look(), told=told, own=PictureFacts(text or text_of()))
    rows, _ = judge_settings(DRIVER, request, place, came, catalog)
    return {row.field: row for row in rows}


def drifting(changes: Mapping[str, Any], text: str = "", **more: Any) -> list[str]:
    rows = judged({**BODY, **changes}, text, **more)
    return [name for name, row in rows.items() if row.outcome is FieldVerdict.DRIFT]


def having(thing: Thing, *entries: Entry, **more: Any) -> Catalog:
    return Catalog(lists={thing: entries}, **more)


def test_picture_made_as_asked_drifts_in_nothing() -> None:
    assert drifting({}) == []
    row = judged()["Seed"]
    assert (row.outcome, row.asked, row.used, row.by) == (
        FieldVerdict.VERIFIED,
        "42",
        "42",
        Witness.PICTURE_TEXT,
    )


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"prompt": "a house"}, "Prompt"),
        ({"steps": 21}, "Steps"),
        ({"sampler_name": "DDIM"}, "Sampler"),
        ({"scheduler": "Exponential"}, "Scheduler"),
        ({"cfg_scale": 7.5}, "CFG scale"),
        ({"seed": 40}, "Seed"),
        ({"seed": 2**53 + 41}, "Seed"),
        ({"override_settings": {"sd_model_checkpoint": "other.safetensors"}}, "Checkpoint"),
        ({"override_settings": {"sd_vae": "ft-mse.pt"}}, None),
    ],
)
def test_what_was_not_done_as_asked_is_named(change: dict[str, Any], name: str | None) -> None:
    assert drifting(change) == ([name] if name else [])


def test_judgement_holds_no_words_of_a_prompt() -> None:
    rows = judged({**BODY, "prompt": "a secret house"}, info={"prompt": "another secret"})
    assert rows["Prompt"].outcome is FieldVerdict.DRIFT
    assert "secret" not in str(rows["Prompt"])


def test_prompt_of_several_lines_is_not_judged_by_a_text_that_cannot_part_it_from_its_settings() -> None:
    body = {**BODY, "prompt": "a castle\nSteps: 3, Sampler: x, Seed: 1"}
    assert judged(body)["Prompt"].outcome is FieldVerdict.NOT_TOLD
    assert judged(body, info={"prompt": body["prompt"]})["Prompt"].outcome is FieldVerdict.VERIFIED


@pytest.mark.parametrize(
    ("asked", "told", "drifts"),
    [
        (1, "", False),
        (1, "Clip skip: 2", True),
        (2, "Clip skip: 2", False),
        (2, "", True),
        (None, "Clip skip: 2", False),
    ],
)
def test_clip_skip_that_is_not_named_is_one(asked: int | None, told: str, drifts: bool) -> None:
    options = {} if asked is None else {"CLIP_stop_at_last_layers": asked}
    text = text_of(f"{SETTINGS}, {told}" if told else SETTINGS)
    assert drifting({"override_settings": options}, text) == (["Clip skip"] if drifts else [])


def test_what_was_left_to_the_server_is_no_claim() -> None:
    body = {**BODY, "override_settings": {"sd_vae": "Automatic"}, "scheduler": "Automatic", "seed": -1}
    assert judged(body).keys() & {"Checkpoint", "VAE", "Scheduler", "Seed"} == set()


def test_what_nobody_tells_is_never_verified() -> None:
    row = judged({**BODY, "denoising_strength": 0.5})["Denoising strength"]
    assert (row.outcome, row.used, row.by) == (FieldVerdict.NOT_TOLD, "", None)


def test_variation_counts_up_its_own_seed_alone() -> None:
    settings = SETTINGS.replace("Seed: 42", "Seed: 41, Variation seed: 6, Variation seed strength: 0.2")
    changes = {"subseed": 5, "subseed_strength": 0.2}
    assert drifting(changes, text_of(settings)) == []
    assert drifting(changes | {"subseed": 6}, text_of(settings)) == ["Variation seed"]


# --- schedule --------------------------------------------------------------------------------------


def test_infotext_of_a1111_proves_no_schedule_because_it_repeats_what_was_asked() -> None:
    assert judged()["Scheduler"].outcome is FieldVerdict.NOT_TOLD
    assert judged(text=text_of(version=FORGE))["Scheduler"].outcome is FieldVerdict.VERIFIED


def test_schedule_that_came_into_force_stands_in_the_extra_parameters() -> None:
    in_force = {"extra_generation_params": {"Schedule type": "Karras"}, "sampler_name": "Euler a"}
    ignored = {"extra_generation_params": {}, "sampler_name": "Euler a"}
    assert judged(info=in_force)["Scheduler"].by is Witness.INFO
    row = judged({**BODY, "scheduler": "Foo"}, text_of(SETTINGS.replace("Karras", "Foo")), info=ignored)[
        "Scheduler"
    ]
    assert (row.outcome, row.by) == (FieldVerdict.DRIFT, Witness.INFO)


def test_sampler_of_timesteps_proves_nothing_of_a_schedule() -> None:
    ignored = {"extra_generation_params": {}, "sampler_name": "DDIM"}
    text = text_of(SETTINGS.replace("Euler a", "DDIM"))
    body = {**BODY, "sampler_name": "DDIM"}
    assert judged(body, text, info=ignored)["Scheduler"].outcome is FieldVerdict.NOT_TOLD


def test_schedule_that_is_in_no_list_was_not_used() -> None:
    catalog = having(Thing.SCHEDULER, Entry("Exponential", ("exponential",)))
    row = judged(catalog=catalog)["Scheduler"]
    assert (row.outcome, row.by) == (FieldVerdict.DRIFT, Witness.LISTS)


def test_schedule_may_be_named_in_any_of_its_ways() -> None:
    in_force = {"extra_generation_params": {"Schedule type": "SGM Uniform"}, "sampler_name": "Euler a"}
    text = text_of(SETTINGS.replace("Schedule type: Karras", "Schedule type: SGM Uniform"))
    assert drifting({"scheduler": "sgm_uniform"}, text, info=in_force) == []
    catalog = having(Thing.SCHEDULER, Entry("SGM Uniform", ("sgm_uniform", "SGMUniform")))
    assert drifting({"scheduler": "sgm_uniform"}, text, info=in_force, catalog=catalog) == []


# --- samplers and models ---------------------------------------------------------------------------


def test_old_combined_sampler_name_is_its_two_parts() -> None:
    text = text_of(SETTINGS.replace("Euler a", "DPM++ 2M"), FORGE)
    assert drifting({"sampler_name": "DPM++ 2M Karras", "scheduler": None}, text) == []


def test_sampler_that_forge_puts_in_place_of_an_unknown_one_is_a_drift() -> None:
    text = text_of(SETTINGS.replace("Euler a", "DPM++ 2M"), FORGE)
    assert drifting({"sampler_name": "euler A"}, text) == ["Sampler"]


def test_checkpoint_of_the_right_name_and_another_hash_is_another() -> None:
    catalog = having(
        Thing.CHECKPOINT, Entry("castle.safetensors [abc123]", ("castle",), ("abc123" + "0" * 58,))
    )
    named = {"override_settings": {"sd_model_checkpoint": "castle"}}
    assert drifting(named, catalog=catalog) == []
    assert drifting(named, text_of(SETTINGS.replace("abc123", "fff999")), catalog=catalog) == ["Checkpoint"]


def test_part_of_a_checkpoints_name_is_what_the_server_makes_of_it() -> None:
    catalog = having(Thing.CHECKPOINT, Entry("castle.safetensors", ("astl", "castle"), ("abc123",)))
    assert drifting({"override_settings": {"sd_model_checkpoint": "astl"}}, catalog=catalog) == []


def test_no_vae_is_a_drift_where_the_server_tells_which_it_used() -> None:
    asked = {"override_settings": {"sd_vae": "ft-mse.pt"}}
    told = {"sd_vae_name": None}
    assert drifting(asked, info=told) == ["VAE"]
    assert (
        judged({**BODY, **asked}, text_of(version=FORGE), info=told)["VAE"].outcome is FieldVerdict.NOT_TOLD
    )
    assert drifting({"override_settings": {"sd_vae": "None"}}, info=told) == []


def test_refiner_that_must_have_taken_over_is_missed_where_nobody_names_it() -> None:
    asked = {"refiner_checkpoint": "fine", "refiner_switch_at": 0.8}
    assert drifting(asked) == ["Refiner"]
    assert drifting(asked, text_of(f"{SETTINGS}, Refiner: fine [00aa11bb22], Refiner switch at: 0.8")) == []
    assert drifting(asked, text_of(f"{SETTINGS}, Refiner: other [00aa11bb22], Refiner switch at: 0.8")) == [
        "Refiner"
    ]


@pytest.mark.parametrize("few", [{"steps": 2}, {"refiner_switch_at": 0.95}, {"refiner_checkpoint": "castle"}])
def test_refiner_that_never_had_to_take_over_is_not_told(few: dict[str, Any]) -> None:
    asked = {"refiner_checkpoint": "fine", "refiner_switch_at": 0.8, **few}
    text = text_of(SETTINGS.replace("Steps: 20", f"Steps: {few.get('steps', 20)}"))
    assert judged({**BODY, **asked}, text)["Refiner"].outcome is FieldVerdict.NOT_TOLD


# --- networks, detectors, upscalers ----------------------------------------------------------------


def test_lora_is_known_by_its_hash_alone() -> None:
    assert judged()["LoRA stone"].outcome is FieldVerdict.VERIFIED
    bare = text_of(SETTINGS.split(", Lora")[0])
    assert judged(text=bare)["LoRA stone"].outcome is FieldVerdict.NOT_TOLD
    listed = having(Thing.LORA, Entry("stone"))
    assert judged(text=bare, catalog=listed)["LoRA stone"].outcome is FieldVerdict.NOT_TOLD
    assert judged(text=bare, catalog=having(Thing.LORA))["LoRA stone"].by is Witness.LISTS


def test_lora_that_is_not_among_those_that_were_loaded_is_a_drift() -> None:
    both = {"prompt": "a castle, <lora:stone:0.5> <lora:moss:1>"}
    text = text_of().replace("a castle, <lora:stone:0.5>", both["prompt"])
    assert drifting(both, text) == ["LoRA moss"]


def test_lora_of_another_file_is_a_drift() -> None:
    catalog = having(Thing.LORA, Entry("stone", hashes=("ffff" + "0" * 60,)))
    assert drifting({}, catalog=catalog) == ["LoRA stone"]


def test_no_lora_told_is_a_drift_where_the_server_tells_every_one() -> None:
    catalog = having(Thing.LORA, Entry("stone"), options={"lora_add_hashes_to_infotext": True})
    bare = text_of(SETTINGS.split(", Lora")[0])
    assert (
        drifting({}, bare, info={"extra_generation_params": {}, "steps": 20}, catalog=catalog)[-1]
        == "LoRA stone"
    )


def test_embedding_that_the_server_has_is_used_wherever_its_name_stands() -> None:
    has = having(Thing.EMBEDDING, Entry("easynegative"))
    assert judged(catalog=has, embeddings=("easynegative",))["Embedding easynegative"].by is Witness.LISTS
    lacks = judged(catalog=having(Thing.EMBEDDING), embeddings=("easynegative",))["Embedding easynegative"]
    assert lacks.outcome is FieldVerdict.DRIFT
    fits_not = having(Thing.EMBEDDING, Entry("easynegative", usable=False))
    row = judged(catalog=fits_not, embeddings=("easynegative",))["Embedding easynegative"]
    assert row.outcome is FieldVerdict.NOT_TOLD


def detailed(model: str = "face.pt") -> dict[str, Any]:
    args = [
        True,
        True,
        {"ad_model": model, "ad_tab_enable": True},
        {"ad_model": "hand.pt", "ad_tab_enable": False},
    ]
    return {**BODY, "alwayson_scripts": {"ADetailer": {"args": args}}}


def test_detector_needs_its_name_in_the_text_and_in_the_lists() -> None:
    text = text_of(
        "Steps: 1, Sampler: Euler, CFG scale: 7, Seed: 42, Size: 128x128, ADetailer model: face.pt"
    )
    assert judged(detailed(), text)["Detector face.pt"].outcome is FieldVerdict.NOT_TOLD
    has, lacks = having(Thing.DETECTOR, Entry("face.pt")), having(Thing.DETECTOR, Entry("x.pt"))
    assert judged(detailed(), text, catalog=has)["Detector face.pt"].outcome is FieldVerdict.VERIFIED
    assert judged(detailed(), text, catalog=lacks)["Detector face.pt"].outcome is FieldVerdict.DRIFT
    silent = text.replace(", ADetailer model: face.pt", "")
    assert judged(detailed(), silent, catalog=has)["Detector face.pt"].used == "none"


def test_settings_that_adetailer_replaces_for_the_pass_it_skips_are_no_drift() -> None:
    text = text_of(
        "Steps: 1, Sampler: Euler, CFG scale: 7, Seed: 42, Size: 128x128, ADetailer model: face.pt"
    )
    assert judged(detailed(), text).keys() & {"Steps", "Sampler", "Scheduler"} == set()


def test_hires_upscaler_is_proved_by_the_lists_and_by_them_alone() -> None:
    body = {"enable_hr": True, "hr_upscaler": "R-ESRGAN 4x+"}
    text = text_of(f"{SETTINGS}, Hires upscaler: R-ESRGAN 4x+")
    assert judged({**BODY, **body}, text)["Hires upscaler"].outcome is FieldVerdict.NOT_TOLD
    has = having(Thing.HIRES_UPSCALER, Entry("R-ESRGAN 4x+"))
    assert judged({**BODY, **body}, text, catalog=has)["Hires upscaler"].outcome is FieldVerdict.VERIFIED
    without = having(
        Thing.HIRES_UPSCALER, Entry("R-ESRGAN 4x+", usable=False, note="its weights are not here")
    )
    row = judged({**BODY, **body}, text, catalog=without)["Hires upscaler"]
    assert (row.outcome, row.why) == (FieldVerdict.DRIFT, "its weights are not here")
    doubted = having(Thing.HIRES_UPSCALER, Entry("R-ESRGAN 4x+", note="who knows whether they are here"))
    row = judged({**BODY, **body}, text, catalog=doubted)["Hires upscaler"]
    assert (row.outcome, row.why) == (FieldVerdict.NOT_TOLD, "who knows whether they are here")


def test_hires_schedule_stands_in_the_text_only_where_it_differs() -> None:
    body = {"enable_hr": True, "hr_scheduler": "Karras"}
    first = {"extra_generation_params": {"Schedule type": "Karras", "Hires schedule type": None}, "steps": 20}
    assert judged({**BODY, **body}, info=first)["Hires scheduler"].outcome is FieldVerdict.VERIFIED
    foo = {**BODY, **body, "hr_scheduler": "Foo"}
    assert judged(foo, info=first)["Hires scheduler"].outcome is FieldVerdict.DRIFT


def test_extras_say_nothing_of_how_their_input_was_drawn() -> None:
    body = {"image": "", "upscaler_1": "Lanczos", "gfpgan_visibility": 0.5}
    rows = judged(body)
    assert rows.keys() == {"Upscaler", "GFPGAN"}
    assert {row.outcome for row in rows.values()} == {FieldVerdict.NOT_TOLD}
    rows = judged(body, catalog=having(Thing.FACE_RESTORER))
    assert rows["GFPGAN"].outcome is FieldVerdict.DRIFT
