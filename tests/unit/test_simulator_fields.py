"""Request fields are read and refused as pydantic 1 does it for A1111, and pydantic 2 for Forge."""

from typing import Any

import pytest

from webui.simulator.answers import EscapedError, InvalidFieldsError
from webui.simulator.dialects import A1111, DIALECTS, FORGE, Dialect

checked = A1111.schema.checked


def _details(value: Any, kind: str = "txt2img", dialect: Dialect = A1111) -> list[dict[str, Any]]:
    with pytest.raises(InvalidFieldsError) as caught:
        dialect.schema.checked(kind, value)
    return caught.value.details


def test_missing_fields_get_the_servers_defaults() -> None:
    fields = checked("txt2img", {})
    assert (fields["steps"], fields["width"], fields["seed"], fields["sampler_index"]) == (
        50,
        512,
        -1,
        "Euler",
    )
    assert "init_images" not in fields
    assert checked("img2img", {})["denoising_strength"] == 0.75


def test_defaults_are_not_shared_between_requests() -> None:
    checked("txt2img", {})["script_args"].append(1)
    assert checked("txt2img", {})["script_args"] == []


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("steps", "7", 7),
        ("steps", 1.9, 1),
        ("steps", True, 1),
        ("cfg_scale", 7, 7.0),
        ("prompt", 7, "7"),
        ("enable_hr", "on", True),
        ("enable_hr", 0, False),
        ("seed", None, None),
        ("styles", ["a", 1], ["a", "1"]),
        ("nonsense", 1, None),
    ],
)
def test_values_are_coerced(name: str, given: Any, read: Any) -> None:
    value = checked("txt2img", {name: given}).get(name)
    assert (value, type(value)) == (read, type(read))


@pytest.mark.parametrize(
    ("name", "given", "kind"),
    [
        ("steps", "many", "type_error.integer"),
        ("steps", float("inf"), "type_error.integer"),
        ("cfg_scale", [], "type_error.float"),
        ("prompt", ["a"], "type_error.str"),
        ("enable_hr", "banana", "type_error.bool"),
        ("enable_hr", 2, "type_error.bool"),
        ("styles", "a", "type_error.list"),
        ("styles", [[]], "type_error.str"),
        ("override_settings", "x", "type_error.dict"),
    ],
)
def test_wrong_types_are_refused_by_name(name: str, given: Any, kind: str) -> None:
    (detail,) = _details({name: given})
    assert (detail["loc"], detail["type"]) == (["body", name], kind)


@pytest.mark.parametrize(
    ("given", "kind", "words"),
    [
        ({"upscaling_resize": 0}, "value_error.number.not_gt", "greater than 0"),
        ({"upscaling_resize_w": 0}, "value_error.number.not_ge", "greater than or equal to 1"),
        ({"gfpgan_visibility": 2}, "value_error.number.not_le", "less than or equal to 1.0"),
        ({"resize_mode": 2}, "value_error.const", "permitted: 0, 1"),
    ],
)
def test_values_outside_their_limits_are_refused(given: dict[str, Any], kind: str, words: str) -> None:
    (detail,) = _details(given, "extra-single-image")
    assert detail["type"] == kind
    assert words in detail["msg"]


def test_every_wrong_field_is_named_in_the_order_of_the_schema() -> None:
    assert [detail["loc"][1] for detail in _details({"width": "x", "steps": "y"})] == ["steps", "width"]


def test_required_field_is_missed() -> None:
    (detail,) = _details({}, "png-info")
    assert detail == {"loc": ["body", "image"], "msg": "field required", "type": "value_error.missing"}


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
def test_body_counts_as_json_only_by_its_content_type(dialect: Dialect) -> None:
    body_value = dialect.schema.body_value
    assert body_value(None, b'{"a": 1}') == {"a": 1}
    assert body_value("application/vnd.api+json; charset=utf-8", b"[1]") == [1]
    assert body_value("text/plain", b'{"a": 1}') == b'{"a": 1}'
    for body in (b"", b'{"a', b"\xff"):
        with pytest.raises(InvalidFieldsError):
            body_value("application/json", body)


