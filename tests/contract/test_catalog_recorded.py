"""Names as real servers take them: their recorded lists, and what their recorded answers say of a name."""

from __future__ import annotations

from difflib import SequenceMatcher
from typing import Any

import pytest
import requests

from tests.contract.recorded_catalog import listing_server
from tests.contract.recordings import ADDRESS, load_exchange
from webui.drivers.a1111 import catalog as reading
from webui.drivers.a1111 import name_index
from webui.drivers.a1111.catalog import TAKES_ANY_NAME, read_catalog
from webui.drivers.a1111.client import WebUIClient
from webui.drivers.a1111.dialects import DIALECTS, dialect_of
from webui.drivers.a1111.name_index import NameIndex
from webui.drivers.a1111.resolving import find
from webui.errors import WebUIError
from webui.nodes.catalogs import as_document, from_document
from webui.work.catalog import Catalog, Entry, Found, Has, Need, Thing

DIALECT_NAMES = ("a1111", "forge")


def told_by(dialect: str, **changed: Any) -> Catalog:
    changed = {name.replace("_", "-"): answer for name, answer in changed.items()}
    return told(dialect, changed)


def told(dialect: str, changed: dict[str, Any]) -> Catalog:
    with listing_server(dialect, changed):
        return read_catalog(WebUIClient(ADDRESS))


def asked(catalog: Catalog, thing: Thing, name: str) -> Found:
    return find(catalog, Need(thing, name))


# --- reading -------------------------------------------------------------------------------------------


def test_lists_of_a1111_are_read_as_recorded() -> None:
    catalog = told_by("a1111")
    assert catalog.dialect == "a1111"
    assert catalog.names(Thing.CHECKPOINT) == (
        "tinyA.safetensors [3830f7832d]",
        "tinyB.safetensors",
        "tinyNaN.safetensors",
    )
    assert catalog.lists[Thing.REFINER] == catalog.lists[Thing.CHECKPOINT]
    assert catalog.names(Thing.VAE) == ()
    assert Thing.MODULE not in catalog.lists
    assert "Latent (nearest-exact)" in (catalog.names(Thing.HIRES_UPSCALER) or ())
    assert "Latent (nearest-exact)" not in (catalog.names(Thing.UPSCALER) or ())
    assert catalog.names(Thing.FACE_RESTORER) == ("CodeFormer", "GFPGAN")
    assert "soft inpainting" in (catalog.names(Thing.SCRIPT) or ())
    assert catalog.options["CLIP_stop_at_last_layers"] == 1
    assert (catalog.notes, catalog.partial) == ((), frozenset())


def test_lists_of_forge_are_read_as_recorded() -> None:
    catalog = told_by("forge")
    assert catalog.dialect == "forge"
    assert Thing.VAE not in catalog.lists
    assert catalog.names(Thing.MODULE) == ()
    assert Thing.HIRES_UPSCALER not in catalog.lists, "its latent modes were not recorded"
    assert Thing.DETECTOR not in catalog.lists


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_a_catalog_survives_its_document(dialect: str) -> None:
    catalog = told_by(dialect)
    assert from_document(as_document(catalog)) == catalog


@pytest.mark.parametrize("answer", [500, {"detail": "odd"}, ["Euler"], [{"name": 5}], "Euler", None])
def test_a_list_that_cannot_be_read_is_not_told_and_the_others_are(answer: Any) -> None:
    catalog = told_by("a1111", samplers=answer)
    assert Thing.SAMPLER not in catalog.lists
    assert asked(catalog, Thing.SAMPLER, "Nope").has is Has.UNKNOWN
    assert Thing.CHECKPOINT in catalog.lists
    (note,) = catalog.notes
    assert note.startswith("Its list of samplers could not be read: ")


def test_a_list_without_an_endpoint_is_not_told_and_nobody_is_warned() -> None:
    catalog = told_by("a1111", loras=404)
    assert Thing.LORA not in catalog.lists
    assert catalog.notes == ()


@pytest.mark.parametrize(
    "error", [requests.exceptions.ConnectionError("gone"), requests.exceptions.ReadTimeout()]
)
def test_a_server_that_falls_silent_tells_nothing(error: Exception) -> None:
    with pytest.raises(WebUIError):
        told_by("a1111", upscalers=error)


def test_a_password_that_is_refused_is_no_empty_catalog() -> None:
    with pytest.raises(WebUIError):
        told_by("a1111", sd_models=401)


