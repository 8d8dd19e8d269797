"""Nothing that must not leave is in a bundle: planted everywhere, looked for in every form, found nowhere."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import pytest
from pytest_django import Settings

from diagnostics.bundle.door import Door
from diagnostics.bundle.secret_words import door_of
from tests.bundles.planting import Garden, surroundings_of
from tests.bundles.searching import search
from tests.factories import make_job, make_pack
from webui.evidence.redaction import REMOVED, Secrets
from webui.nodes.asking import OURS

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def own_folder(settings: Settings, tmp_path: Path) -> None:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"


def test_secrets_planted_in_every_source_are_found_in_no_bundle() -> None:
    garden = Garden()
    for seed in range(10_001, 10_021):
        planted = garden.plant(seed)
        content = garden.bundle(planted)
        assert len(planted.secrets) > 50
        assert not search(content, planted.secrets, seed=seed)


def test_the_search_finds_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the door nearly every source shows: what is planted does come to it."""
    garden = Garden()
    monkeypatch.setattr(Door, "_without", lambda door, text, secrets: text)
    shown: set[str] = set()
    for seed in range(10_001, 10_021):
        planted = garden.plant(seed)
        shown |= {found.source for found in search(garden.bundle(planted), planted.secrets)}
    for source in (
        "prompt, positive",
        "prompt, LoRA",
        "a neighbour's prompt, positive",
        "node's user",
        "node's password",
        "node's host",
        "login",
        "mail",
        "home in a line",
        "mount",
        "bearer token",
        "token in a query",
        "home in a catalog",
        "infotext",
    ):
        assert source in shown


KEPT = (
    "CUDA error: an illegal memory access was encountered",
    "POST http://127.0.0.1:7860/sdapi/v1/txt2img, HTTP 500, after 3.1 s",
    "torch.cuda.OutOfMemoryError: CUDA out of memory. Tried to allocate 20.00 MiB",
    "Downloading https://huggingface.co/x/y.safetensors",
    "sd_model_checkpoint castle_v3.safetensors [a1b2c3d4e5]",
    "2026-11-29 22:00:50 WebUI restarted: It was ready again as generation 2 after 3.2 s.",
    "modules.processing.StableDiffusionProcessingTxt2Img",
    f"refused at http://{REMOVED}:7860/x",
    "version: 1.9.4, torch: 2.3.1+cu121, xformers: 0.0.26.post1",
)


@pytest.fixture
def door() -> Door:
    return door_of(make_job(revision=make_pack(text="xylophone meadow\nneg: bassoon\n")), with_prompts=False)


@pytest.mark.parametrize("line", KEPT)
def test_what_explains_a_failure_stays_as_it_is(door: Door, line: str) -> None:
    assert door.text(line) == line


CHANGED = {
    'File "/opt/webui/modules/processing.py", line 3': 'File "…/modules/processing.py", line 3',
    "/home/ann/x.log": "~/x.log",
    "/home/ann/secret/webui/x.py": "…/webui/x.py",
    "C:\\Users\\ann\\webui\\modules\\x.py": "…/modules/x.py",
    "http://gpu-box.lan:7860/sdapi": f"http://{REMOVED}:7860/sdapi",
    "client 192.168.1.20 connected": f"client {REMOVED} connected",
    "mail ann@example.org": f"mail {REMOVED}",
    f"data {b64encode(b'some words of a prompt').decode()}": f"data {REMOVED}",
}


@pytest.mark.parametrize("line", CHANGED)
def test_folders_hosts_and_addresses_are_taken_out(door: Door, line: str) -> None:
    assert door.text(line) == CHANGED[line]


def test_a_sentence_of_ours_keeps_its_words_whatever_a_prompt_says() -> None:
    prompt = "the job failed because nobody was waiting for the picture of a snowfield"
    job = make_job(revision=make_pack(text=f"{prompt}\nneg: x\n"))
    sentence = "It failed. Nobody has run it again; it waits for a picture. Correct the field that it names."
    assert door_of(job, with_prompts=False).text(sentence) == sentence


def test_keys_are_looked_at_unless_they_are_ours(door: Door) -> None:
    assert door.json({"stage": "txt2img", "Xylophone meadow": 1}) == {"stage": "txt2img", REMOVED: 1}
    for ours in OURS:
        assert door.json({"by": "ann", "queued_by": ours}) == {"by": "somebody", "queued_by": ours}


def test_documents_of_any_depth_and_size_are_bounded() -> None:
    door = Door(Secrets(), Secrets())
    deep: object = "x"
    for _ in range(100):
        deep = [deep]
    assert REMOVED in str(door.json(deep))
    assert len(door.json(list(range(100_000)))) == 5_000


def test_the_planted_surroundings_are_those_that_the_door_knows() -> None:
    garden = Garden()
    planted = garden.plant(3)
    with surroundings_of(planted):
        door = door_of(planted.job, with_prompts=True)
    for source in (
        "key in the environment",
        "password in an address",
        "password in settings",
        "host",
        "login",
    ):
        assert door.text(f"so: {planted.secrets[source]}") == f"so: {REMOVED}"
    assert planted.secrets["prompt, slot"] in door.text(planted.secrets["prompt, slot"]), (
        "prompts are to be in"
    )
