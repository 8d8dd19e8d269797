"""What an answer holds, on its way to being results: files first, then rows, which count once they are accepted."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from jobs.errors import UnusablePictureError
from jobs.models import OutputImage, StageAttempt
from jobs.queue.claims import Claim
from jobs.running.judging import Judged
from jobs.running.outputs import (
    WrittenResult,
    give_result_names,
    with_poster,
    write_film,
    write_picture,
)
from jobs.running.own_machine import write_patiently
from jobs.running.requests import Unit
from webui.kinds import result_noun, server_noun
from webui.work.told import PictureFacts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Keeping:
    """The results of one unit, made in the `number`-th execution of the job."""

    claim: Claim
    unit: Unit
    directory: Path
    number: int
    films: bool

    def write(self, contents: Sequence[bytes]) -> list[WrittenResult]:
        """Under the names of partial results. Raises `UnusablePictureError`, `StorageRun`."""
        return [self._write(image, one) for image, one in zip(self.unit.image_indexes, contents, strict=True)]

    def keep_partial(self, contents: Sequence[bytes]) -> None:
        """Half-made results of a stopped request stay on disk for the curious; they have no row."""
        for image, content in zip(self.unit.image_indexes, contents, strict=False):
            try:
                self._write(image, content)
            except (OSError, UnusablePictureError) as exc:
                logger.info("A partial result was not kept: %s", exc)

    def rows(
        self,
        attempt: StageAttempt,
        written: Sequence[WrittenResult],
        judged: Sequence[Judged],
        told: Sequence[PictureFacts],
    ) -> list[OutputImage]:
        """The rows of what was proved; its files have the names of results from here on. Raises `StorageRun`."""
        whole = [self._whole(one, seen) for one, seen in zip(written, judged, strict=True)]
        together = zip(self.unit.image_indexes, give_result_names(whole), judged, told, strict=True)
        return [self._row(attempt, *one) for one in together]

    def _write(self, image: int, content: bytes) -> WrittenResult:
        unit = self.unit
        stem = f"{unit.stage_index + 1}-{unit.stage.stage}-{image:03d}-run{self.number}"
        kind = self.claim.job.kind
        what = f"the {server_noun(kind)}'s {result_noun(kind)}"
        write = write_film if self.films else write_picture
        return write_patiently(self.directory, partial(write, self.directory, stem, content, what=what))

    def _whole(self, written: WrittenResult, judged: Judged) -> WrittenResult:
        film = judged.look.film
        if film is None:
            return written
        return write_patiently(self.directory, partial(with_poster, written, film))

    def _row(
        self,
        attempt: StageAttempt,
        image: int,
        written: WrittenResult,
        judged: Judged,
        told: PictureFacts,
    ) -> OutputImage:
        facts, film = judged.own.completed_by(told), judged.look.film
        return OutputImage(
            job_id=self.claim.job_id,
            attempt=attempt,
            stage=self.unit.stage.stage,
            stage_index=self.unit.stage_index,
            image_index=image,
            take=self.claim.job.take,
            path=written.path,
            sha256=written.sha256,
            size_bytes=written.size_bytes,
            width_px=written.width_px,
            height_px=written.height_px,
            seed=facts.seed,
            infotext=facts.infotext,
            frames=film.frames if film else None,
            fps=film.fps if film else None,
            duration_s=film.duration_s if film else None,
            poster_path=written.poster_path,
        )
