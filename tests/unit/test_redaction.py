"""Nothing of a request's text, of a password or of this machine leaves in a payload file, a tail or a message."""

from __future__ import annotations

import getpass
import html
import json
import socket
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tests.steps import counted_steps
from tests.wire_requests import request_of_body, request_of_payload
from webui import errors
from webui.drivers.a1111 import schemas
from webui.drivers.a1111.vocabulary import KNOWN_KEYS, PLAIN_FIELDS, PLAIN_OPTIONS
from webui.evidence.payload_shape import redact_payload
from webui.evidence.redaction import (
    REMOVED,
    Secrets,
    redact_error,
    redact_text,
    redact_unknown,
    secrets_of,
)
from webui.evidence.technical_words import TECHNICAL_WORDS
from webui.work.unit import Request

PICTURE = b64encode(b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4).decode()
TRACEBACK = """Traceback (most recent call last):
  File "/opt/webui/modules/processing.py", line 846, in process_images_inner
    p.setup_conds(); result = p.sample(conditioning=p.c)
  {}
RuntimeError: {}
"""
WORDS = st.text(st.characters(categories=["L"]), min_size=6, max_size=20).filter(
    lambda word: TECHNICAL_WORDS.isdisjoint({word.lower(), word[:-1].lower(), word[1:].lower()})
)
"""Letters of any script; those alone that every log is made of stay by intention."""
ECHOES: dict[str, Callable[[str, str], str]] = {
    "whole": lambda text, word: text,
    "repr": lambda text, word: repr({"prompt": text}),
    "ascii": lambda text, word: ascii(text),
    "json": lambda text, word: json.dumps({"detail": [{"input": text}]}),
    "url": lambda text, word: f"GET /x?q={quote(text)} 500",
    "html": lambda text, word: f"<p>{html.escape(text)}</p>",
    "upper": lambda text, word: text.upper() if text.isascii() else text,
    "one word": lambda text, word: f"KeyError: '{word}'",
    "one word between others": lambda text, word: f"no such embedding {word} in the list",
    "one word in a name": lambda text, word: f"embeddings/{word}_v2.pt",
    "wrapped": lambda text, word: text.replace(" ", "\n    "),
    "cut": lambda text, word: text[: text.index(word) + len(word) - 1] + "...",
    "cut before": lambda text, word: "..." + text[text.index(word) + 1 :],
}


def full_txt2img(text: str) -> Request:
    return request_of_payload(txt2img_payload(text))


def txt2img_payload(text: str) -> schemas.Txt2ImgRequest:
    """Every field that may hold anybody's text holds it, at every depth."""
    return schemas.Txt2ImgRequest(
        prompt=text,
        negative_prompt=text,
        hr_prompt=text,
        hr_negative_prompt=text,
        styles=[text, "one more"],
        script_name=text,
        script_args=[text, {"deep": [text]}, 3],
        hr_additional_modules=[text],
        alwayson_scripts={
            "ADetailer": schemas.AlwaysOnScript(
                args=[
                    True,
                    {
                        "ad_model": text,
                        "ad_prompt": text,
                        "ad_negative_prompt": text,
                        # Names that stay elsewhere.
                        "sampler_name": text,
                        "sd_model_checkpoint": text,
                        "force_task_id": text,
                        text: text,
                    },
                ]
            ),
            text: schemas.AlwaysOnScript(args=[text, {"scheduler": text}]),
        },
        override_settings=schemas.OverrideSettings.model_validate(
            {"sd_model_checkpoint": "dream", text: text}
        ),
        sampler_name="Euler a",
        steps=20,
        width=64,
        height=64,
        force_task_id="job-7",
    )


def full_img2img(text: str) -> Request:
    given = txt2img_payload(text).model_dump(exclude=set(schemas.Txt2ImgRequest.model_fields) & _ONLY_TXT2IMG)
    payload = schemas.Img2ImgRequest.model_validate({**given, "init_images": [PICTURE, text], "mask": text})
    return request_of_payload(payload, stage="img2img")


_ONLY_TXT2IMG = set(schemas.Txt2ImgRequest.model_fields) - set(schemas.GenerationRequest.model_fields)


OURS = (
    json.dumps(redact_payload(full_img2img(""))) + json.dumps(redact_payload(full_txt2img(""))) + TRACEBACK
).lower()
"""What stands there without any word planted."""


@settings(max_examples=60, deadline=None)
@given(word=WORDS, before=st.text(max_size=20), echo=st.sampled_from(sorted(ECHOES)))
def test_planted_word_survives_nowhere(word: str, before: str, echo: str) -> None:
    assume(word.lower() not in OURS)
    text = f"{before} {word} on a hill, <lora:{word}:0.8>\nsecond line"
    for request in (full_txt2img(text), full_img2img(text)):
        shaped = json.dumps(redact_payload(request), ensure_ascii=False)
        assert word not in shaped
        assert word not in " ".join(redact_payload(request))
        told = redact_text(TRACEBACK.format(ECHOES[echo](text, word), word), secrets_of(request))
        assert word.lower() not in told.lower()
        if echo.startswith("cut"):
            assert word[:-1].lower() not in told.lower() or echo == "cut before"
            assert word[1:].lower() not in told.lower() or echo == "cut"


