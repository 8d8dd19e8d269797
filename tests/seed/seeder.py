"""Fill the database: submission after submission, in chunks that fit into memory."""

from __future__ import annotations

import random
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from jobs.building.builder import BuildOptions
from jobs.lifecycle import JobStatus
from jobs.models import Job, JobRecord, PromptPack, QueueControl, Runner, StageAttempt, Submission
from jobs.queue.breaker import note_crash_failure
from jobs.queue.enqueue import collector_paused
from jobs.queue.fitness import store_needs
from jobs.queue.trouble import note_failure
from jobs.records.needs import needs_of_all
from jobs.records.record import MAX_SEED, sha256_text
from jobs.running.attempts import checkpoints_of
from tests.seed.causes import out_of_memory, pick_cause
from tests.seed.inserts import after_all, in_bulk
from tests.seed.lives import BROKEN_AFTER_S, RESTARTING_S, Life
from tests.seed.moulds import Mould, casts, moulds
from tests.seed.plan import ATTENTION_SHARE, Act, Clock, Ends, Sizes, choose_act
from tests.seed.rows import Rows
from tests.seed.scene import GENERATIONS, Scene, make_scene
from tests.seed.traces import Cast
from webui.errors import WebUICheckpointError, crash_eligible
from webui.models import Node

#: Jobs between two commits.
CHUNK = 5_000
#: Share of the completed jobs that needed their retry.
RETRIED_SHARE = 0.02
#: Seconds of a run without a retry.
RUN_S = (3.0, 20.0)
#: Failures that are run again together, and the chance of it before each submission.
RERUNS, RERUN_CHANCE = 40, 0.5
#: Idempotency key of the first submission, by which a seeded database is known.
KEY = "seed"


class NotEmptyError(Exception):
    """The database holds jobs or packs already: only an empty one can be seeded."""


@dataclass(frozen=True, slots=True)
class Seeded:
    """What was made."""

    sizes: Sizes
    submissions: int
    reruns: int
    needs_attention: int


def is_seeded() -> bool:
    """The rows of this database are made up."""
    return Submission.objects.filter(key=KEY).exists()


def seed(
    sizes: Sizes, *, pictures: int = 0, on_progress: Callable[[int], None] = lambda done: None
) -> Seeded:
    """The same sizes make the same jobs, but for the time. `on_progress` hears how many jobs are written.

    `pictures`: the completed ones among so many newest finished jobs get real files. Raises `NotEmptyError`.
    """
    if Job.objects.exists() or JobRecord.objects.exists() or PromptPack.objects.exists():
        raise NotEmptyError
    rng = random.Random(1)
    now = timezone.now()
    with transaction.atomic():
        scene = make_scene(now, rng)
    seeder = _Seeder(sizes, scene, Clock(now, sizes), rng, pictures, on_progress)
    with collector_paused(), in_bulk():
        return seeder.run()