def test_an_enormous_list_is_cut_and_what_was_cut_is_not_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "MOST_ENTRIES", 100)
    loras = [
        {"name": f"lora{number}", "alias": "x" * 400, "path": "/", "metadata": {}} for number in range(300)
    ]
    catalog = told_by("a1111", loras=[{"name": "y" * 301}, *loras])
    entries = catalog.lists[Thing.LORA]
    assert len(entries) == 100
    assert all(entry.aliases == () for entry in entries)
    assert catalog.partial == {Thing.LORA}
    assert catalog.notes[0].startswith("Only 100 of 301 names of its list of LoRAs are kept")
    assert asked(catalog, Thing.LORA, "lora7").has is Has.YES
    assert asked(catalog, Thing.LORA, "lora200").has is Has.UNKNOWN


def test_of_the_metadata_of_a_lora_only_two_short_facts_stay() -> None:
    metadata = {
        "sshs_model_hash": "ab" * 32,
        "ss_sd_model_name": "sd_xl_base.safetensors",
        "ss_tag_frequency": {"1girl": {"solo": 10**6}},
        "ss_output_name": "style",
    }
    catalog = told_by("a1111", loras=[{"name": "a", "alias": "b", "path": "/x", "metadata": metadata}])
    (entry,) = catalog.lists[Thing.LORA]
    assert (entry.hashes, entry.note) == (("ab" * 32,), "made with sd_xl_base.safetensors")
    assert "1girl" not in as_document(catalog)


@pytest.mark.parametrize("metadata", [None, [], "none", {"sshs_model_hash": 5, "ss_sd_model_name": ["x"]}])
def test_odd_metadata_costs_nothing(metadata: object) -> None:
    catalog = told_by("a1111", loras=[{"name": "a", "alias": "b", "path": "/x", "metadata": metadata}])
    assert catalog.names(Thing.LORA) == ("a",)


def test_passwords_of_the_server_are_never_asked_for() -> None:
    with listing_server("a1111", {}) as mock:
        read_catalog(WebUIClient(ADDRESS))
        assert not [call.request.url for call in mock.calls if "cmd-flags" in str(call.request.url)]


# --- which kind of server it is ------------------------------------------------------------------------


NEO: dict[str, Any] = {
    "VERSION_UID": None,
    "forge_preset": "sd",
    "forge_additional_modules": [],
    "CLIP_stop_at_last_layers": 2,
}


@pytest.mark.parametrize(
    ("recorded", "changed", "dialect"),
    [
        ("a1111", {}, "a1111"),
        ("forge", {}, "forge"),
        ("forge", {"options": 500}, "forge"),
        ("forge", {"options": NEO}, "forge-neo"),
        ("forge", {"options": {"forge_additional_modules": []}}, "forge-neo"),
        ("a1111", {"version": {"app": "sdnext", "updated": "2025-11-01", "hash": "abc"}}, "sdnext"),
        ("a1111", {"version": {}}, "a1111"),
        ("a1111", {"options": {"samples_format": "png"}}, "unknown"),
        ("a1111", {"scripts": 404}, "unknown"),
    ],
)
def test_kind_of_server_is_known_by_what_it_shows(
    recorded: str, changed: dict[str, Any], dialect: str
) -> None:
    catalog = told(recorded, changed)
    assert catalog.dialect == dialect
    assert catalog.version == ("2025-11-01 abc" if dialect == "sdnext" else "")


def test_kinds_that_were_only_read_say_so() -> None:
    untested = {name for name, dialect in DIALECTS.items() if not dialect.tested}
    assert untested == {"forge-neo", "sdnext", "unknown"}
    assert dialect_of("sdnext").full_title == "SD.Next (untested on a real server)"


def test_sdnext_lists_embeddings_without_facts_and_detectors_of_its_own() -> None:
    catalog = told(
        "a1111",
        {
            "version": {"updated": "2025-11-01"},
            "embeddings": {"loaded": ["easy"], "skipped": ["xl"]},
            "detailers": [{"name": "face-yolo8n", "path": "/x"}],
        },
    )
    assert asked(catalog, Thing.EMBEDDING, "Easy").has is Has.YES
    assert catalog.names(Thing.DETECTOR) == ("face-yolo8n",)


# --- checkpoints ---------------------------------------------------------------------------------------

