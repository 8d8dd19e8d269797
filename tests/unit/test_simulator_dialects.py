"""Where the simulator's two dialects part: samplers, errors, documents."""

import json

import pytest

from webui.simulator.answers import EscapedError, Failure, InvalidFieldsError, RefusedRequestError
from webui.simulator.catalog import SimulatedCatalog
from webui.simulator.dialects import A1111, DIALECTS, FORGE, Dialect


def _catalog(dialect: Dialect) -> SimulatedCatalog:
    return SimulatedCatalog(dialect.document("catalog"))


@pytest.mark.parametrize("name", ["No Such", "euler", "k_euler", "DPM++ 2M Karras"])
def test_a1111_takes_only_the_very_name_of_a_sampler(name: str) -> None:
    with pytest.raises(RefusedRequestError, match="Sampler not found") as caught:
        A1111.sampling(_catalog(A1111), name, None)
    assert caught.value.status == 404
    assert A1111.sampling(_catalog(A1111), "Euler", "no-such") == ("Euler", "no-such")


@pytest.mark.parametrize(
    ("sampler", "scheduler", "used"),
    [
        ("Euler", None, ("Euler", "Automatic")),
        ("Euler", "karras", ("Euler", "Karras")),
        ("Euler", "Karras", ("Euler", "Karras")),
        ("Euler", "no-such", ("Euler", "Automatic")),
        ("No Such", None, ("DPM++ 2M", "Automatic")),
        ("euler", None, ("DPM++ 2M", "Automatic")),
        ("DPM++ 2M Karras", None, ("DPM++ 2M", "Automatic")),
        ("DPM++ 2M Exponential", "karras", ("DPM++ 2M", "Exponential")),
        ("Euler SGMUniform", None, ("Euler", "SGM Uniform")),
    ],
)
def test_forge_splits_old_names_and_takes_the_first_sampler_for_an_unknown_one(
    sampler: str, scheduler: str | None, used: tuple[str, str]
) -> None:
    assert FORGE.sampling(_catalog(FORGE), sampler, scheduler) == used


FAILURES: dict[str, Failure] = {
    "refused": RefusedRequestError(404, "Init image not found"),
    "credentials": RefusedRequestError(401, "Not authenticated"),
    "escaped": EscapedError("KeyError", "'x'"),
    "invalid": InvalidFieldsError([{"loc": ["body"]}]),
}


@pytest.mark.parametrize(
    ("dialect", "name", "status", "body"),
    [
        (
            A1111,
            "refused",
            404,
            {"error": "HTTPException", "detail": "Init image not found", "body": "", "errors": ""},
        ),
        (A1111, "escaped", 500, {"error": "KeyError", "detail": "", "body": "", "errors": "'x'"}),
        (A1111, "invalid", 422, {"detail": [{"loc": ["body"]}]}),
        (FORGE, "refused", 404, {"detail": "Init image not found"}),
        (FORGE, "escaped", 500, {"error": "KeyError", "detail": "", "body": "", "message": "'x'"}),
        (FORGE, "invalid", 422, {"detail": [{"loc": ["body"]}]}),
    ],
)
def test_errors_are_worded_in_the_dialect(
    dialect: Dialect, name: str, status: int, body: dict[str, object]
) -> None:
    answer = dialect.failure(FAILURES[name])
    assert (answer.status, json.loads(answer.body)) == (status, body)


def test_only_forge_challenges_for_credentials() -> None:
    assert A1111.failure(FAILURES["credentials"]).headers == ()
    assert FORGE.failure(FAILURES["credentials"]).headers == (("www-authenticate", "Basic"),)


def test_each_dialect_has_documents_of_its_own() -> None:
    counts = {dialect.name: len(dialect.document("options")["options"]) for dialect in DIALECTS.values()}
    assert counts == {"a1111": 329, "forge": 331}
    assert "hr_cfg" in FORGE.schema.rules["txt2img"]
    assert "hr_cfg" not in A1111.schema.rules["txt2img"]
