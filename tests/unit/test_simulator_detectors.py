"""What the simulated ADetailer reads from its arguments, writes into the infotext and finds in a picture."""

from typing import Any

import pytest

from webui.simulator import adetailer, detailing

FACE: dict[str, Any] = {"ad_model": "face_yolov8n.pt"}
HAND: dict[str, Any] = {"ad_model": "hand_yolov8n.pt"}


def _asked(
    *arguments: Any, kind: str = "img2img", mask: str | None = None
) -> adetailer.DetailerRequest | None:
    return adetailer.asked(kind, {"alwayson_scripts": {"ADetailer": {"args": list(arguments)}}, "mask": mask})


def _tab(**settings: Any) -> adetailer.Tab:
    request = _asked(True, False, FACE | settings)
    assert request
    return request.tabs[0]


@pytest.mark.parametrize(
    ("arguments", "tabs", "skips"),
    [
        ((True, False, FACE), 1, False),
        ((True, True, FACE, HAND), 2, True),
        ((FACE, HAND), 2, False),
        ((True, FACE), 1, False),
        ((True, True, FACE, FACE, FACE, FACE, FACE), adetailer.TABS, True),
    ],
)
def test_both_switches_may_be_left_out(arguments: tuple[Any, ...], tabs: int, skips: bool) -> None:
    request = _asked(*arguments)
    assert request is not None
    assert (len(request.tabs), request.skip_img2img) == (tabs, skips)


@pytest.mark.parametrize(
    "arguments",
    [
        (),
        (True, False),
        (False, False, FACE),
        (True, False, {}),
        (True, False, {"ad_model": "None"}),
        (True, False, FACE | {"ad_tab_enable": False}),
        (True, False, FACE | {"ad_confidence": 1.5}),
        (True, False, FACE | {"no_such": 1}),
    ],
)
def test_nothing_is_done_without_a_readable_detector(arguments: tuple[Any, ...]) -> None:
    assert _asked(*arguments) is None


def test_txt2img_has_nothing_to_skip_and_a_mask_cannot_be_skipped() -> None:
    in_txt2img = _asked(True, True, FACE, kind="txt2img")
    assert in_txt2img
    assert not in_txt2img.skip_img2img
    assert _asked(True, True, FACE, mask="picture") is None


def test_script_is_found_whatever_the_case_of_its_name() -> None:
    fields = {"alwayson_scripts": {"aDETAILER": {"args": [FACE]}, "Seed": {}}, "mask": None}
    assert adetailer.asked("img2img", fields)


def test_infotext_names_what_differs_and_marks_the_second_tab() -> None:
    request = _asked(
        True,
        False,
        FACE | {"ad_prompt": "blue eyes", "ad_mask_k": 2, "ad_use_steps": True, "ad_steps": 14},
        HAND | {"ad_inpaint_only_masked": False},
    )
    assert request
    assert request.shown() == {
        "ADetailer model": "face_yolov8n.pt",
        "ADetailer prompt": "blue eyes",
        "ADetailer confidence": 0.3,
        "ADetailer method to decide top k masks": "Area",
        "ADetailer mask only top k": 2,
        "ADetailer dilate erode": 4,
        "ADetailer mask blur": 4,
        "ADetailer denoising strength": 0.4,
        "ADetailer inpaint only masked": True,
        "ADetailer inpaint padding": 32,
        "ADetailer use separate steps": True,
        "ADetailer steps": 14,
        "ADetailer model 2nd": "hand_yolov8n.pt",
        "ADetailer confidence 2nd": 0.3,
        "ADetailer dilate erode 2nd": 4,
        "ADetailer mask blur 2nd": 4,
        "ADetailer denoising strength 2nd": 0.4,
        "ADetailer inpaint only masked 2nd": False,
        "ADetailer version": "25.3.0",
    }


def test_each_finding_has_its_own_prompt_or_the_main_one() -> None:
    tab = _tab(ad_prompt="an eye, [PROMPT] [SEP] [SEP] [SKIP]")
    assert tab.prompts("ad_prompt", "a cat") == ["an eye,  a cat ", "a cat", "[SKIP]"]
    assert tab.prompts("ad_negative_prompt", "blurry") == ["blurry"]


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({}, 1),
        ({"ad_model": "hand_yolov8n.pt"}, 2),
        ({"ad_model": "hand_yolov8n.pt", "ad_mask_k": 1}, 1),
        ({"ad_model": "mediapipe_face_full"}, 1),
        ({"ad_confidence": 0.9}, 0),
        ({"ad_mask_min_ratio": 0.5}, 0),
        ({"ad_mask_max_ratio": 0.001}, 0),
    ],
)
def test_detector_finds_as_much_as_its_settings_let_through(settings: dict[str, Any], count: int) -> None:
    boxes = detailing.found(_tab(**settings), (768, 512), seed=7)
    assert len(boxes) == count
    assert all(0 <= box[0] < box[2] <= 768 and 0 <= box[1] < box[3] <= 512 for box in boxes)
