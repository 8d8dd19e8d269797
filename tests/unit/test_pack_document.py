"""The JSON of a pack: both layouts, aliases, unknown keys, wrong values and overrides."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.packs.document import PackDocument, parse_document, read_document
from jobs.packs.findings import Report
from jobs.packs.json_text import doubled_keys, dump_document
from jobs.packs.matrix import Slot
from jobs.packs.options import JsonScalar
from jobs.packs.pack import parse_pack
from jobs.packs.sources import PackSource


def read(data: dict[str, Any], **overrides: JsonScalar) -> tuple[PackDocument, Report]:
    report = Report("mine")
    paths = {path.replace("__", "."): value for path, value in overrides.items()}
    return read_document(data, paths, report), report


def preset(**sections: dict[str, Any]) -> dict[str, Any]:
    return {"pack_data": {}, "preset_data": sections}


def test_nothing_gives_the_defaults_and_no_words() -> None:
    document, report = read({})
    assert (document.txt2img.steps, document.txt2img.sampler_name, document.txt2img.seed) == (
        20,
        "Euler a",
        -1,
    )
    assert document.pipeline.txt2img_enabled
    assert not document.pipeline.upscale_enabled
    assert (report.warnings, report.problems) == ([], [])


def test_both_layouts_give_the_same_settings() -> None:
    sections = {"txt2img": {"steps": 7}, "pipeline": {"upscale_enabled": True}, "upscale": {"upscaler": "X"}}
    matrix = {"enabled": True, "limit": 3, "slots": [{"name": "a", "values": ["b", 1]}]}
    unified, first = read({"pack_data": {"name": "N", "matrix": matrix}, "preset_data": sections})
    legacy, second = read({"name": "N", "matrix": matrix, **sections})
    assert unified == legacy
    assert (unified.title, unified.matrix.limit, unified.matrix_slots) == ("N", 3, (Slot("a", ("b", "1")),))
    assert first.problems == second.problems == []


@pytest.mark.parametrize(
    ("section", "alias", "name", "value"),
    [
        ("txt2img", "sampler", "sampler_name", "Euler"),
        ("txt2img", "model_name", "model", "x.safetensors [dd08fa32f9]"),
        ("txt2img", "hires_steps", "hr_second_pass_steps", 9),
        ("txt2img", "cfg", "cfg_scale", 3.5),
        ("upscale", "scale", "upscaling_resize", 3.0),
        ("upscale", "upscaler_name", "upscaler", "Lanczos"),
    ],
)
def test_alias_is_the_same_setting(section: str, alias: str, name: str, value: object) -> None:
    document, report = read(preset(**{section: {alias: value}}))
    assert getattr(getattr(document, section), name) == value
    assert report.warnings == []


def test_aliases_that_disagree_are_warned_of_and_the_own_name_counts() -> None:
    document, report = read(preset(upscale={"scale": 2.0, "upscaling_resize": 3.0}))
    assert document.upscale.upscaling_resize == 3.0
    assert [(w.code, w.field) for w in report.warnings] == [("conflicting_alias", "upscale.scale")]


def test_unknown_keys_are_listed_and_never_dropped_silently() -> None:
    data = {
        "pack_data": {"colour": 1},
        "preset_data": {"txt2img": {"stepz": 3}, "pipeline": {"x": 1}, "hats": {}},
        "more": 1,
    }
    _, report = read(data)
    assert {(w.code, w.field) for w in report.warnings} == {
        ("unknown_key", "pack_data.colour"),
        ("unknown_key", "txt2img.stepz"),
        ("unknown_key", "pipeline.x"),
        ("unknown_key", "hats"),
        ("unknown_key", "more"),
    }


def test_keys_without_effect_are_quiet_while_off_and_warned_of_while_on() -> None:
    off = {"hypernetwork": "None", "tiling": False, "hr_checkpoint_name": "Use base model"}
    assert read(preset(txt2img=off, aesthetic={"enabled": False}, api={"timeout": 3}))[1].warnings == []
    _, report = read(preset(txt2img={"hypernetwork": "ink", "tiling": True}, aesthetic={"enabled": True}))
    assert {w.field for w in report.warnings} == {"txt2img.hypernetwork", "txt2img.tiling", "aesthetic"}


def test_null_and_empty_numbers_set_nothing() -> None:
    document, report = read(preset(txt2img={"steps": None, "width": "", "vae": None, "height": "640"}))
    assert (document.txt2img.steps, document.txt2img.width, document.txt2img.height) == (20, 512, 640)
    assert (report.warnings, report.problems) == ([], [])


WRONG = [
    ("txt2img", "steps", "many", "a whole number is expected", 20),
    ("txt2img", "steps", True, "expected a number", 20),
    ("txt2img", "steps", "1e999", "a whole number is expected", 20),
    ("txt2img", "cfg_scale", "high", "a number is expected", 7.0),
    ("txt2img", "cfg_scale", "nan", "a number is expected", 7.0),
    ("txt2img", "enable_hr", "maybe", "true or false is expected", False),
    ("txt2img", "sampler_name", {"a": 1}, "expected text", "Euler a"),
    ("txt2img", "sampler_name", "x" * 101, "at most 100 characters are expected", "Euler a"),
    ("txt2img", "seed", 2**32, "at most 4294967295 is expected", -1),
    ("pipeline", "images_per_prompt", 0, "at least 1 is expected", 1),
    ("adetailer", "mask_filter_method", "all", '"Area" or "Confidence" is expected', "Area"),
    ("upscale", "upscale_mode", "latent", '"single" or "img2img" is expected', "single"),
]


@pytest.mark.parametrize(("section", "name", "value", "words", "default"), WRONG)
def test_wrong_value_of_a_file_is_told_and_its_default_counts(
    section: str, name: str, value: Any, words: str, default: object
) -> None:
    document, report = read(preset(**{section: {name: value}}))
    assert report.problems == []
    (warning,) = [warning for warning in report.warnings if warning.field == f"{section}.{name}"]
    assert warning.code == "wrong_value"
    assert words in warning.message
    assert warning.message.endswith("is taken.")
    assert getattr(getattr(document, section), name) == default


@pytest.mark.parametrize(("section", "name", "value", "words", "default"), WRONG)
def test_wrong_value_that_a_person_asks_for_is_refused_by_pack_and_field(
    section: str, name: str, value: Any, words: str, default: object
) -> None:
    _, report = read({}, **{f"{section}__{name}": value})
    (problem,) = report.problems
    assert (problem.code, problem.field, problem.pack) == ("wrong_value", f"{section}.{name}", "mine")
    assert words in problem.message
    assert problem.message.startswith("Pack mine")


@pytest.mark.parametrize("section", ["txt2img", "img2img", "adetailer"])
def test_what_decides_the_picture_is_refused_where_nobody_can_read_it(section: str) -> None:
    name = "prompt" if section == "adetailer" else "model"
    on: dict[str, Any] = {} if section == "txt2img" else {"pipeline": {f"{section}_enabled": True}}
    _, report = read(preset(**{section: {name: {"a": 1}}, **on}))
    assert [(p.code, p.field) for p in report.problems] == [("wrong_value", f"{section}.{name}")]
    if section != "txt2img":
        assert read(preset(**{section: {name: {"a": 1}}}))[1].problems == []


def test_a_twin_that_can_be_read_counts_before_one_that_cannot() -> None:
    document, report = read(
        preset(
            adetailer={"mask_filter_method": "all", "ad_mask_filter_method": "Confidence"},
            txt2img={"model": {"a": 1}, "model_name": "one", "steps": "x", "cfg": "y", "cfg_scale": 5},
        )
    )
    assert document.adetailer.mask_filter_method == "Confidence"
    assert (document.txt2img.model, document.txt2img.steps, document.txt2img.cfg_scale) == ("one", 20, 5)
    assert report.problems == []
    assert {w.field for w in report.warnings} == {
        "adetailer.mask_filter_method",
        "txt2img.model",
        "txt2img.steps",
        "txt2img.cfg",
    }


def test_a_preset_counts_where_the_pack_has_what_cannot_be_read() -> None:
    report = Report("mine")
    document = read_document(
        preset(txt2img={"steps": "x", "cfg_scale": ""}), {}, report, preset(txt2img={"steps": 9, "cfg": 4})
    )
    assert (document.txt2img.steps, document.txt2img.cfg_scale) == (9, 4)
    assert [w.field for w in report.warnings] == ["txt2img.steps"]
    assert "txt2img.steps is 9, which counts" in report.warnings[0].message


@pytest.mark.parametrize(
    ("section", "name", "value", "taken", "is_told"),
    [
        ("txt2img", "steps", "20", 20, False),
        ("txt2img", "steps", " 20.0 ", 20, False),
        ("txt2img", "steps", 28.0, 28, False),
        ("txt2img", "steps", 4.6, 5, True),
        ("txt2img", "cfg_scale", "6,5", 6.5, True),
        ("txt2img", "cfg_scale", [4], 4.0, True),
        ("txt2img", "cfg_scale", ["4", 5], 4.0, True),
        ("txt2img", "cfg_scale", [], 7.0, False),
        ("txt2img", "steps", "None", 20, False),
        ("txt2img", "model", False, "", False),
        ("txt2img", "model", ["one"], "one", True),
        ("txt2img", "model", 12, "12", False),
        ("txt2img", "negative_prompt", ["low", "blurry"], "low, blurry", True),
        ("txt2img", "enable_hr", "Yes", True, False),
        ("txt2img", "enable_hr", 1, True, False),
        ("txt2img", "sampler_name", "", "Euler a", False),
        ("adetailer", "mask_filter_method", " LARGEST ", "Area", False),
        ("adetailer", "mask_merge_invert", "", "None", False),
        ("upscale", "upscale_mode", "IMG2IMG", "img2img", False),
        ("upscale", "upscale_mode", "", "single", False),
    ],
)
def test_what_can_be_meant_is_taken(
    section: str, name: str, value: Any, taken: object, is_told: bool
) -> None:
    document, report = read(preset(**{section: {name: value}}))
    assert getattr(getattr(document, section), name) == taken
    assert report.problems == []
    assert [w.code for w in report.warnings] == (["adjusted_value"] if is_told else [])


def test_a_list_of_checkpoints_is_refused_rather_than_guessed() -> None:
    (problem,) = read(preset(txt2img={"model": ["one", "other"]}))[1].problems
    assert "one value is expected, not a list" in problem.message
    assert "--set txt2img.model=VALUE" in problem.message


@pytest.mark.parametrize("section", ["img2img", "adetailer", "upscale", "pipeline", "randomization"])
@pytest.mark.parametrize("value", ["off", [1], 3, True])
def test_a_section_that_is_no_object_is_told(section: str, value: Any) -> None:
    _, report = read(preset(**{section: value}))
    assert report.problems == []
    assert [(w.code, w.field) for w in report.warnings] == [("wrong_value", section)]


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}])
def test_empty_things_say_nothing(value: object) -> None:
    sections: dict[str, Any] = dict.fromkeys(
        ("txt2img", "img2img", "adetailer", "upscale", "pipeline"), value
    )
    _, report = read({"pack_data": value, "preset_data": sections, "matrix": None} if value != {} else {})
    assert report.problems == []


def test_odd_values_of_slots_are_told_and_none_is_lost_silently() -> None:
    slots = {"a": "x | y", "b": "x, y", "c": 3, "d": ["x", None, ["y"]], "e": "x\ny, z"}
    document, report = read({"pack_data": {"matrix": {"enabled": "yes", "slots": slots}}})
    assert document.matrix.enabled
    assert {slot.name: slot.values for slot in document.matrix_slots} == {
        "a": ("x", "y"),
        "b": ("x", "y"),
        "c": ("3",),
        "d": ("x",),
        "e": ("x", "y, z"),
    }
    assert sorted(w.field for w in report.warnings) == ["a", "b", "c", "d", "e"]


def test_values_of_slots_that_say_nothing_are_told() -> None:
    slots = {"a": [True, "x"], "b": ["  ", "x"], "c": ["", "x"]}
    document, report = read({"pack_data": {"matrix": {"enabled": True, "slots": slots}}})
    assert [slot.values for slot in document.matrix_slots] == [("x",), ("", "x"), ("", "x")]
    assert [(w.code, w.field) for w in report.warnings] == [("malformed_slot", "a"), ("adjusted_value", "b")]


@pytest.mark.parametrize(
    ("value", "is_on"), [(1.0, True), ("enabled", True), ("maybe", False), ([True], True)]
)
def test_the_packs_own_matrix_counts_by_the_same_rule_everywhere(value: Any, is_on: bool) -> None:
    randomization = {"enabled": True, "wildcards": {"enabled": True, "tokens": {"w": ["v"]}}}
    document, _ = read(
        {"pack_data": {"matrix": {"enabled": value}}, "preset_data": {"randomization": randomization}}
    )
    assert document.matrix.enabled == is_on
    assert bool(document.choices.wildcards) != is_on


DOUBLED = """{"a": 1, "pack_data": {"name": "x", "name": "y", "matrix": {"slots": [{"name": "s", "name": "s"}]}},
 "preset_data": {"txt2img": {"steps": 5, "steps": 50}}, "preset_data": {"txt2img": {"steps": 7}}}"""


def test_every_doubled_key_is_told_with_its_path() -> None:
    assert [key.path for key in doubled_keys(parse_document(DOUBLED))[0]] == [
        "preset_data",
        "pack_data.name",
        "pack_data.matrix.slots[0].name",
        "preset_data.txt2img.steps",
    ]
    pack = parse_pack(PackSource("mine", "a", DOUBLED))
    assert (pack.title, pack.document.txt2img.steps) == ("y", 7)
    told = [w for w in pack.warnings if w.code == "doubled_key"]
    assert len(told) == 4
    assert "preset_data.txt2img.steps stands 2 times: 5, then 50" in told[3].message
    many = '{"txt2img": {' + ", ".join('"a": 1' for _ in range(10)) + "}}"
    assert [len(key.values) for key in doubled_keys(parse_document(many))[0]] == [10]


@pytest.mark.parametrize("where", ["pack_data", "preset_data"])
def test_half_that_is_no_object_is_refused(where: str) -> None:
    _, report = read({where: [1]})
    assert [(p.code, p.field) for p in report.problems] == [("wrong_value", where)]


def test_override_wins_over_the_pack_under_any_spelling() -> None:
    data = preset(txt2img={"sampler_name": "Euler", "steps": 9})
    document, report = read(data, txt2img__sampler="DDIM", preset_data__txt2img__steps=4)
    assert (document.txt2img.sampler_name, document.txt2img.steps) == ("DDIM", 4)
    assert report.problems == []


def test_null_override_gives_the_default_back() -> None:
    assert read(preset(txt2img={"steps": 9}), txt2img__steps=None)[0].txt2img.steps == 20


def test_unknown_override_names_the_nearest_setting() -> None:
    _, report = read({}, txt2img__stepps=4)
    (problem,) = report.problems
    assert (problem.code, problem.field) == ("unknown_setting", "txt2img.stepps")
    assert "Did you mean txt2img.steps?" in problem.message


def test_unknown_stage_is_refused_by_name_from_json_and_from_overrides() -> None:
    for _, report in (read(preset(pipeline={"video_enabled": True})), read({}, pipeline__video_enabled=True)):
        (problem,) = report.problems
        assert problem.code == "unknown_stage"
        assert "'video'" in problem.message
    assert read(preset(pipeline={"video_enabled": False}))[1].problems == []


def test_every_stage_has_settings_under_any_of_their_names() -> None:
    document, report = read({}, adetailer__ad_steps=3, img2img__denoise=0.5, upscale__scale=3)
    assert (document.adetailer.steps, document.img2img.denoising_strength) == (3, 0.5)
    assert document.upscale.upscaling_resize == 3
    assert report.problems == []


def test_odd_slots_are_warned_of() -> None:
    slots: list[Any] = [
        {"name": "a", "values": ["x", "x", "y"]},
        {"name": "a", "values": ["z"]},
        {"name": "b", "values": []},
        {"name": "", "values": ["x"]},
        "what",
    ]
    document, report = read({"pack_data": {"matrix": {"enabled": True, "slots": slots}}})
    assert document.matrix_slots == (Slot("a", ("x", "y")), Slot("b", ()))
    assert [w.code for w in report.warnings] == [
        "duplicate_value",
        "duplicate_slot",
        "empty_slot",
        "malformed_slot",
        "malformed_slot",
    ]


@pytest.mark.parametrize(
    "text", ['{"a": {"b": ["x\\u0000"]}}', '{"a": {"b": ["\\ud800"]}}', '{"a\\u0000": 1}']
)
def test_text_that_no_request_can_carry_is_refused(text: str) -> None:
    assert [p.code for p in read(parse_document(text))[1].problems] == ["unclean_text"]


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_what_is_dumped_parses_to_the_same(value: Any) -> None:
    text = dump_document({"a": value})
    assert json.loads(text) == {"a": value}
    assert text == json.dumps({"a": value}, ensure_ascii=False, sort_keys=True)
    assert dump_document({"a": value}, indent="") == json.dumps({"a": value}, ensure_ascii=False, indent=1)


@pytest.mark.parametrize(
    "text", ['{"a": 1e400, "b": [-1e400]}', '{"\\ud800": "\\udfff"}', '{"a": 1, "a": 2}']
)
@pytest.mark.parametrize("indent", [None, ""])
def test_what_is_odd_is_dumped_so_that_it_parses_to_the_same(text: str, indent: str | None) -> None:
    data = parse_document(text)
    dumped = dump_document(data, indent)
    dumped.encode("utf-8")
    assert parse_document(dumped) == data
    assert doubled_keys(parse_document(dumped)) == doubled_keys(data)


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
KEYS = [
    "pack_data",
    "preset_data",
    "matrix",
    "slots",
    "txt2img",
    "pipeline",
    "upscale",
    "randomization",
    "name",
]
KEYS += [
    "steps",
    "seed",
    "values",
    "enabled",
    "mode",
    "limit",
    "adetailer_enabled",
    "sampler",
    "api",
    "loop_count",
]
DOCUMENTS = st.recursive(
    JSON,
    lambda inner: st.dictionaries(st.sampled_from(KEYS), inner, max_size=5) | st.lists(inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.sampled_from(KEYS), DOCUMENTS, max_size=5))
def test_any_json_is_read_without_raising(data: dict[str, Any]) -> None:
    document, _ = read(parse_document(json.dumps(data)))
    assert isinstance(document, PackDocument)


@pytest.mark.parametrize("prefix", ["adetailer_", "ad_", ""])
@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("model", "model", "mediapipe_face_full"),
        ("confidence", "confidence", 0.59),
        ("steps", "steps", 8),
        ("cfg", "cfg_scale", 5.0),
        ("denoise", "denoising_strength", 0.16),
        ("sampler", "sampler_name", "DPM++ 2M"),
        ("scheduler", "scheduler", "Karras"),
        ("prompt", "prompt", "a face"),
        ("negative_prompt", "negative_prompt", "mush"),
        ("mask_feather", "mask_blur", 8),
        ("mask_k_largest", "mask_k", 2),
        ("inpaint_only_masked_padding", "inpaint_padding", 40),
    ],
)
def test_each_of_the_three_names_of_a_detailer_setting_is_the_setting(
    prefix: str, alias: str, name: str, value: object
) -> None:
    document, report = read(preset(adetailer={prefix + alias: value}))
    assert getattr(document.adetailer, name) == value
    assert report.warnings == []


@pytest.mark.parametrize(
    ("alias", "name", "value"),
    [
        ("hands_model", "hand_model", "hand_yolov8s.pt"),
        ("hands_padding", "hand_inpaint_padding", 24),
        ("enable_hands_pass", "hand_enabled", True),
        ("ad_hand_steps", "hand_steps", 4),
        ("adetailer_hands_denoise", "hand_denoising_strength", 0.1),
    ],
)
def test_hand_pass_has_names_of_its_own(alias: str, name: str, value: object) -> None:
    document, report = read(preset(adetailer={alias: value}))
    assert getattr(document.adetailer, name) == value
    assert document.adetailer.steps == 14
    assert report.warnings == []


def test_of_names_that_disagree_the_own_one_counts_whatever_stands_first() -> None:
    for keys in (["mask_feather", "ad_mask_blur"], ["ad_mask_blur", "mask_feather"]):
        values = {"mask_feather": 5, "ad_mask_blur": 4}
        document, report = read(preset(adetailer={key: values[key] for key in keys}))
        assert document.adetailer.mask_blur == 4
        assert [(w.code, w.field) for w in report.warnings] == [
            ("conflicting_alias", "adetailer.mask_feather")
        ]


def test_other_spellings_of_a_value_are_that_value() -> None:
    asked = {"mask_filter_method": "largest", "ad_mask_filter_method": "Area", "mask_merge_mode": "keep"}
    document, report = read(preset(adetailer=asked))
    assert (document.adetailer.mask_filter_method, document.adetailer.mask_merge_invert) == ("Area", "None")
    assert report.warnings == []
    assert read({}, adetailer__mask_merge_mode="MERGE")[0].adetailer.mask_merge_invert == "Merge"


def test_detailer_settings_without_a_meaning_here_are_told() -> None:
    asked = {"only_faces": True, "max_detections": 3, "colour": 1, "enabled": True}
    _, report = read(preset(adetailer=asked))
    assert {(w.code, w.field) for w in report.warnings} == {
        ("no_effect", "adetailer.only_faces"),
        ("no_effect", "adetailer.max_detections"),
        ("unknown_key", "adetailer.colour"),
    }