class _Seeder:
    """Counts and rows on their way; one use."""

    def __init__(
        self,
        sizes: Sizes,
        scene: Scene,
        clock: Clock,
        rng: random.Random,
        pictures: int,
        on_progress: Callable[[int], None],
    ) -> None:
        self._sizes = sizes
        self._scene = scene
        self._clock = clock
        self._rng = rng
        self._pictures = pictures
        self._on_progress = on_progress
        self._rows = Rows()
        self._ends = Ends(sizes, rng)
        self._jobs = self._records = self._submissions = self._reruns = 0
        self._counts: Counter[str] = Counter()
        #: Failures that nobody has run again, and how many of them are to stay so.
        self._unattended: deque[Life] = deque()
        self._stay = max(1, int(sizes.failed * ATTENTION_SHARE))
        #: By node, what its breaker has counted: crashes since the last job that it completed.
        self._crashes: defaultdict[int, list[tuple[str, datetime]]] = defaultdict(list)
        #: By node and checkpoint: what went wrong since the last job that completed with it there.
        self._troubles: defaultdict[tuple[Node, str], list[tuple[str, datetime]]] = defaultdict(list)

    def run(self) -> Seeded:
        sizes = self._sizes
        # A small database too has submissions of many packs and people.
        largest = max(3, sizes.jobs // 40)
        while self._jobs < sizes.finished:
            most = min(largest, sizes.finished - self._jobs)
            at = self._clock.finished_at(self._jobs)
            old = len(self._unattended) - self._stay
            if old >= RERUNS and self._rng.random() < RERUN_CHANCE:
                self._run_again(min(old, most), at - timedelta(minutes=5))
            else:
                self._submit(most, at - timedelta(minutes=10))
        while self._jobs < sizes.jobs:
            self._submit(
                min(largest, sizes.jobs - self._jobs), self._clock.queued_at(self._jobs - sizes.finished)
            )
        self._write()
        self._balance()
        return Seeded(sizes, self._submissions, self._reruns, len(self._unattended))

    # --- submissions -------------------------------------------------------------------------------

    def _submit(self, most: int, at: datetime) -> None:
        """One submission; its jobs have ended as long as there are finished ones to make, or wait."""
        self._submissions += 1
        act = choose_act(self._submissions, most, self._scene.packs, len(self._scene.users), self._rng)
        made, options = moulds(act.source, act.options, act.count)
        submission_id = self._submission(act, made, options, at)
        by = self._scene.users[act.user].get_username()
        needed = needs_of_all([mould.record for mould in made])
        ids = store_needs(needed)
        needs = {id(mould): ids[one.sha256] for mould, one in zip(made, needed, strict=True)}
        for mould, batch in casts(made, act.count):
            cast = self._cast(mould, batch, act, submission_id, needs[id(mould)])
            life = Life(self._rows, self._jobs + 1, cast, by, act.priority, at)
            life.submit(f', "submission": {submission_id}')
            self._live(life)

    def _submission(self, act: Act, made: Sequence[Mould], options: BuildOptions, at: datetime) -> int:
        revision = self._scene.revisions[act.source]
        request = {
            "pack": act.source.pack_id,
            "revision": act.source.sha256,
            "options": options.model_dump(mode="json"),
        }
        submission = Submission.objects.create(
            key=KEY if act.number == 1 else None,
            build_seed=options.build_seed,
            options=[request],
            job_count=act.count,
            image_count=sum(mould.record.images_per_prompt for mould, _ in casts(made, act.count)),
            submitted_by=self._scene.users[act.user],
            created_at=at,
        )
        submission.revisions.add(revision)
        return submission.pk

    def _cast(self, mould: Mould, batch: int, act: Act, submission_id: int, needs_id: int) -> Cast:
        self._records += 1
        seed, subseed = self._rng.randrange(MAX_SEED), self._rng.randrange(MAX_SEED)
        canonical, record = mould.record_text(seed, subseed, batch), mould.record
        sha256 = sha256_text(canonical)
        self._rows.records.append(
            (
                self._records,
                submission_id,
                self._scene.revisions[act.source].pk,
                canonical,
                sha256,
                record.prompt_pack_id,
                record.prompt_pack_row_index,
                record.base_model,
                record.sampler,
                seed,
                record.width,
                record.height,
                record.images_per_prompt,
            )
        )
        return Cast(self._records, record, seed, sha256, mould.facts_text(seed, batch), needs_id)

    def _run_again(self, count: int, at: datetime) -> None:
        by = self._scene.users[0].get_username()
        self._reruns += count
        for _ in range(count):
            old = self._unattended.popleft()
            life = Life(self._rows, self._jobs + 1, old.cast, by, old.priority, at, rerun_of=old.job_id)
            life.submit(f', "by": "{by}", "rerun_of": {old.job_id}')
            self._live(life)

    # --- how jobs go on ----------------------------------------------------------------------------

    def _live(self, life: Life) -> None:
        index = self._jobs
        if index >= self._sizes.finished:
            self._counts[JobStatus.QUEUED] += 1
            life.wait()
        else:
            self._finish(life, index)
        self._jobs += 1
        if self._jobs % CHUNK == 0:
            self._write()

    def _finish(self, life: Life, index: int) -> None:
        status, at = self._ends.next(), self._clock.finished_at(index)
        self._counts[status] += 1
        node = self._scene.nodes[index % len(self._scene.nodes)]
        if status is JobStatus.CANCELLED:
            life.cancel(at, by=self._scene.users[1].get_username())
        elif status is JobStatus.FAILED:
            self._fail(life, index, node, at)
            self._unattended.append(life)
        else:
            retried = self._rng.random() < RETRIED_SHARE
            self._begin(life, index, node, at, retried=retried)
            if retried:
                life.crash(out_of_memory(life.cast.record))
            life.run(at, with_files=self._sizes.finished - index <= self._pictures)
            life.complete(at)
            self._crashes[node.pk].clear()
            for checkpoint in checkpoints_of(life.cast.record):
                self._troubles.pop((node, checkpoint), None)

    def _fail(self, life: Life, index: int, node: Node, at: datetime) -> None:
        cause = pick_cause(self._rng)
        if cause is None:
            self._begin(life, index, node, at, retried=True)
            life.lose_worker(self._token())
            life.fail_for_its_worker(at)
            return
        error = cause(life.cast.record)
        crashed = crash_eligible(error)
        self._begin(life, index, node, at, retried=crashed)
        if crashed:
            life.crash(error)
        message = life.fail(error, at)
        checkpoint = life.cast.record.base_model
        if isinstance(error, WebUICheckpointError) and checkpoint:
            self._troubles[node, checkpoint].append((error.what, at))
        elif crashed or isinstance(error, WebUICheckpointError):
            self._crashes[node.pk].append((message, at))

    def _begin(self, life: Life, index: int, node: Node, ends_at: datetime, *, retried: bool) -> None:
        seconds = self._rng.uniform(*RUN_S) + (BROKEN_AFTER_S + RESTARTING_S if retried else 0)
        # One boot is left for the restart that a crash brings.
        generation = 1 + index * (GENERATIONS - 1) // self._sizes.finished
        life.claim(node, generation, self._token(), ends_at - timedelta(seconds=seconds))

    def _token(self) -> str:
        return f"{self._rng.getrandbits(128):032x}"

    # --- the database ------------------------------------------------------------------------------

    def _write(self) -> None:
        self._rows.write()
        self._on_progress(self._jobs)

    def _balance(self) -> None:
        """What is counted beside the jobs: ledger, next place in the queue, what needs attention, breakers."""
        counted = {str(status).lower(): self._counts[status] for status in JobStatus}
        QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID).update(
            **counted, submitted=self._jobs, next_position=self._jobs + 1, version=F("version") + 1
        )
        Job.objects.filter(needs_attention=True, reruns__isnull=False).update(needs_attention=False)
        for runner in Runner.objects.filter(node__in=self._crashes):
            for reason, at in self._crashes[runner.node_id]:
                note_crash_failure(runner.pk, reason, at)
        for (node, checkpoint), failures in self._troubles.items():
            for what, at in failures:
                with transaction.atomic():
                    note_failure(node, checkpoint, what, at)
        after_all((JobRecord, Job, StageAttempt))