WHOLE = "3830f7832ddd8d4ca74b8ee021db01f428888f3a8ff0c0110e72cb4df501aa33"
FOLDER = {
    "title": "xl/dream.v2.safetensors [aaaaaaaaaa]",
    "model_name": "xl_dream.v2",
    "hash": "aaaaaaaaaa",
    "sha256": "a" * 64,
    "filename": "/srv/models/xl/dream.v2.safetensors",
}


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("tinyA.safetensors [3830f7832d]", Has.YES),
        ("tinyA.safetensors", Has.YES),
        ("tinyA", Has.YES),
        ("tinyA [3830f7832d]", Has.YES),
        ("3830f7832d", Has.YES),
        (WHOLE, Has.YES),
        ("tinyB", Has.YES),
        ("", Has.YES),
        ("tiny", Has.NO),
        ("TinyA", Has.NO),
        ("tinyA.ckpt", Has.NO),
        ("tinyA.safetensors [ffffffffff]", Has.NO),
        ("tinyB.safetensors [2be4aa994a]", Has.NO),
        ("/srv/webui/models/Stable-diffusion/tinyA.safetensors", Has.NO),
        ("tinyA [deadbeef]", Has.UNKNOWN),
        ("deadbeef", Has.UNKNOWN),
    ],
)
@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_a_checkpoint_is_taken_by_its_ids_alone(dialect: str, name: str, has: Has) -> None:
    models = load_exchange("sd-models").response
    assert models is not None
    catalog = told_by(dialect, sd_models=models.json)
    assert asked(catalog, Thing.CHECKPOINT, name).has is has


def test_a_checkpoint_that_was_loaded_once_is_taken_with_its_hash() -> None:
    loaded = load_exchange("sd-models-after-override").response
    assert loaded is not None
    catalog = told_by("a1111", sd_models=loaded.json)
    assert asked(catalog, Thing.CHECKPOINT, "tinyB.safetensors [2be4aa994a]").has is Has.YES


@pytest.mark.parametrize(
    "name", ["xl/dream.v2.safetensors", "xl_dream.v2", "dream.v2", "dream.v2 [aaaaaaaaaa]"]
)
def test_a_checkpoint_in_a_folder_has_names_with_and_without_it(name: str) -> None:
    found = asked(told_by("a1111", sd_models=[FOLDER]), Thing.CHECKPOINT, name)
    assert found.entry is not None
    assert found.entry.name == FOLDER["title"]


def test_what_is_wrong_with_a_checkpoint_is_said() -> None:
    catalog = told_by("a1111")
    wrong = asked(catalog, Thing.CHECKPOINT, "tinyA.safetensors [ffffffffff]")
    assert (wrong.nearest, wrong.why) == (
        "tinyA.safetensors [3830f7832d]",
        "the hash of its tinyA.safetensors is 3830f7832d",
    )
    unhashed = asked(catalog, Thing.CHECKPOINT, "tinyB.safetensors [2be4aa994a]")
    assert unhashed.nearest == "tinyB.safetensors"
    assert "has not hashed" in unhashed.why
    elsewhere = asked(catalog, Thing.CHECKPOINT, r"D:\models\tinyNaN.safetensors")
    assert elsewhere.nearest == "tinyNaN.safetensors"


@pytest.mark.parametrize(
    ("name", "title"),
    [
        ("tinyB.safetensors [2be4aa994a]", "tinyB.safetensors"),
        ("inyB", "tinyB.safetensors"),
        ("tiny", "tinyB.safetensors"),
        ("3830f7", "tinyA.safetensors [3830f7832d]"),
        ("tinyA.safetensors [ffffffffff]", "tinyA.safetensors [3830f7832d]"),
    ],
)
@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_a_refiner_is_taken_by_a_part_of_its_title(dialect: str, name: str, title: str) -> None:
    models = load_exchange("sd-models").response
    assert models is not None
    found = asked(told_by(dialect, sd_models=models.json), Thing.REFINER, name)
    assert found.has is Has.YES
    assert found.entry is not None
    assert found.entry.name == title
    assert bool(found.why) == ("ffff" in name)


def test_a_refiner_that_is_no_part_of_any_title_is_missing() -> None:
    assert asked(told_by("a1111"), Thing.REFINER, "sd_xl_refiner").has is Has.NO