def test_traceback_stays_readable() -> None:
    text = "a marvelous castle, highly detailed"
    told = redact_text(
        TRACEBACK.format("prompt = " + repr(text), "CUDA out of memory"), secrets_of(full_txt2img(text))
    )
    assert told.replace(REMOVED, "?") == TRACEBACK.format("prompt = '?'", "CUDA out of memory")


@pytest.mark.parametrize(
    "text", ["a castle", "red", "cat, dog", "ein Schloss am Meer", "美しい城、夜", "🏰 🌊"]
)
def test_whole_texts_go_however_short_their_words(text: str) -> None:
    secrets = secrets_of(full_txt2img(text))
    assert redact_text(f"detail: {text}!", secrets) == f"detail: {REMOVED}!"


def test_short_text_is_not_found_inside_of_other_words() -> None:
    secrets = secrets_of(full_txt2img("red cat"))
    assert redact_text("predicate: red category", secrets) == "predicate: red category"


def test_shape_of_a_payload_is_stable() -> None:
    shaped = redact_payload(full_txt2img("a castle"))
    assert shaped["prompt"] == {"length": 8, "sha256": sha256(b"a castle").hexdigest()}
    assert shaped["sampler_name"] == "Euler a"
    assert shaped["force_task_id"] == "job-7"
    assert shaped["override_settings"]["sd_model_checkpoint"] == "dream"
    assert shaped["steps"] == 20
    assert shaped["enable_hr"] is False
    assert shaped == redact_payload(full_txt2img("a castle"))


def test_names_stay_only_where_the_webui_reads_them() -> None:
    shaped = redact_payload(full_txt2img("a castle"))
    detailer = shaped["alwayson_scripts"]["ADetailer"]["args"][1]
    assert [detailer[key]["length"] for key in ("sampler_name", "sd_model_checkpoint", "ad_model")] == [
        8,
        8,
        8,
    ]


def test_names_do_not_stay_in_objects_below_the_request() -> None:
    shaped = redact_payload(request_of_body({"alwayson_scripts": {"ADetailer": {"sampler_name": "castle"}}}))
    assert shaped["alwayson_scripts"]["ADetailer"]["sampler_name"]["length"] == 6


@pytest.mark.parametrize("echo", ["%20{}%2C", r"\n{}\t", "&quot;{}&quot;", r"\u0022{}\x22"])
def test_word_between_escapes_goes(echo: str) -> None:
    told = redact_text("got " + echo.format("Castle"), secrets_of(full_txt2img("a castle on a hill")))
    assert told == "got " + echo.format(REMOVED)


@pytest.mark.parametrize("name", ["a\ncastle", "x" * 200])
def test_a_name_that_no_webui_would_list_does_not_stay(name: str) -> None:
    shaped = redact_payload(request_of_body({"sampler_name": name}))
    assert shaped["sampler_name"]["length"] == len(name)


def test_pictures_stay_as_size_and_hash_of_their_bytes() -> None:
    raw = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 4
    expected = {"size_bytes": len(raw), "sha256": sha256(raw).hexdigest()}
    body: dict[str, Any] = {
        "init_images": [PICTURE],
        "image": "data:image/png;base64," + PICTURE,
        "alwayson_scripts": {"ControlNet": {"args": [{"image": PICTURE}]}},
    }
    shaped = redact_payload(request_of_body(body))
    assert shaped["init_images"] == [expected]
    assert shaped["image"] == expected
    assert PICTURE[:40] not in json.dumps(shaped)


def test_pieces_of_pictures_go_from_texts() -> None:
    payload = schemas.ExtraSingleImageRequest(image=PICTURE, upscaler_1="None")
    secrets = secrets_of(request_of_payload(payload, stage="upscale"))
    assert redact_text(f"input_type=str {PICTURE[40:90]}!", secrets) == f"input_type=str {REMOVED}!"
    blob = b64encode(b"another picture" * 20).decode()
    assert blob[:30] not in redact_text(f"images: [{blob}]", secrets)


