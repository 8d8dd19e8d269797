"""New video and New edit: what is chosen and typed becomes a submission once, or is refused beside its fields."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.test.utils import override_settings
from django.urls import reverse
from pytest_django import Settings

from jobs.building.builder import BuildOptions, build
from jobs.inputs.store import input_root, path_of
from jobs.lifecycle import Priority
from jobs.models import InputPicture, Job, JobRecord, OutputImage, PackOrigin, PromptPack, Submission
from jobs.pages import new_work
from jobs.pages.uploads import keep_picture
from jobs.records.reading import AnyRecord, read_record
from jobs.running.outputs import file_of
from jobs.submitting import chosen_pictures
from jobs.submitting.filled_form import label_of
from jobs.submitting.submission import BuiltPack, source_of, submit_packs
from tests.factories import make_node, make_pack, make_runner, make_user, submit
from tests.film_jobs import make_film_node
from tests.film_packs import film_text
from tests.integration.film_runs import run_film
from tests.integration.finished_jobs import complete, fail
from tests.markup import markup
from tests.sample_pictures import picture
from webui.models import NodeState
from webui.work.limits import LIMITS, MAX_INPUTS, MAX_PROMPT_CHARACTERS, Choice, Limit

pytestmark = pytest.mark.django_db(transaction=True)

NAMES = {"i2v": "new-video", "edit": "new-edit"}
BOTH = pytest.mark.parametrize("kind", NAMES)


@pytest.fixture(autouse=True)
def own_folders(settings: Settings, tmp_path: Path) -> None:
    for name in ("INPUT", "OUTPUT", "THUMBNAIL"):
        setattr(settings, f"STABLENEW_{name}_DIR", tmp_path / name.lower())


@pytest.fixture
def operator(client: Client) -> Client:
    client.force_login(make_user("otto", operator=True))
    return client


def kept(shade: int = 1, size: tuple[int, int] = (640, 480), name: str = "") -> str:
    return keep_picture(picture(shade, size), name or f"cat{shade}.png", by="otto").sha256


def shown(answer: Any) -> str:
    return html.unescape(markup(answer))


def defaults(page: str) -> dict[str, str]:
    """What an untouched form sends."""
    fields = re.findall(r'<input[^>]*\bname="([a-z_0-9]+)"[^>]*?>', page)
    found = {name: _value(page, name) for name in fields if name not in ("image", "pictures", "arrange")}
    found |= {"arrange": "each", "priority": "20", "truth": ""}
    return {name: value for name, value in found.items() if name != "csrfmiddlewaretoken"}


def _value(page: str, name: str) -> str:
    tag = next(one for one in re.findall(r"<input[^>]*>", page) if f'name="{name}"' in one)
    found = re.search(r'\bvalue="([^"]*)"', tag)
    return found[1] if found else ""


def post(client: Client, kind: str = "i2v", *, htmx: bool = False, **fields: Any) -> Any:
    """The form of a fresh page with these fields changed."""
    page = fields.pop("page", None) or shown(client.get(reverse(NAMES[kind])))
    sent = {**defaults(page), "prompt": "the cat waves", **fields}
    headers = {"HX-Request": "true"} if htmx else {}
    return client.post(reverse(NAMES[kind]), sent, headers=headers)


def beside(page: str, name: str) -> list[str]:
    """What is told beside a field."""
    [place] = re.findall(rf'<div class="field-errors" id="errors-{name}"[^>]*>(.*?)</div>', page)
    return re.findall(r"<li>(.*?)</li>", place)


def button(page: str) -> str:
    [tag] = re.findall(r'<button[^>]*value="submit"[^>]*>', page)
    return str(tag)


def records() -> list[AnyRecord]:
    return [read_record(row.canonical_json, row.sha256) for row in JobRecord.objects.order_by("id")]


def assert_nothing_is_queued() -> None:
    assert not Submission.objects.exists()
    assert not PromptPack.objects.exists()


# --- the page -------------------------------------------------------------------------------------------------


@BOTH
def test_a_fresh_page_has_the_defaults_and_its_button_says_what_is_missing(
    operator: Client, kind: str
) -> None:
    page = shown(operator.get(reverse(NAMES[kind])))
    for name, limit in LIMITS[kind].items():
        if isinstance(limit, Limit):
            assert _value(page, name) == ("" if limit.auto else str(limit.default))
            assert limit.range_words in page
        else:
            assert re.search(rf'<option value="{limit.default}" selected>', page)
    assert "disabled" in button(page)
    assert 'id="why-not">Choose a picture first.<' in page
    assert not re.findall(r'<ul class="errorlist">', page)
    page = shown(post(operator, kind, image=[kept()], prompt=" "))
    assert "disabled" in button(page)
    assert 'id="why-not">Write a prompt first.<' in page
    assert "disabled" not in button(shown(post(operator, kind, image=[kept()])))


def test_pack_pages_cannot_submit_before_a_pack_is_chosen(operator: Client) -> None:
    page = shown(operator.get(reverse("pack-order")))
    assert re.search(r"<button[^>]*disabled[^>]*aria-describedby=\"no-pack\"", page)


def test_only_operators_see_the_way_there(client: Client, operator: Client) -> None:
    assert "New video" in shown(operator.get(reverse("queue")))
    client.force_login(make_user("vera"))
    assert "New video" not in shown(client.get(reverse("queue")))
    assert client.get(reverse("new-video")).status_code == 403


# --- the preview ------------------------------------------------------------------------------------------------


def test_a_preview_tells_sizes_as_snapped_frames_and_seconds(operator: Client) -> None:
    images = [kept(1, (1920, 1080)), kept(2, (1080, 1920)), kept(3, (1920, 1080))]
    page = shown(post(operator, htmx=True, image=images, num_frames="50", repeat="2"))
    assert "<strong>6</strong> films" in page
    for number, size in ((4, "848 × 480"), (2, "480 × 848")):
        assert re.search(rf"{number}</span><span>{size} · 49 frames, 3.1 s at 16 per second", page)
    assert "Frames 50 becomes 49." in page
    assert "Submit 6 films" in page
    assert_nothing_is_queued()
    page = shown(post(operator, "edit", htmx=True, image=images[:1], width="500", height="500"))
    assert "496 × 496" in page or "512 × 512" in page
    assert "Width 500 becomes" in page


def test_a_preview_says_who_makes_them_and_how_long_it_takes(operator: Client) -> None:
    page = shown(post(operator, htmx=True, image=[kept()]))
    assert "There are no running workers available" in page
    assert "jobs wait until a worker runs" in page
    assert "Nobody knows yet how long it takes: no film was made here." in page
    run_film()
    make_runner(make_film_node(state=NodeState.READY))
    page = shown(post(operator, htmx=True, image=[kept()]))
    assert "workers for films are ready." in page or "1 worker for films is ready." in page
    assert re.search(r"About [0-9.]+ \w+: the last 1 film took", page)
    assert "no edit was made here" in shown(post(operator, "edit", htmx=True, image=[kept()]))


def test_a_fragment_brings_the_words_beside_each_field_and_takes_them_away(operator: Client) -> None:
    page = shown(post(operator, htmx=True, image=[kept()], steps="0"))
    assert beside(page, "steps") == ["Steps 0 is outside 1-100."]
    assert page.count('hx-swap-oob="true"') == len(LIMITS["i2v"]) + 7
    assert "<html" not in page
    page = shown(post(operator, htmx=True, image=[kept()]))
    assert beside(page, "steps") == []


# --- submitting -------------------------------------------------------------------------------------------------


@BOTH
def test_a_form_becomes_a_pack_of_its_own_with_every_value_written_down(operator: Client, kind: str) -> None:
    answer = post(operator, kind, act="submit", image=[kept(1), kept(2)], repeat="2", seed="5", priority="10")
    made = Submission.objects.get()
    assert answer.headers["Location"] == reverse("submission", args=[made.pk])
    pack = PromptPack.objects.get()
    assert (pack.kind, pack.origin, made.job_count, made.build_seed) == (kind, PackOrigin.FORM, 4, 5)
    assert pack.current is not None
    written = json.loads(pack.current.document)["preset_data"][kind]
    assert written.items() >= {name: limit.default for name, limit in LIMITS[kind].items()}.items()
    assert [record.inputs[0].name for record in records()] == ["cat1.png", "cat1.png", "cat2.png", "cat2.png"]
    assert {job.priority for job in Job.objects.all()} == {Priority.HIGH}
    noun = {"i2v": "films", "edit": "edits"}[kind]
    page = shown(operator.get(answer.headers["Location"]))
    assert f"4 jobs for 4 {noun} were queued." in page
    assert f"for 4 {noun}" in page
    assert f"0 {noun} so far" in page


def test_pressed_twice_it_is_queued_once_and_a_changed_form_once_more(operator: Client) -> None:
    page = shown(operator.get(reverse("new-video")))
    first = post(operator, page=page, act="submit", image=[kept()])
    again = post(operator, page=page, act="submit", image=[kept()])
    assert again.headers["Location"] == first.headers["Location"]
    assert "nothing was queued twice" in shown(operator.get(again.headers["Location"]))
    assert Submission.objects.count() == 1
    changes: list[dict[str, Any]] = [
        {"prompt": "the cat sits"},
        {"steps": "9"},
        {"repeat": "2"},
        {"image": [kept(2)]},
    ]
    for change in changes:
        post(operator, page=page, act="submit", **{"image": [kept()], **change})
    assert Submission.objects.count() == 5
    post(operator, act="submit", image=[kept()])
    assert Submission.objects.count() == 6, "another page is another wish"


def test_without_script_files_come_with_the_form_and_stay_chosen(operator: Client) -> None:
    files = [SimpleUploadedFile(f"{n}.png", picture(n)) for n in range(2)] + [
        SimpleUploadedFile("notes.png", b"hello")
    ]
    page = shown(post(operator, pictures=files))
    tokens = re.findall(r'name="image" value="([0-9a-f]{64})" checked', page)
    assert tokens == [row.sha256 for row in InputPicture.objects.order_by("id")]
    assert len(tokens) == 2
    [words] = beside(page, "images")
    assert words.startswith("notes.png is no picture")
    assert "disabled" in button(page), "somebody who sent three pictures decides about the third"
    page = shown(post(operator, image=tokens, prompt="the <b>lamp</b> turns"))
    assert "disabled" not in button(page)
    assert "<strong>2</strong> films" in page
    assert ">the <b>lamp</b> turns</textarea>" in page
    post(operator, act="submit", image=tokens[1:])
    assert [record.inputs[0].sha256 for record in records()] == tokens[1:]


def test_a_file_beyond_the_limit_is_refused_in_the_form_too(operator: Client) -> None:
    page = shown(post(operator, pictures=[SimpleUploadedFile("big.png", bytes(7_864_321))]))
    [words] = beside(page, "images")
    assert words.startswith(
        "big.png has 7,864,321 bytes; an input picture may have at most 7,864,320 bytes (10 MB"
    )
    assert not InputPicture.objects.exists()


def test_one_edit_is_made_of_several_pictures_in_their_order(operator: Client) -> None:
    images = [kept(3), kept(1), kept(2)]
    assert "<strong>1</strong> edit" in shown(post(operator, "edit", arrange="together", image=images))
    post(operator, "edit", act="submit", arrange="together", image=images)
    [record] = records()
    assert [one.sha256 for one in record.inputs] == images
    page = shown(post(operator, "edit", act="submit", arrange="together", image=[kept(n) for n in range(5)]))
    assert beside(page, "images") == [f"It names 5 pictures; an edit takes at most {MAX_INPUTS}."]
    assert Submission.objects.count() == 1


# --- refusals ---------------------------------------------------------------------------------------------------


def beyond() -> Iterator[Any]:
    """Each limit of the table: kind, field, a value that is not taken, and what the sentence must hold."""
    for kind, limits in LIMITS.items():
        for name, limit in limits.items():
            if isinstance(limit, Choice):
                yield pytest.param(kind, name, "other", ('"other"', *limit.values), id=f"{kind}.{name}")
                continue
            low = limit.low - 1 if limit.low else -1
            for value in (low, limit.high + 1):
                words = (f"{float(value):g}".removesuffix(".0"), limit.range_words)
                yield pytest.param(kind, name, str(value), words, id=f"{kind}.{name}={value}")
            yield pytest.param(kind, name, "many", ('"many"', "number is expected"), id=f"{kind}.{name}=many")
        for name in ("prompt", "negative_prompt"):
            told = (name.replace("_", " "), f"{MAX_PROMPT_CHARACTERS + 1:,}", f"{MAX_PROMPT_CHARACTERS:,}")
            yield pytest.param(kind, name, "x" * (MAX_PROMPT_CHARACTERS + 1), told, id=f"{kind}.{name}")
        yield pytest.param(kind, "repeat", "10001", ("Repeat 10001", "1-10,000"), id=f"{kind}.repeat")
        yield pytest.param(kind, "seed", "-1", ("Seed -1", "0-"), id=f"{kind}.seed")


@pytest.mark.parametrize(("kind", "name", "value", "words"), list(beyond()))
def test_a_form_beyond_a_limit_gets_one_sentence_beside_its_field_and_nothing_is_stored(
    operator: Client, kind: str, name: str, value: str, words: tuple[str, ...]
) -> None:
    typed: dict[str, Any] = {name: value}
    answer = post(operator, kind, act="submit", image=[kept(1), kept(2)], **typed)
    page = shown(answer)
    assert answer.status_code == 409
    [sentence] = beside(page, name)
    for word in (label_of(name) if name in LIMITS[kind] else "", *words):
        assert word in sentence
    assert value in page, "what was typed stays"
    assert_nothing_is_queued()


def test_everything_wrong_is_told_at_once_and_what_was_typed_stays(operator: Client) -> None:
    page = shown(
        post(
            operator,
            act="submit",
            prompt="",
            steps="0",
            fps="99",
            seed="x",
            repeat="0",
            width="5.5",
            fit="crop",
        )
    )
    assert beside(page, "steps") == ["Steps 0 is outside 1-100."]
    assert beside(page, "fps") == ["Frames per second 99 is outside 1-60 frames per second."]
    assert beside(page, "seed") == ["Seed is a whole number, or empty for one that is drawn."]
    assert beside(page, "repeat") == ["Repeat 0 is outside 1-10,000."]
    assert beside(page, "width")
    assert _value(page, "seed") == "x"
    assert _value(page, "width") == "5.5"
    assert "disabled" in button(page)
    assert "Nothing was queued." in page
    assert_nothing_is_queued()


def test_slots_and_loras_in_a_prompt_are_refused_in_words_of_the_form(operator: Client) -> None:
    page = shown(
        post(operator, act="submit", image=[kept(1), kept(2)], prompt="a [[colour]] cat <lora:foo:1>")
    )
    assert any("[[colour]] is a slot" in words for words in beside(page, "prompt"))
    assert "--" not in "".join(beside(page, "prompt"))
    assert_nothing_is_queued()


@override_settings(STABLENEW_MAX_RECORDS=3)
def test_more_than_one_submission_holds_is_told_at_the_repeats(operator: Client) -> None:
    page = shown(post(operator, act="submit", image=[kept(1), kept(2)], repeat="2"))
    assert beside(page, "repeat") == [
        "Pictures times repeats are more than the 3 records that one submission may hold. Make fewer."
    ]
    assert_nothing_is_queued()


def test_more_pictures_than_a_form_takes_are_told(operator: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chosen_pictures, "MAX_PICTURES", 2)
    page = shown(post(operator, act="submit", image=[kept(n) for n in range(3)]))
    assert beside(page, "images") == ["Pictures: 3 are more than the 2 that one form takes. Leave some out."]
    assert_nothing_is_queued()


def test_pictures_that_nobody_gave_are_told(operator: Client) -> None:
    page = shown(post(operator, act="submit", image=["0" * 64, "result-77", "nonsense\0", kept()]))
    assert beside(page, "images") == [
        "3 of the pictures are not known, or no finished job's result. Choose again."
    ]
    assert_nothing_is_queued()


# --- results of others ------------------------------------------------------------------------------------------


@pytest.fixture
def results() -> list[OutputImage]:
    """Of three jobs of one submission, two of them complete."""
    runner = make_runner(make_node())
    submit(make_pack(), repeat=3)
    for _ in range(2):
        complete(runner, pictures=2)
    fail(runner)
    return list(OutputImage.objects.filter(job__status="COMPLETED").order_by("id"))


def tokens_in(page: str) -> list[str]:
    return re.findall(r'name="image" value="([^"]+)" checked', page)


def test_results_lead_to_the_page_by_picture_job_and_submission(
    operator: Client, results: list[OutputImage]
) -> None:
    submission = Submission.objects.get()
    first = results[0]
    mine = [f"result-{row.pk}" for row in results if row.job_id == first.job_id]
    for query, wanted in (
        ({"result": first.pk}, mine[:1]),
        ({"job": first.job_id}, mine),
        ({"submission": submission.pk}, [f"result-{row.pk}" for row in results]),
    ):
        for name in NAMES.values():
            page = shown(operator.get(reverse(name), query))
            assert tokens_in(page) == wanted
            assert f"Job {first.job_id}, picture 1" in page
            assert not InputPicture.objects.exists(), "looking stores nothing"
    for address, asked in (
        (reverse("picture", args=[first.pk]), f"result={first.pk}"),
        (reverse("job", args=[first.job_id]), f"job={first.job_id}"),
        (reverse("submission", args=[submission.pk]), f"submission={submission.pk}"),
    ):
        page = shown(operator.get(address))
        assert f'href="/new/video/?{asked}"' in page
        assert f'href="/new/edit/?{asked}"' in page


def test_a_result_becomes_an_input_without_a_copy(operator: Client, results: list[OutputImage]) -> None:
    first = results[0]
    post(operator, act="submit", image=[f"result-{first.pk}"])
    [row] = InputPicture.objects.all()
    assert (row.from_output, row.sha256, row.by) == (first, first.sha256, "otto")
    assert not path_of(row.sha256).exists()
    assert not input_root().exists()
    assert records()[-1].inputs[0].sha256 == first.sha256
    page = shown(operator.get(reverse("job", args=[first.job_id])))
    assert "became" in page


def test_a_result_whose_file_is_gone_is_refused_by_its_name(
    operator: Client, results: list[OutputImage]
) -> None:
    file = file_of(results[0].path)
    assert file is not None
    file.unlink()
    packs = PromptPack.objects.count()
    page = shown(post(operator, act="submit", image=[f"result-{results[0].pk}"]))
    [words] = beside(page, "images")
    assert words.startswith(f"Picture 1 of job {results[0].job_id} cannot be read")
    assert (Submission.objects.count(), PromptPack.objects.count()) == (1, packs)


def test_the_bar_of_the_history_leads_there_with_what_is_marked_or_matches(
    operator: Client, results: list[OutputImage]
) -> None:
    page = shown(operator.get(reverse("history")))
    assert re.search(r'<button[^>]*value="gather"[^>]*formaction="/new/video/"', page)
    jobs = list(Job.objects.order_by("id").values_list("pk", flat=True))
    sent = {"act": "gather", "job": jobs, "scope": "finished", "verb": ""}
    assert tokens_in(shown(operator.post(reverse("new-edit"), sent))) == [
        f"result-{row.pk}" for row in results
    ]
    everything = {"act": "gather", "all": "1", "filter-status": "COMPLETED"}
    assert set(tokens_in(shown(operator.post(reverse("new-video"), everything)))) == {
        f"result-{row.pk}" for row in results
    }
    none = operator.post(
        reverse("new-video"), {"act": "gather", "job": jobs[-1:], "next": "/history/"}, follow=True
    )
    assert none.redirect_chain == [("/history/", 302)]
    assert "None of these jobs has a picture to go on with" in shown(none)


def test_of_more_results_than_a_form_takes_the_first_are_taken_and_it_is_said(
    operator: Client, results: list[OutputImage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(new_work, "MAX_PICTURES", 1)
    page = shown(operator.get(reverse("new-video"), {"submission": Submission.objects.get().pk}))
    assert tokens_in(page) == [f"result-{results[0].pk}"]
    assert "these are the first 1." in page


def test_films_and_failures_are_offered_no_further_work(operator: Client, results: list[OutputImage]) -> None:
    film, _, _ = run_film()
    [output] = film.results
    for address in (reverse("picture", args=[output.pk]), reverse("job", args=[film.pk])):
        assert "/new/video/?" not in shown(operator.get(address))
    assert "/new/video/?" not in shown(operator.get(reverse("submission", args=[film.record.submission_id])))
    failed = Job.objects.get(status="FAILED")
    assert "/new/video/?" not in shown(operator.get(reverse("job", args=[failed.pk])))
    page = shown(operator.get(reverse("new-video"), {"result": output.pk, "job": film.pk}))
    assert tokens_in(page) == []
    assert beside(page, "images") == [
        "One of the pictures is not known, or no finished job's result. Choose again."
    ]


def test_viewers_are_offered_no_further_work(client: Client, results: list[OutputImage]) -> None:
    client.force_login(make_user("vera"))
    for name, number in (("picture", results[0].pk), ("job", results[0].job_id)):
        assert "/new/video/" not in shown(client.get(reverse(name, args=[number])))


# --- words ------------------------------------------------------------------------------------------------------


def test_pages_of_films_say_films(operator: Client) -> None:
    film, _, _ = run_film()
    account = shown(operator.get(reverse("job-account", args=[film.pk])))
    assert "It made 1 film on" in account
    page = shown(operator.get(reverse("submission", args=[film.record.submission_id])))
    assert ">1 film</span>" in page
    assert "so far" not in page
    assert "for 1 film<" in page
    assert "with 1 film." in shown(operator.get(reverse("job", args=[film.pk])))


def test_a_submission_of_pictures_and_films_counts_both(operator: Client) -> None:
    image, film = make_pack(), make_pack(kind="i2v", text=film_text("one", "two"))
    for number in (1, 2):
        InputPicture.objects.create(
            sha256=f"{number:064x}", size_bytes=1, width_px=1, height_px=1, format="PNG", name="x"
        )
    builds = [BuiltPack(one, build(source_of(one), BuildOptions(build_seed=1))) for one in (image, film)]
    made = submit_packs(builds).submission
    page = shown(operator.get(reverse("submission", args=[made.pk])))
    assert re.search(r"for \d+ pictures? and 2 films", page), re.findall(r"for [^<]*film[^<]*", page)
    assert "0 pictures so far" in page


def test_the_note_about_simulators_names_three_of_them(operator: Client) -> None:
    note = "Results of {} come from the built-in simulator, not from real models."
    for name in ("alpha", "beta", "gamma"):
        make_node(name, simulated=True)
    assert note.format("alpha, beta and gamma") in shown(operator.get(reverse("queue")))
    make_node("omega", simulated=True)
    assert note.format("alpha, beta, gamma and 1 more") in shown(operator.get(reverse("queue")))