# --- samplers and schedulers ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "exchange"),
    [
        ("DPM++ 2M Karras", "txt2img-old-combined-sampler-name"),
        ("k_euler", "txt2img-sampler-alias"),
        ("euler", "txt2img-sampler-lowercase"),
        ("", "txt2img-sampler-empty-string"),
        ("DPM++ 2M", "txt2img-unknown-scheduler"),
    ],
)
def test_a1111_takes_exactly_the_samplers_that_it_took_when_recorded(name: str, exchange: str) -> None:
    recorded = load_exchange(exchange)
    assert recorded.response is not None
    assert recorded.request.json["sampler_name"] == name
    found = asked(told_by("a1111"), Thing.SAMPLER, name)
    assert found.has is (Has.YES if recorded.response.status == 200 else Has.NO)


@pytest.mark.parametrize(
    ("name", "used"),
    [
        ("DPM++ 2M Karras", "DPM++ 2M"),
        ("Euler a SGMUniform", "Euler a"),
        ("Euler a", "Euler a"),
        ("DDIM", "DDIM"),
    ],
)
def test_forge_splits_the_names_of_old(name: str, used: str) -> None:
    found = asked(told_by("forge"), Thing.SAMPLER, name)
    assert found.entry is not None
    assert (found.has, found.entry.name) == (Has.YES, used)


@pytest.mark.parametrize(
    ("name", "nearest"), [("Nope", ""), ("euler A", "Euler a"), ("k_euler", "Euler"), ("Euler b", "Euler a")]
)
def test_forge_draws_with_its_first_sampler_instead_of_one_that_it_does_not_know(
    name: str, nearest: str
) -> None:
    found = asked(told_by("forge"), Thing.SAMPLER, name)
    assert found.has is Has.NO
    assert found.why == "it would draw with DPM++ 2M and say nothing"
    assert found.nearest == nearest


def test_a1111_that_has_the_schedulers_of_forge_splits_names_too() -> None:
    schedulers = load_exchange("schedulers", "exchanges-forge").response
    assert schedulers is not None
    catalog = told_by("a1111", schedulers=schedulers.json)
    assert asked(catalog, Thing.SAMPLER, "DPM++ 2M Karras").has is Has.YES


@pytest.mark.parametrize(
    ("name", "nearest"), [("euler A", "Euler a"), ("DPM++ 2M Karras", "DPM++ 2M"), ("k_euler_a", "Euler a")]
)
def test_the_sampler_that_was_meant_is_named(name: str, nearest: str) -> None:
    assert asked(told_by("a1111"), Thing.SAMPLER, name).nearest == nearest


@pytest.mark.parametrize(
    ("dialect", "name", "has"),
    [
        ("a1111", "karras", Has.YES),
        ("a1111", "Karras", Has.YES),
        ("a1111", "SGM Uniform", Has.YES),
        ("a1111", "sgm_uniform", Has.YES),
        ("a1111", "Automatic", Has.YES),
        ("a1111", "Use same scheduler", Has.YES),
        ("a1111", "", Has.YES),
        ("a1111", "SGMUniform", Has.NO),
        ("a1111", "KARRAS", Has.NO),
        ("a1111", "Beta", Has.NO),
        ("a1111", "Foo", Has.NO),
        ("forge", "Beta", Has.YES),
        ("forge", "align_your_steps_11", Has.YES),
        ("forge", "SGMUniform", Has.NO),
        ("forge", "Foo", Has.NO),
    ],
)
def test_a_scheduler_is_taken_by_name_or_label(dialect: str, name: str, has: Has) -> None:
    assert asked(told_by(dialect), Thing.SCHEDULER, name).has is has


def test_the_scheduler_that_was_meant_is_named() -> None:
    catalog = told_by("a1111")
    assert asked(catalog, Thing.SCHEDULER, "SGMUniform").nearest == "SGM Uniform"
    assert asked(catalog, Thing.SCHEDULER, "KARRAS").nearest == "Karras"


# --- upscalers, VAEs, what is in prompts -----------------------------------------------------------------


@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_whether_the_weights_of_an_upscaler_with_an_address_are_there_is_a_doubt(dialect: str) -> None:
    catalog = told_by(dialect)
    found = asked(catalog, Thing.UPSCALER, "R-ESRGAN 4x+")
    assert found.has is Has.YES
    assert found.entry is not None
    assert "whether its weights are there is not told" in found.why
    for name in ("None", "Lanczos", "Nearest"):
        assert asked(catalog, Thing.UPSCALER, name).has is Has.YES
    assert asked(catalog, Thing.UPSCALER, "lanczos").nearest == "Lanczos"