WORDS: dict[str, Any] = {"type": "string"}


def test_answer_of_a_wrong_type_is_the_servers_own_failure() -> None:
    values = {"port": 7860, "name": ["x"]}
    rules = {"port": WORDS, "name": WORDS}
    with pytest.raises(EscapedError) as caught:
        A1111.schema.response("Flags", rules, values)
    assert (caught.value.error_class, caught.value.text) == (
        "ValidationError",
        "1 validation error for Flags\nresponse -> name\n  str type expected (type=type_error.str)",
    )
    with pytest.raises(EscapedError, match="2 validation errors:") as caught:
        FORGE.schema.response("Flags", rules, values)
    assert (caught.value.error_class, caught.value.body) == ("ResponseValidationError", values)


# --- pydantic 2 ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "given", "read"),
    [
        ("steps", "64", 64),
        ("steps", " 64 ", 64),
        ("steps", "64.0", 64),
        ("steps", 2.0, 2),
        ("steps", True, 1),
        ("seed", str(2**63), 2**63),
        ("cfg_scale", 7, 7.0),
        ("cfg_scale", "6.5", 6.5),
        ("enable_hr", "on", True),
        ("enable_hr", 0.0, False),
        ("seed", None, None),
        ("styles", ["a"], ["a"]),
        ("nonsense", 1, None),
    ],
)
def test_forge_coerces_what_loses_nothing(name: str, given: Any, read: Any) -> None:
    value = FORGE.schema.checked("txt2img", {name: given}).get(name)
    assert (value, type(value)) == (read, type(read))


@pytest.mark.parametrize(
    ("name", "given", "kind", "words"),
    [
        ("steps", "many", "int_parsing", "integer, unable to parse string as an integer"),
        ("steps", "1.5", "int_parsing", "integer, unable to parse string as an integer"),
        ("steps", 1.9, "int_from_float", "got a number with a fractional part"),
        ("steps", float("inf"), "finite_number", "finite number"),
        ("steps", [], "int_type", "valid integer"),
        ("cfg_scale", "wide", "float_parsing", "number, unable to parse string as a number"),
        ("cfg_scale", {}, "float_type", "valid number"),
        ("prompt", 7, "string_type", "valid string"),
        ("enable_hr", "banana", "bool_parsing", "unable to interpret input"),
        ("enable_hr", [], "bool_type", "valid boolean"),
        ("styles", "a", "list_type", "valid list"),
        ("override_settings", "x", "dict_type", "valid dictionary"),
    ],
)
def test_forge_refuses_and_shows_what_it_was_given(name: str, given: Any, kind: str, words: str) -> None:
    (detail,) = _details({name: given}, dialect=FORGE)
    assert list(detail) == ["type", "loc", "msg", "input", "url"]
    assert (detail["type"], detail["loc"], detail["input"]) == (kind, ["body", name], given)
    assert words in detail["msg"]
    assert detail["url"].endswith(f"/v/{kind}")


@pytest.mark.parametrize(
    ("given", "kind", "message", "context"),
    [
        ({"upscaling_resize": 0}, "greater_than", "Input should be greater than 0", {"gt": 0}),
        (
            {"upscaling_resize_w": 0},
            "greater_than_equal",
            "Input should be greater than or equal to 1",
            {"ge": 1},
        ),
        (
            {"gfpgan_visibility": 2},
            "less_than_equal",
            "Input should be less than or equal to 1",
            {"le": 1.0},
        ),
        ({"resize_mode": 2}, "literal_error", "Input should be 0 or 1", {"expected": "0 or 1"}),
    ],
)
def test_forge_names_the_limit(
    given: dict[str, Any], kind: str, message: str, context: dict[str, Any]
) -> None:
    (detail,) = _details(given, "extra-single-image", FORGE)
    assert (detail["type"], detail["msg"], detail["ctx"]) == (kind, message, context)


def test_forge_misses_a_field_and_shows_what_was_there_instead() -> None:
    (detail,) = _details({"picture": ""}, "png-info", FORGE)
    assert (detail["type"], detail["msg"], detail["input"]) == ("missing", "Field required", {"picture": ""})