@pytest.mark.parametrize(
    "text",
    [
        "Launching Web UI with arguments: --api --api-auth me:HUSH-hush --port 7860",
        "Namespace(api=True, api_auth='me:HUSH-hush', port=7860)",
        "['launch.py', '--api-auth', 'me:HUSH-hush', '--nowebui']",
        "GET http://me:HUSH-hush@gpu.example/sdapi/v1/progress",
        "Authorization: Basic HUSH-hush",
        "{'authorization': 'Bearer HUSH-hush'}",
        'password="HUSH-hush"',
        "hf_token=HUSH-hush",
        "--ngrok HUSH-hush",
        "<lora:HUSH-hush:0.8>",
        "StableDiffusionProcessing(negative_prompt='HUSH-hush', steps=3)",
        '{"prompt": "HUSH-hush"}',
        "Negative prompt: a HUSH-hush",
        "[type=string_type, input_value='HUSH-hush', input_type=str]",
        "/home/HUSH-hush/webui/launch.py",
        r"C:\Users\HUSH-hush\webui\launch.py",
    ],
)
def test_what_looks_like_a_secret_goes_though_nobody_named_it(text: str) -> None:
    told = redact_text(text, Secrets())
    assert "HUSH" not in told
    assert REMOVED in told


def test_this_machine_and_account_are_not_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "renderbox")
    monkeypatch.setattr(getpass, "getuser", lambda: "mira")
    monkeypatch.setattr(Path, "home", lambda: Path("/srv/people/mira"))
    told = redact_text("Mira on renderbox.local: /srv/people/mira/webui, admiral", secrets_of())
    assert told == f"{REMOVED} on {REMOVED}.local: {REMOVED}/webui, admiral"


def test_names_that_identify_nobody_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "localhost")
    monkeypatch.setattr(getpass, "getuser", lambda: "root")
    monkeypatch.setattr(Path, "home", lambda: Path("/root"))
    assert redact_text("the root of localhost", secrets_of()) == "the root of localhost"


def test_error_is_redacted_with_all_that_it_says() -> None:
    text = "a marvelous castle"
    error = errors.WebUIServerError(f"no {text}", endpoint="/sdapi/v1/txt2img", status=500)
    try:
        try:
            raise ValueError(text)
        except ValueError as cause:
            raise error from cause
    except errors.WebUIServerError as raised:
        same = redact_error(raised, secrets_of(full_txt2img(text)))
    assert same is error
    assert "castle" not in f"{error!s} {error!r} {error.facts()}"
    assert error.facts() == {"words": f"no {REMOVED}", "endpoint": "/sdapi/v1/txt2img", "status": 500}
    assert str(error.__cause__) == "ValueError"
    assert error.__context__ is None
    assert str(redact_error(error, Secrets()).__cause__) == "ValueError"
    later = errors.WebUITransientExhaustedError("sent 3 times")
    later.__cause__ = error
    assert str(redact_error(later, Secrets()).__cause__) == "WebUIServerError < ValueError"


def test_every_plain_name_is_a_field_of_some_request() -> None:
    assert PLAIN_OPTIONS <= KNOWN_KEYS
    assert PLAIN_FIELDS - {"sampler_index"} <= KNOWN_KEYS


def steps_to_redact(lines: int, phrases: int) -> int:
    text = ", ".join(f"phrase{number} with seventeen letters" for number in range(phrases))
    secrets = secrets_of(full_txt2img(text))
    tail = "[2026-01-01] a line of a log with quite ordinary contents, twice\n" * lines
    with counted_steps() as steps:
        redact_text(tail, secrets)
    return steps.count


def test_work_of_a_redaction_does_not_multiply_lines_by_phrases() -> None:
    assert steps_to_redact(lines=400, phrases=200) < 2.1 * steps_to_redact(lines=200, phrases=100)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("Segmentation fault (core dumped)", "Segmentation fault (core dumped)"),
        ("RuntimeError: CUDA out of memory.", "RuntimeError: CUDA out of memory."),
        (
            "CUDA out of memory. Tried to allocate 250.00 GiB. GPU 0 has a total capacity of 23.99 GiB of which "
            "1.07 GiB is free. Including non-PyTorch memory, this process has 22.92 GiB memory in use.",
        )
        * 2,
        ("KeyError: 'no embedding lighthouse'", f"KeyError: 'no embedding {REMOVED}'"),
        ("RuntimeError: an old cat, 猫 on a hill", f"RuntimeError: an {REMOVED} on a {REMOVED}"),
    ],
)
def test_of_words_that_nobody_knows_only_those_of_logs_stay(line: str, told: str) -> None:
    assert redact_unknown(line) == told


@pytest.mark.parametrize(
    "words",
    [
        "[Errno 28] No space left on device",
        "[Errno 111] Connection refused",
        "[Errno 32] Broken pipe",
        "[Errno 24] Too many open files",
        "Remote end closed connection without response",
        "its process is gone or refuses connections",
        "812 bytes came, the end did not",
    ],
)
def test_what_a_system_or_we_ourselves_say_stays_whole_beside_a_prompt_of_the_same_words(words: str) -> None:
    request = request_of_body({"prompt": f"a castle at the end of {' '.join(words.split())} remote"})
    assert redact_text(words, secrets_of(request)) == words