def test_an_upscaler_with_weights_on_its_disk_is_there() -> None:
    upscaler = {"name": "4x-UltraSharp", "model_path": "/srv/models/ESRGAN/4x-UltraSharp.pth", "scale": 4}
    assert asked(told_by("a1111", upscalers=[upscaler]), Thing.UPSCALER, "4x-UltraSharp").has is Has.YES


def test_hires_fix_takes_latent_modes_which_extras_do_not() -> None:
    catalog = told_by("a1111")
    assert asked(catalog, Thing.HIRES_UPSCALER, "Latent (nearest-exact)").has is Has.YES
    assert asked(catalog, Thing.HIRES_UPSCALER, "Lanczos").has is Has.YES
    assert asked(catalog, Thing.HIRES_UPSCALER, "R-ESRGAN 4x+").why
    assert asked(catalog, Thing.UPSCALER, "Latent (nearest-exact)").has is Has.NO


@pytest.mark.parametrize(
    ("name", "has"),
    [("soft.pt", Has.YES), ("Automatic", Has.YES), ("None", Has.YES), ("", Has.YES), ("soft", Has.NO)],
)
def test_a_vae_is_taken_by_the_name_of_its_file(name: str, has: Has) -> None:
    catalog = told_by("a1111", sd_vae=[{"model_name": "soft.pt", "filename": "/srv/models/VAE/soft.pt"}])
    assert asked(catalog, Thing.VAE, name).has is has


def test_forge_ignores_the_vae_of_a_request() -> None:
    catalog = told_by("forge", sd_modules=[{"model_name": "soft.pt", "filename": "/x/soft.pt"}])
    found = asked(catalog, Thing.VAE, "soft.pt")
    assert (found.has, found.why) == (Has.NO, "Forge ignores the VAE of a request; name it as a module")
    assert asked(catalog, Thing.VAE, "Automatic").has is Has.YES
    assert asked(catalog, Thing.MODULE, "/elsewhere/soft.pt").has is Has.YES
    assert asked(catalog, Thing.MODULE, "t5.safetensors").has is Has.NO


LORAS = [
    {"name": "foo_v2", "alias": "foo", "path": "/x/foo_v2.safetensors", "metadata": {}},
    {"name": "one", "alias": "shared", "path": "/x/one.safetensors", "metadata": {}},
    {"name": "two", "alias": "shared", "path": "/x/two.safetensors", "metadata": {}},
]


@pytest.mark.parametrize(
    ("name", "has"),
    [
        ("foo_v2", Has.YES),
        ("foo", Has.YES),
        ("one", Has.YES),
        ("two", Has.YES),
        ("shared", Has.NO),
        ("Foo", Has.NO),
        ("foo_v2.safetensors", Has.NO),
        ("none", Has.NO),
    ],
)
@pytest.mark.parametrize("dialect", DIALECT_NAMES)
def test_a_lora_is_taken_by_file_name_or_an_alias_of_its_own(dialect: str, name: str, has: Has) -> None:
    assert asked(told_by(dialect, loras=LORAS), Thing.LORA, name).has is has


def test_the_lora_that_is_most_alike_is_named() -> None:
    catalog = told_by("a1111", loras=LORAS)
    assert asked(catalog, Thing.LORA, "Foo").nearest == "foo_v2"
    assert asked(catalog, Thing.LORA, "foo_v3").nearest == "foo_v2"
    assert asked(catalog, Thing.LORA, "quite different").nearest == ""


def test_an_embedding_that_was_skipped_is_there_and_does_not_fit() -> None:
    catalog = told_by("a1111", embeddings={"loaded": {"EasyNegative": {}}, "skipped": {"unaesthetic XL": {}}})
    assert asked(catalog, Thing.EMBEDDING, "easynegative") == Found(
        Has.YES, catalog.lists[Thing.EMBEDDING][0]
    )
    skipped = asked(catalog, Thing.EMBEDDING, "unaesthetic xl")
    assert (skipped.has, skipped.why) == (Has.YES, "it does not fit the checkpoint that is loaded now")
    assert asked(catalog, Thing.EMBEDDING, "badhands").has is Has.NO


