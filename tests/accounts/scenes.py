"""What is made to fail, and how: real processes, each failure in a job of its own."""

from __future__ import annotations

import io
import signal
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.contract.simulator_process import SimulatorProcess
from tests.e2e.databases import shared_template
from tests.e2e.processes import worker
from tests.e2e.queueing import submit
from tests.e2e.recovering import add_faulty
from tests.e2e.stack import Stack
from tests.proxy import Interference, proxy_before

#: Short where only waiting would be shown; no breaker, because every job here is to fail.
SETTINGS = {
    "STABLENEW_HANG_BUSY_S": "5",
    "STABLENEW_HANG_IDLE_S": "8",
    "STABLENEW_QUIET_S": "5",
    "STABLENEW_BREAKER_FAILURES": "100",
    "STABLENEW_LOG_LEVEL": "INFO",
}
FAULTS = (
    "die~thunderstorm",
    "oom~panorama",
    "nan~snowfield",
    "hang~glacier",
    "wrong-checkpoint~portrait",
    "404-sampler~charcoal",
    "torn-picture~torn sky",
    "wrong-size~wide river",
    "slow=20~night ferry",
)


@dataclass(frozen=True, slots=True)
class Told:
    """One failure: its title, how it was brought about, what its bundle says, what a stranger understands of that."""

    title: str
    how: str
    readme: str
    understood: str


@dataclass(frozen=True, slots=True)
class Scene:
    title: str
    how: str
    understood: str
    play: Callable[[Stack], int]


def all_told() -> list[Told]:
    told = []
    with _installation() as stack:
        add_faulty(stack, *FAULTS, seconds_per_step=0.05)
        stack.start_node()
        stack.wait_ready()
        told += [_told(scene, stack) for scene in SCENES]
    with (
        _installation() as stack,
        tempfile.TemporaryDirectory() as folder,
        SimulatorProcess(Path(folder), "--seconds-per-step", "0.05") as simulator,
        proxy_before(simulator.url, always=Interference(504, after_s=0.5)) as proxy,
    ):
        stack.add_attached(proxy.url)
        stack.start_node("attached", "--drain", "10")
        stack.wait_ready("attached")
        told.append(_told(GATEWAY, stack))
    return told


@contextmanager
def _installation() -> Iterator[Stack]:
    with tempfile.TemporaryDirectory(prefix="stablenew-accounts-") as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        with shared_template(folder / "template") as template, template.copy(data) as database:
            stack = Stack(data, database, SETTINGS)
            try:
                yield stack
            finally:
                stack.stop()
                stack.sweep()


def _told(scene: Scene, stack: Stack) -> Told:
    print(scene.title, flush=True)
    job_id = scene.play(stack)
    path = stack.folder / f"job-{job_id}.zip"
    stack.manage("jobs", "bundle", job_id, "--output", path)
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        readme = archive.read("README.txt").decode()
    return Told(scene.title, scene.how, readme, scene.understood)


# --- the scenes ---------------------------------------------------------------------------------------------


def _failing(prompt: str, **options: object) -> Callable[[Stack], int]:
    def play(stack: Stack) -> int:
        [job_id] = submit(stack, f"pack_{prompt.split()[0]}", f"a {prompt}\nneg: blurry\n", **options)
        stack.wait_job(job_id, "FAILED", timeout_s=300)
        stack.wait_ready()
        return job_id

    return play


def _lose_worker_twice(stack: Stack) -> int:
    [job_id] = submit(stack, "ferry", "a night ferry\nneg: blurry\n")
    for _ in range(2):
        stack.wait_until(lambda: _runs(stack, job_id), "its request is under way")
        worker(stack).send_signal(signal.SIGKILL)
        stack.wait_until(lambda: not _runs(stack, job_id), "its worker is judged lost")
    stack.wait_job(job_id, "FAILED", timeout_s=300)
    stack.wait_ready()
    return job_id


