"""`python -m tests.seed`: a believable past and a long queue in an empty database, to measure or to look around."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandParser

from jobs.cli import AnsweringCommand, ArgumentsRefused, CommandAnswer, CommandRefused, progress_bar
from tests.seed.plan import Sizes
from tests.seed.seeder import NotEmptyError, seed
from webui.typed_command import typed


class Command(AnsweringCommand):
    help = (
        "Fill an EMPTY database with packs, people, nodes, submissions, finished and queued jobs, to measure pages or "
        "to try them at size. Nothing is rendered, and nobody can log in as the made-up people. Refuses a database "
        "that holds jobs or packs."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--queued", type=int, default=100_000, help="default: %(default)s")
        parser.add_argument("--finished", type=int, default=1_000_000, help="default: %(default)s")
        parser.add_argument("--failed", type=int, help="of the finished ones; default: 5 %%")
        parser.add_argument(
            "--pictures",
            type=int,
            default=0,
            metavar="N",
            help="draw small real pictures for the completed ones among the N newest finished jobs "
            "(takes about 0.1 s each; default: none, and the pages say that the files are gone)",
        )

    def answer(self, options: Mapping[str, Any]) -> CommandAnswer:
        for name in ("queued", "finished", "failed", "pictures"):
            if (options[name] or 0) < 0:
                raise ArgumentsRefused.saying(f"--{name} cannot be below 0.", "arguments")
        try:
            sizes = Sizes.of(options["queued"], options["finished"], options["failed"])
        except ValueError as exc:
            raise ArgumentsRefused.saying(str(exc), "arguments") from exc
        with progress_bar(shown=not options["json"]) as bar:
            task = bar.add_task("jobs", total=sizes.jobs)
            try:
                made = seed(
                    sizes,
                    pictures=options["pictures"],
                    on_progress=lambda done: bar.update(task, completed=done),
                )
            except NotEmptyError:
                raise CommandRefused.saying(
                    "This database holds jobs or packs, and made-up ones would stand among them. "
                    f"Seed an empty one: STABLENEW_DATA_DIR=/some/new/folder {typed('migrate')}, then seed.",
                    "not_empty",
                ) from None
        answer = CommandAnswer(asdict(made))
        answer.line(
            f"{sizes.queued:,} queued and {sizes.finished:,} finished jobs ({sizes.failed:,} failed, of which "
            f"{made.needs_attention:,} need attention; {sizes.cancelled:,} cancelled), from {made.submissions:,} "
            "submissions."
        )
        return answer
