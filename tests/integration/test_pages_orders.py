"""Submitting from pages: several packs at once, presets and sweeps, seeds that stay, buttons that say why not."""

from __future__ import annotations

import html
import json
import re

import pytest
from django.http import HttpResponse
from django.test import Client
from django.test.utils import override_settings
from django.urls import reverse

from jobs.models import Job, JobRecord, PackRevision, Submission
from jobs.reading import packs as reading
from tests.factories import make_node, make_pack, make_user
from tests.markup import markup
from webui.nodes.catalogs import store
from webui.work.catalog import Catalog, Entry, Thing

pytestmark = pytest.mark.django_db

HTMX = {"HX-Request": "true"}
PRESET = '{"preset_data": {"txt2img": {"steps": 7, "model": "sdxl"}}}'


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def text_of(answer: object) -> str:
    assert isinstance(answer, HttpResponse)
    return html.unescape(markup(answer))


def dry_run(client: Client, *revisions: PackRevision, **options: str) -> str:
    data = {"revision": [str(revision.pk) for revision in revisions], **options}
    return text_of(client.post(reverse("pack-dry-run"), data, headers=HTMX))


def hidden_fields(fragment: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r'<input type="hidden" name="(?!csrf)(\w+)" value="([^"]*)">', fragment):
        found.setdefault(name, []).append(value)
    return found


def submit(client: Client, fragment: str, **changes: str) -> HttpResponse:
    answer = client.post(reverse("pack-submit"), {**hidden_fields(fragment), **changes}, follow=True)
    assert isinstance(answer, HttpResponse)
    return answer


def test_several_packs_are_one_submission_in_the_order_of_the_page(operator: Client) -> None:
    packs = [make_pack("b", text="bee\n"), make_pack("a", text="ant\n\nape\n")]
    page = text_of(operator.get(reverse("pack-order"), {"pack": [pack.pack_id for pack in packs]}))
    assert "Submit 2 packs" in page
    assert hidden_fields(page)["revision"] == [str(packs[1].pk), str(packs[0].pk)]
    shown = dry_run(operator, packs[1], packs[0])
    assert "Submit 3 jobs" in shown
    assert "3 jobs for 3 pictures were queued." in text_of(submit(operator, shown))
    made = Submission.objects.get()
    assert set(made.revisions.all()) == set(packs)
    assert list(JobRecord.objects.order_by("id").values_list("pack_name", flat=True)) == ["a", "a", "b"]


def test_one_bad_pack_among_several_is_named_and_nothing_can_be_pressed(operator: Client) -> None:
    good, bad = make_pack("good"), make_pack("bad", text="a [[place]]\n")
    shown = dry_run(operator, good, bad)
    assert "Pack bad, row 1: [[place]] has no values" in shown
    assert re.search(r"<button[^>]*disabled[^>]*why-not", shown)
    assert "Solve the problems above first" in shown
    answer = operator.post(reverse("pack-submit"), {"revision": [good.pk, bad.pk], "key": "k"}, follow=True)
    assert "Nothing was queued: Pack bad, row 1" in text_of(answer)
    assert not Submission.objects.exists()


def test_no_pack_chosen_disables_the_button_and_says_why(operator: Client) -> None:
    page = text_of(operator.get(reverse("pack-order")))
    assert "No pack is chosen." in page
    assert re.search(r"<button[^>]*disabled[^>]*no-pack", page)


def test_packs_that_are_too_much_together_are_refused_before_they_are_read(
    operator: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "MAX_CHARS_TOGETHER", 2_000_000)
    large = [make_pack(f"p{n}", text="a castle\n" + f"# {n}" + "xxx\n#" * 320_000) for n in range(2)]
    answer = operator.get(reverse("pack-order"), {"pack": [pack.pack_id for pack in large]}, follow=True)
    assert "These 2 packs hold 3 million characters" in text_of(answer)
    assert "choose fewer" in text_of(answer)
    sent = {"revision": [pack.pk for pack in large]}
    for address in ("pack-dry-run", "pack-submit"):
        answer = operator.post(reverse(address), sent)
        assert answer.status_code == 404
        assert "choose fewer" in text_of(answer)
    assert "1 record" in dry_run(operator, large[0]), "each alone is taken"
    monkeypatch.setattr(reading, "MAX_TOGETHER", 3)
    packs = [make_pack(f"q{n}").pack_id for n in range(4)]
    answer = operator.get(reverse("pack-order"), {"pack": packs}, follow=True)
    assert "4 packs are more than the 3 that are submitted together" in text_of(answer)


