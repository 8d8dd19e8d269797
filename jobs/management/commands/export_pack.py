"""`manage.py export_pack NAME`: write a pack back to its files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandParser

from jobs.cli import AnsweringCommand, CommandAnswer, CommandRefused
from jobs.packs.export import write_pack
from jobs.submitting.importing import current_revision
from jobs.submitting.submission import source_of


class Command(AnsweringCommand):
    help = (
        "Write the current revision of an imported pack to NAME.txt and NAME.json, byte for byte. Importing these "
        "files again gives the same revision and the same records."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", metavar="NAME", help="an imported pack")
        parser.add_argument("--to", type=Path, default=Path(), metavar="FOLDER", help="default: this folder")
        parser.add_argument("--force", action="store_true", help="replace files with other content")

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        revision = current_revision(options["name"])
        source = source_of(revision)
        try:
            paths = write_pack(source, options["to"].expanduser(), force=options["force"])
        except OSError as exc:
            raise CommandRefused.saying(str(exc), "export") from exc
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
