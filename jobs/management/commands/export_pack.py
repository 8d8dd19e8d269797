"""`manage.py export_pack NAME`: write a pack back to its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from jobs.cli import AnsweringCommand, CommandAnswer, CommandRefused
from jobs.errors import RecordChangedError
from jobs.inputs.store import open_input
from jobs.models import PackRevision
from jobs.packs.export import write_pack
from jobs.packs.film_export import export_films
from jobs.packs.kinds import IMAGE
from jobs.packs.pack import parse_pack
from jobs.submitting.importing import current_revision
from jobs.submitting.submission import source_of
from webui.words import count


class Command(AnsweringCommand):
    help = (
        "Write the current revision of an imported pack to NAME.txt and NAME.json, byte for byte. Importing these "
        "files again gives the same revision and the same records. A pack of films or edits becomes a list "
        "(NAME.jsonl), its settings with every value written out (NAME.json), and a folder with its pictures."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME", help="an imported pack")
        parser.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="default: this folder")
        parser.add_argument(
            "--as-imported",
            action="store_true",
            help="of films and edits: settings as they were imported, without the values that are defaults",
        )
        parser.add_argument("--force", action="store_true", help="replace files with other content")

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        revision = current_revision(options["name"])
        source = source_of(revision)
        if source.kind != IMAGE:
            return _films(revision, options)
        try:
            paths = write_pack(source, options["to"].expanduser(), force=options["force"])
        except OSError as exc:
            raise CommandRefused.saying(_why_not_written(exc), "export") from exc
        answer = CommandAnswer(
            {
                "pack": source.pack_id,
                "revision": revision.number,
                "sha256": source.sha256,
                "files": [str(path) for path in paths],
                "errors": [],
            }
        )
        for path in paths:
            answer.line(f"{source.pack_id}, revision {revision.number}: {path}")
        return answer


def _why_not_written(error: OSError) -> str:
    return f"{error.filename} cannot be written: {error.strerror}." if error.filename else str(error)


def _films(revision: PackRevision, options: Mapping[str, Any]) -> CommandAnswer:
    source = source_of(revision)
    try:
        made = export_films(
            parse_pack(source),
            options["to"].expanduser(),
            open_input,
            as_imported=options["as_imported"],
            force=options["force"],
        )
    except OSError as exc:
        raise CommandRefused.saying(_why_not_written(exc), "export") from exc
    except RecordChangedError as exc:
        raise CommandRefused.saying(str(exc), "export") from exc
    answer = CommandAnswer(
        {
            "pack": source.pack_id,
            "revision": revision.number,
            "sha256": source.sha256,
            "files": [str(path) for path in made.paths],
            "pictures": made.pictures,
            "same_revision": made.is_same,
            "errors": [],
        }
    )
    for path in made.paths:
        answer.line(f"{source.pack_id}, revision {revision.number}: {path}")
    answer.line(f"{count(made.pictures, 'picture')} in {source.pack_id}.pictures.")
    if not made.is_same:
        answer.line(
            "These files hold more than was imported, so importing them makes a new revision with the same settings."
        )
    return answer