def test_scripts_and_detectors() -> None:
    catalog = told("a1111", {"/adetailer/v1/ad_model": {"ad_model": ["face_yolov8n.pt"]}})
    assert asked(catalog, Thing.SCRIPT, "SD Upscale").has is Has.YES
    assert asked(catalog, Thing.SCRIPT, "hypertile").has is Has.YES
    assert asked(catalog, Thing.SCRIPT, "ADetailer").has is Has.NO
    assert asked(catalog, Thing.DETECTOR, "face_yolov8n.pt").has is Has.YES
    assert asked(catalog, Thing.DETECTOR, "None").has is Has.YES
    assert asked(catalog, Thing.DETECTOR, "face_yolov8s.pt").has is Has.NO


# --- servers that were not recorded --------------------------------------------------------------------


def test_a_server_of_an_unknown_kind_never_lacks_anything() -> None:
    catalog = told_by("a1111", scripts=404, loras=LORAS)
    assert asked(catalog, Thing.LORA, "foo_v2").has is Has.YES
    assert asked(catalog, Thing.LORA, "foo_v3") == Found(Has.UNKNOWN, nearest="foo_v2")


@pytest.mark.parametrize(
    ("thing", "name", "has"),
    [
        (Thing.CHECKPOINT, "xl/dream.v2", Has.UNKNOWN),
        (Thing.CHECKPOINT, FOLDER["filename"], Has.YES),
        (Thing.CHECKPOINT, "aaaaaaaaaa", Has.YES),
        (Thing.CHECKPOINT, "someone/some-model", Has.UNKNOWN),
        (Thing.CHECKPOINT, "nowhere", Has.NO),
        (Thing.VAE, "TAESD", Has.YES),
        (Thing.LORA, "FOO", Has.UNKNOWN),
        (Thing.LORA, "bar", Has.NO),
        (Thing.SAMPLER, "euler A", Has.UNKNOWN),
    ],
)
def test_sdnext_lacks_only_what_is_like_nothing_that_it_has(thing: Thing, name: str, has: Has) -> None:
    changed = {"version": {"updated": "2025-11-01"}, "loras": LORAS, "sd-models": [FOLDER]}
    assert asked(told("a1111", changed), thing, name).has is has


def test_a_simulator_that_makes_up_what_it_is_asked_for_lacks_nothing_of_it() -> None:
    catalog = told_by("a1111", options={TAKES_ANY_NAME: True, "CLIP_stop_at_last_layers": 1})
    assert asked(catalog, Thing.CHECKPOINT, "juggernaut").has is Has.UNKNOWN
    assert asked(catalog, Thing.UPSCALER, "5x-Nope").has is Has.UNKNOWN
    assert asked(catalog, Thing.SAMPLER, "Nope").has is Has.NO


# --- thousands of names --------------------------------------------------------------------------------


def test_a_list_is_indexed_once_however_many_records_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    make = NameIndex.__init__

    def counting(index: NameIndex, names: Any) -> None:
        built.append(1)
        make(index, names)

    monkeypatch.setattr(NameIndex, "__init__", counting)
    catalog = Catalog(dialect="a1111", lists={Thing.LORA: tuple(Entry(f"lora{at}") for at in range(2000))})
    found = [asked(catalog, Thing.LORA, f"lora{at % 3000}").has for at in range(6000)]
    assert (found.count(Has.YES), found.count(Has.NO)) == (4000, 2000)
    assert len(built) == 1


def test_likeness_is_compared_for_few_names_of_few_searches(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[str] = []

    class Counting(SequenceMatcher[str]):
        def set_seq1(self, a: Any) -> None:
            compared.append(a)
            super().set_seq1(a)

    monkeypatch.setattr(name_index, "SequenceMatcher", Counting)
    now = [0.0]
    names = ((f"lora style {at}", Entry(f"lora style {at}")) for at in range(2000))
    index = NameIndex(names, clock=lambda: now[0])
    nearest = [index.nearest(f"lora stile {at}") for at in range(2000, 3000)]
    searches = name_index.MOST_COMPARED
    assert all(name.startswith("lora style") for name in nearest[:searches])
    assert not any(nearest[searches:]), "a list that lacks so much is another list"
    assert len(compared) <= searches * (name_index.COMPARED + 1)
    now[0] = name_index.WITHIN_S + 1
    assert index.nearest("lora stile 5") == "lora style 5"
