"""What a worker answers, parsed at the door. Unknown fields are left alone: a newer worker may tell more."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter

LOADING: Final = "loading"
READY: Final = "ready"
FAILED: Final = "failed"
"""States of a worker."""

RUNNING_STATES: Final = frozenset({"queued", "running"})
DONE: Final = "done"
CANCELLED: Final = "cancelled"
"""States of a job."""

STEP_PHASE: Final = "denoise"
"""The phase that counts steps; the others show none."""
PHASES: Final = ("prepare", "encode", STEP_PHASE, "decode", "save")
"""In their order; a worker never goes back."""


class _Told(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class ToldMemory(_Told):
    """Bytes; None = the worker does not know."""

    ram_bytes: int | None = None
    vram_used_bytes: int | None = None
    vram_total_bytes: int | None = None


class ToldLora(_Told):
    """A LoRA that is part of the worker's model. `tensors` is how many it changed."""

    name: str
    target: str = ""
    tensors: int = 0


class ToldHealth(_Told):
    """`GET /health`, ready or not. `boot` is another one after each start."""

    state: str
    kind: str = ""
    boot: str = ""
    phase: str = ""
    reason: str = ""
    model: str = ""
    device: str = ""
    job: str | None = None
    loras: tuple[ToldLora, ...] = ()
    versions: dict[str, str | None] = Field(default_factory=dict)
    memory: ToldMemory | None = None
    simulated: bool = False


class ToldProblem(_Told):
    code: str = ""
    message: str = ""


class ToldResult(_Told):
    media_type: str = ""
    size_bytes: int
    sha256: str
    used: dict[str, Any] = Field(default_factory=dict)
    """Every parameter as it was truly used."""


class ToldJob(_Told):
    """`GET /jobs/<id>`. `step` of `steps` counts in the phase `STEP_PHASE`."""

    id: str
    state: str
    phase: str = ""
    step: int = 0
    steps: int = 0
    elapsed_s: float = 0.0
    error: ToldProblem | None = None
    result: ToldResult | None = None

    @property
    def runs(self) -> bool:
        return self.state in RUNNING_STATES


class ToldField(_Told):
    """One field of a job that the worker refuses."""

    field: str = ""
    message: str = ""


class ToldRefusal(_Told):
    """The object `error` of an answer that is none of 200 to 299."""

    code: str = ""
    message: str = ""
    fields: tuple[ToldField, ...] = ()
    job: str = ""
    """Of `busy`: the job that runs."""
    sha256: str = ""
    """Of `missing_input`."""

    @property
    def words(self) -> str:
        """Every wrong field with what is wrong; else the sentence."""
        told = "; ".join(f"{one.field}: {one.message}" for one in self.fields if one.message)
        return told or self.message or self.code


class ToldError(_Told):
    error: ToldRefusal


HEALTH: Final = TypeAdapter(ToldHealth)
JOB: Final = TypeAdapter(ToldJob)
ERROR: Final = TypeAdapter(ToldError)