def _runs(stack: Stack, job_id: int) -> bool:
    open_attempts = "SELECT 1 FROM jobs_stageattempt a JOIN jobs_job j ON j.id = a.job_id"
    return bool(
        stack.sql(f"{open_attempts} WHERE j.id = {job_id} AND j.status = 'RUNNING' AND a.outcome = ''")
    )


def _output_folder_is_gone(stack: Stack) -> int:
    # Where no picture has ever been kept, the folder would just be made.
    [before] = submit(stack, "boats", "some boats\nneg: blurry\n")
    stack.wait_job(before, "COMPLETED", timeout_s=300)
    outputs = stack.folder / "outputs"
    outputs.rename(stack.folder / "moved")
    [job_id] = submit(stack, "harbour", "a harbour\nneg: blurry\n")
    stack.wait_until(
        lambda: stack.sql("SELECT storage_reason FROM jobs_runner") != [("",)], "the queue is held"
    )
    return job_id


SCENES = (
    Scene(
        "The WebUI dies, and dies again in the retry",
        "a WebUI that ends at the first step of this picture (simulator: die)",
        "The WebUI's process ended while it drew, twice, with this very picture; its log is in the bundle. "
        "Look there for the reason, then run the job again.",
        _failing("thunderstorm"),
    ),
    Scene(
        "The graphics card has too little memory",
        "a WebUI that answers 500, out of memory (simulator: oom)",
        "The picture does not fit into the memory, and a restart did not help. Make it smaller, or free memory.",
        _failing("panorama"),
    ),
    Scene(
        "The model computes no numbers",
        "a WebUI that answers 500 NansException (simulator: nan)",
        "Checkpoint and VAE give NaN instead of a picture. Use another VAE, or start the WebUI with --no-half-vae.",
        _failing("snowfield"),
    ),
    Scene(
        "The WebUI stands still",
        "a WebUI that stops after the first step and never answers (simulator: hang; limits of 5 s)",
        "It stopped working on the picture without an error, also after a restart. Its log says what it did last.",
        _failing("glacier"),
    ),
    Scene(
        "Another checkpoint draws the picture",
        "a WebUI that answers 200 with another checkpoint's picture (simulator: wrong-checkpoint)",
        "The WebUI used another checkpoint than the job asked for, so the picture was refused. "
        "Both names are told; choose one that it lists.",
        _failing("portrait", overrides={"txt2img.model": "simulated-v1", "txt2img.steps": 2}),
    ),
    Scene(
        "The WebUI does not know the sampler",
        "a WebUI that answers 404 for the sampler (simulator: 404-sampler)",
        "The sampler's name is unknown to this WebUI. Choose one from its list; nothing else is wrong.",
        _failing("charcoal"),
    ),
    Scene(
        "Half a picture comes back",
        "a WebUI that answers 200 with a picture file that was cut (simulator: torn-picture)",
        "The WebUI sent a broken picture file twice; no half picture was kept as a result.",
        _failing("torn sky"),
    ),
    Scene(
        "The process that runs the job is killed twice",
        "the worker gets SIGKILL in the middle of the picture, and again in the retry",
        "It was not the WebUI: the process of StableNew that ran the job vanished twice, as when the system runs out "
        "of memory. worker_tail.log has its last lines; look into the machine's log too.",
        _lose_worker_twice,
    ),
    Scene(
        "The output folder is gone",
        "the folder of the pictures is moved away while the queue runs",
        "Nothing is wrong with the job. It waits until the folder is back, and then runs by itself.",
        _output_folder_is_gone,
    ),
)
GATEWAY = Scene(
    "A proxy answers in the WebUI's place",
    "a proxy in front of the WebUI that gives up after half a second and answers 504",
    "The WebUI may be well: a proxy in front of it waited too short. Raise its read timeout, or go around it.",
    lambda stack: _gateway(stack),
)


def _gateway(stack: Stack) -> int:
    [job_id] = submit(stack, "castle", "a castle\nneg: blurry\n")
    stack.wait_job(job_id, "FAILED", timeout_s=300)
    return job_id
