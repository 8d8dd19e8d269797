"""Input pictures on disk and in the database: equal bytes once, and nothing that changed is used."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import pytest
from django.db import close_old_connections, connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings

from jobs.errors import InputNotKeptError, InputRefusedError, RecordChangedError
from jobs.inputs import store
from jobs.inputs.facts import InputFacts, read_input
from jobs.inputs.store import keep, keep_result, keep_results, open_input, path_of
from jobs.models import InputPicture, OutputImage
from jobs.queue.storage import output_root
from tests.factories import make_pack, make_runner, submit
from tests.integration.finished_jobs import complete
from tests.sample_pictures import picture, png_of

ROOT = Path(__file__).resolve().parents[2]

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def inputs(settings: Settings, tmp_path: Path) -> Path:
    settings.STABLENEW_OUTPUT_DIR = tmp_path / "outputs"
    settings.STABLENEW_INPUT_DIR = tmp_path / "inputs"
    return tmp_path / "inputs"


def kept(content: bytes, name: str = "cat.png", by: str = "") -> InputPicture:
    return keep(content, read_input(content, name), name=name, by=by)


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def output(settings: Settings) -> OutputImage:
    """An accepted result whose file is there."""
    submit(make_pack())
    job = complete(make_runner())
    row = job.outputs.get()
    content = picture(7)
    path = Path(settings.STABLENEW_OUTPUT_DIR) / "day/1/made.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return OutputImage.objects.create(
        job=job,
        attempt=row.attempt,
        stage="upscale",
        stage_index=1,
        image_index=0,
        path="day/1/made.png",
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content),
        width_px=96,
        height_px=64,
    )


def test_a_picture_is_kept_under_its_hash_for_this_user_alone(inputs: Path) -> None:
    before = os.umask(0)
    try:
        row = kept(content := picture(), by="ada")
    finally:
        os.umask(before)
    assert (row.name, row.by, row.format, row.width_px, row.height_px) == ("cat.png", "ada", "PNG", 96, 64)
    assert (row.sha256, row.size_bytes) == (hashlib.sha256(content).hexdigest(), len(content))
    assert files(inputs) == [f"{row.sha256[:2]}/{row.sha256}"]
    assert open_input(row.sha256) == content
    found = [stat.S_IMODE(path.stat().st_mode) for path in (inputs, path_of(row.sha256).parent)]
    assert (*found, stat.S_IMODE(path_of(row.sha256).stat().st_mode)) == (0o700, 0o700, 0o600)


def test_the_same_bytes_twice_are_one_file_and_one_row_with_the_first_name(inputs: Path) -> None:
    first, again = kept(picture(), "cat.png", "ada"), kept(picture(), "copy of cat.png", "bob")
    assert first.pk == again.pk
    assert (again.name, again.by) == ("cat.png", "ada")
    assert len(files(inputs)) == InputPicture.objects.count() == 1


def test_the_same_bytes_from_eight_threads_at_once_are_one_file_and_one_row(inputs: Path) -> None:
    content = picture(size=(640, 512))
    facts = read_input(content, "cat.png")
    barrier, rows, failures = threading.Barrier(8), [], []

    def give() -> None:
        barrier.wait()
        try:
            rows.append(keep(content, facts, name="cat.png").pk)
        except Exception as exc:  # noqa: BLE001 - whatever it is, the test tells it
            failures.append(exc)
        finally:
            connection.close()

    threads = [threading.Thread(target=give) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    close_old_connections()
    assert failures == []
    assert len(rows) == 8
    assert len(set(rows)) == 1
    assert files(inputs) == [f"{facts.sha256[:2]}/{facts.sha256}"]
    assert open_input(facts.sha256) == content


def test_two_commands_at_once_store_the_same_folder_once(tmp_path: Path) -> None:
    cats = tmp_path / "cats"
    cats.mkdir()
    for number in range(20):
        (cats / f"{number}.png").write_bytes(picture(number))
    env = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    env["STABLENEW_DATA_DIR"] = str(tmp_path / "data")

    def command(*words: str) -> subprocess.Popen[str]:
        run = [sys.executable, "manage.py", *words]
        return subprocess.Popen(
            run, env=env, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )

    migrated = command("migrate", "-v0")
    told = migrated.communicate()[0]
    assert migrated.returncode == 0, told
    submit_it = ("submit_pack", str(cats), "--kind", "i2v", "--prompt", "it breathes", "--submit-anyway")
    both = [command(*submit_it), command(*submit_it)]
    try:
        told = "".join([process.communicate()[0] for process in both])
    finally:
        for process in both:
            process.kill()
    assert [process.returncode for process in both] == [0, 0], told
    with contextlib.closing(sqlite3.connect(tmp_path / "data/stablenew.sqlite3")) as database:
        counts = [
            database.execute(f"SELECT count(*) FROM jobs_{table}").fetchone()[0]  # noqa: S608
            for table in ("inputpicture", "packrevision", "job")
        ]
    assert counts == [20, 1, 40]
    assert len(files(tmp_path / "data/inputs")) == 20


@pytest.mark.parametrize("how", ["removed", "changed"])
def test_a_picture_that_is_not_what_was_kept_is_refused_until_it_is_given_again(how: str) -> None:
    row = kept(content := picture())
    path = path_of(row.sha256)
    path.unlink() if how == "removed" else path.write_bytes(picture(1))
    with pytest.raises(RecordChangedError) as caught:
        open_input(row.sha256)
    assert caught.value.code == "RECORD_CHANGED"
    words = "is missing" if how == "removed" else "no longer has the hash"
    assert f"The input picture cat.png {words}" in str(caught.value)
    assert kept(content).pk == row.pk
    assert open_input(row.sha256) == content


def test_a_picture_that_nobody_gave_is_refused() -> None:
    with pytest.raises(RecordChangedError, match="There is no input picture 0000"):
        open_input("0" * 64)


def test_a_folder_that_is_gone_makes_no_picture_missing_for_good(inputs: Path) -> None:
    row = kept(picture())
    inputs.rename(inputs.with_name("elsewhere"))
    with pytest.raises(FileNotFoundError):
        open_input(row.sha256)
    with pytest.raises(InputNotKeptError, match="is not there"):
        kept(picture(1))
    assert not inputs.exists()
    inputs.with_name("elsewhere").rename(inputs)
    assert open_input(row.sha256) == picture()


def test_bytes_that_are_not_those_of_the_facts_are_not_kept(inputs: Path) -> None:
    facts = read_input(picture(), "cat.png")
    with pytest.raises(InputNotKeptError, match=r"cat\.png changed while it was read"):
        keep(picture(1), facts, name="cat.png")
    assert not InputPicture.objects.exists()
    assert not inputs.exists()


def test_a_disk_that_takes_no_file_is_told_and_leaves_no_row(
    inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_file", full)
    with pytest.raises(InputNotKeptError, match="No space left on device"):
        kept(picture())
    assert not InputPicture.objects.exists()


def test_a_result_becomes_an_input_without_a_copy(inputs: Path, output: OutputImage) -> None:
    row = keep_result(output, by="ada")
    assert (row.from_output, row.sha256, row.name) == (output, output.sha256, "made.png")
    assert not inputs.exists()
    assert open_input(output.sha256) == picture(7)
    assert keep_result(output).pk == row.pk
    # The same picture comes as an upload: it is there already.
    assert kept(picture(7)).pk == row.pk
    assert not inputs.exists()


@pytest.mark.parametrize("how", ["removed", "changed"])
def test_a_result_that_is_not_what_was_accepted_is_no_input(
    settings: Settings, output: OutputImage, how: str
) -> None:
    path = Path(settings.STABLENEW_OUTPUT_DIR) / output.path
    content = path.read_bytes()
    row = keep_result(output)
    path.unlink() if how == "removed" else path.write_bytes(picture(1))
    with pytest.raises(RecordChangedError):
        open_input(output.sha256)
    with pytest.raises(InputRefusedError, match=f"Picture 1 of job {output.job_id} "):
        keep_result(output)
    # Somebody who has it gives it: then there is a file.
    assert kept(content).pk == row.pk
    assert open_input(output.sha256) == content


def test_an_output_folder_that_is_gone_makes_no_input_missing_for_good(
    settings: Settings, output: OutputImage
) -> None:
    keep_result(output)
    shutil.rmtree(settings.STABLENEW_OUTPUT_DIR)
    with pytest.raises(FileNotFoundError):
        open_input(output.sha256)


def test_facts_of_a_picture_are_its_row() -> None:
    row = kept(picture(kind="JPEG"))
    facts = InputFacts(row.sha256, row.size_bytes, row.width_px, row.height_px, row.format)
    assert facts == read_input(picture(kind="JPEG"), "cat.png")


def test_first_pictures_that_come_at_once_do_not_miss_the_folder_that_another_one_makes(
    inputs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(folder: Path) -> bool:
        """No, and before the answer is used the other picture is stored."""
        monkeypatch.undo()
        keep(picture(1), read_input(picture(1), "1.png"), name="1.png")
        return False

    monkeypatch.setattr(Path, "is_dir", look)
    keep(picture(2), read_input(picture(2), "2.png"), name="2.png")
    assert InputPicture.objects.count() == 2


def test_many_results_become_inputs_in_as_many_queries_as_few(output: OutputImage) -> None:
    runner = make_runner()

    def queries(pictures: int) -> int:
        submit()
        job = complete(runner, pictures=pictures)
        root = Path(output_root())
        for number, one in enumerate(OutputImage.objects.filter(job=job)):
            content = picture(10 * pictures + number)
            (root / one.path).write_bytes(content)
            with connection.cursor() as cursor:
                cursor.execute(
                    "UPDATE jobs_outputimage SET sha256 = %s WHERE id = %s",
                    [hashlib.sha256(content).hexdigest(), one.pk],
                )
        outputs = list(OutputImage.objects.filter(job=job))
        with CaptureQueriesContext(connection) as caught:
            assert keep_results(outputs, by="ada") == []
        assert InputPicture.objects.filter(from_output__job=job, by="ada").count() == pictures
        return len(caught)

    assert queries(3) == queries(12)


def test_a_made_picture_whose_data_ends_early_is_no_input(settings: Settings, output: OutputImage) -> None:
    """Its check may have been told to let everything pass."""
    content = png_of(zlib.compress(bytes(32 * (1 + 3 * 96))), (96, 64))
    (Path(settings.STABLENEW_OUTPUT_DIR) / output.path).write_bytes(content)
    output.sha256 = hashlib.sha256(content).hexdigest()
    [refusal] = keep_results([output])
    assert "pixel data ends after 50 % of the picture" in str(refusal)
    assert not InputPicture.objects.exists()