@override_settings(STABLENEW_MAX_RECORDS=10)
def test_too_many_records_disable_the_button_and_say_why(operator: Client) -> None:
    shown = dry_run(operator, make_pack(), repeat="11")
    assert "more than the 10 that one submission may hold" in shown
    assert "“At most” or “Rows”" in shown
    assert re.search(r"<button[^>]*disabled", shown)


def test_seed_of_the_page_stays_while_options_change_and_is_what_is_submitted(operator: Client) -> None:
    revision = make_pack()
    page = text_of(operator.get(reverse("pack", args=[revision.pack_id])))
    drawn = hidden_fields(page)["drawn"][0]
    for repeat in ("1", "2"):
        shown = dry_run(operator, revision, drawn=drawn, repeat=repeat)
        assert hidden_fields(shown)["seed"] == [drawn]
    submit(operator, shown)
    assert Submission.objects.get().build_seed == int(drawn)
    assert hidden_fields(dry_run(operator, revision, drawn=drawn, seed="0"))["seed"] == ["0"]


def test_sweeps_multiply_and_name_every_checkpoint_with_its_count(operator: Client) -> None:
    shown = dry_run(
        operator, make_pack(text="one\n\ntwo\n"), sweeps="txt2img.model=one,two\ntxt2img.steps=5,6,7"
    )
    assert "<strong>12</strong> records" in shown
    assert re.search(r"one <span class=\"soft\">6 records", shown)
    assert "2 rows × 6 sets of settings" in shown
    answer = text_of(submit(operator, shown))
    assert Job.objects.count() == 12
    assert "txt2img.steps=5, 6, 7" in answer


def test_sweep_that_cannot_be_read_is_named_by_its_line(operator: Client) -> None:
    shown = dry_run(operator, make_pack(), sweeps="txt2img.steps=1,2\nnonsense")
    assert "Line 2: 'nonsense' is no sweep" in shown


def test_preset_is_the_very_revision_that_was_previewed(operator: Client) -> None:
    preset = make_pack("preset", document=PRESET)
    revision = make_pack("plain")
    page = text_of(operator.get(reverse("pack", args=[revision.pack_id])))
    assert f'<option value="{preset.pk}">preset</option>' in page
    shown = dry_run(operator, revision, preset=str(preset.pk))
    assert "7 steps" in shown
    make_pack("preset", document=PRESET.replace("7", "9"))
    submit(operator, shown)
    [record] = JobRecord.objects.all()
    assert '"steps":7' in record.canonical_json
    assert record.checkpoint == "sdxl"


@pytest.mark.parametrize(("preset", "words"), [("999999", "That preset is gone"), ("x", "whole number")])
def test_preset_that_is_none_is_told(operator: Client, preset: str, words: str) -> None:
    assert words in dry_run(operator, make_pack(), preset=preset)


def test_pack_without_settings_is_no_preset(operator: Client) -> None:
    plain = make_pack("plain")
    assert "Preset plain holds no settings" in dry_run(operator, plain, preset=str(plain.pk))


@pytest.mark.parametrize("name", ["pack-dry-run", "pack-submit"])
@pytest.mark.parametrize("revision", ["", "x", "99999", "9" * 30])
def test_unknown_revision_is_not_found(operator: Client, name: str, revision: str) -> None:
    make_pack()
    assert operator.post(reverse(name), {"revision": revision}).status_code == 404


def test_one_unknown_revision_among_known_ones_is_not_left_out_silently(operator: Client) -> None:
    answer = operator.post(reverse("pack-dry-run"), {"revision": [make_pack().pk, 99999]})
    assert answer.status_code == 404


def test_refused_submission_keeps_what_was_typed(operator: Client) -> None:
    revision = make_pack()
    answer = operator.post(
        reverse("pack-submit"), {"revision": revision.pk, "overrides": "nonsense", "repeat": "3"}
    )
    page = text_of(answer)
    assert answer.status_code == 409
    assert "Nothing was queued: Line 1: 'nonsense' is no setting" in page
    assert 'value="3"' in page
    assert ">nonsense</textarea>" in page


def test_second_press_says_that_nothing_was_queued_twice(operator: Client) -> None:
    shown = dry_run(operator, make_pack())
    submit(operator, shown)
    assert "nothing was queued twice" in text_of(submit(operator, shown))
    assert Job.objects.count() == 1


def test_fields_of_the_page_name_the_tokens_that_need_values(operator: Client) -> None:
    revision = make_pack(text="a [[place]] at [[hour]]\n\na [[place]]\n")
    page = text_of(operator.get(reverse("pack", args=[revision.pack_id])))
    assert re.search(r"\[\[place\]\] <span class=\"soft\">rows 1–2</span>", page)
    assert hidden_fields(page)["slot_name"] == ["place", "hour"]
    assert "Skip unfilled rows" in page
    assert "2 slots without values." in page
    assert "<code>[[place]]</code> in rows 1–2" in page


def test_a_field_for_each_slot_gives_its_values_and_is_carried_to_the_submission(operator: Client) -> None:
    revision = make_pack(text="a [[place]] at [[odd = name]]\n\na [[place]]\n")
    fields = {"slot_name": ["place", "odd = name"], "slot_values": ["forest, castle", "noon"]}
    shown = text_of(operator.post(reverse("pack-dry-run"), {"revision": revision.pk, **fields}, headers=HTMX))
    assert "<strong>4</strong> records" in shown
    assert hidden_fields(shown)["slot_values"] == fields["slot_values"]
    assert hidden_fields(shown)["slot_name"] == fields["slot_name"]
    submit(operator, shown)
    prompts = [json.loads(record.canonical_json)["positive_prompt"] for record in JobRecord.objects.all()]
    assert sorted(prompts) == ["a castle", "a castle at noon", "a forest", "a forest at noon"]


def test_rows_whose_slots_stay_empty_are_skipped_on_request(operator: Client) -> None:
    revision = make_pack(text="a [[place]]\n\nb\n")
    fields = {"slot_name": "place", "slot_values": " "}
    assert "Pack harbour, row 1: [[place]] has no values" in dry_run(operator, revision, **fields).replace(
        revision.pack.name, "harbour"
    )
    shown = dry_run(operator, revision, **fields, skip_unfilled="on")
    assert "[[place]] has no values, so row 1 is skipped." in shown
    answer = text_of(submit(operator, shown))
    assert Job.objects.count() == 1
    assert "without rows whose slots have no values" in answer


def test_a_slot_with_values_in_two_places_is_told(operator: Client) -> None:
    revision = make_pack(text="a [[place]]\n")
    shown = dry_run(operator, revision, slot_name="place", slot_values="x", matrix="place=y")
    assert "place has values here and in its own field" in shown
    assert "empty value" in dry_run(operator, revision, slot_name="place", slot_values="x,,y")


def test_fields_of_slots_keep_what_was_typed_without_script(operator: Client) -> None:
    revision = make_pack(text="a [[place]] [[hour]]\n")
    fields = {"revision": revision.pk, "slot_name": ["place", "hour"], "slot_values": ["<forest>", ""]}
    page = text_of(operator.post(reverse("pack-dry-run"), fields))
    assert 'value="<forest>"' in page
    assert "[[hour]] has no values" in page


# --- names that are completed -------------------------------------------------------------------------


def test_fields_offer_the_names_of_all_nodes_once(operator: Client) -> None:
    revision = make_pack("castles")
    dream = Entry("dream.safetensors [aaaaaaaaaa]", (), ("aaaaaaaaaa",))
    plain = Entry("dream.safetensors")
    weightless = Entry("R-ESRGAN 4x+", usable=False)
    store(make_node(), Catalog(lists={Thing.CHECKPOINT: (dream,), Thing.UPSCALER: (weightless,)}))
    store(make_node(), Catalog(lists={Thing.CHECKPOINT: (plain,), Thing.SAMPLER: (Entry("Euler a"),)}))
    page = text_of(operator.get(reverse("pack", args=[revision.pack_id])))
    offered = re.findall(r'<datalist id="id_(\w+)_offered">(.*?)</datalist>', page, re.S)
    assert {name: re.findall(r'value="([^"]+)"', options) for name, options in offered} == {
        "checkpoint": ["dream.safetensors"],
        "sampler": ["Euler a"],
    }


def test_a_named_field_is_an_override(operator: Client) -> None:
    revision = make_pack("castles")
    page = dry_run(operator, revision, checkpoint="dream.safetensors", sampler="DPM++ 2M")
    fields = hidden_fields(page)
    assert (fields["checkpoint"], fields["sampler"]) == (["dream.safetensors"], ["DPM++ 2M"])
    submit(operator, page)
    record = JobRecord.objects.get().canonical_json
    assert '"dream.safetensors"' in record
    assert '"DPM++ 2M"' in record


def test_a_name_is_given_once(operator: Client) -> None:
    revision = make_pack("castles")
    data = {"revision": [revision.pk], "checkpoint": "one", "overrides": "txt2img.model=two"}
    page = text_of(operator.post(reverse("pack-submit"), data))
    assert "txt2img.model has a value here and under Settings; empty one of them." in page
    assert not Job.objects.exists()
