"""What a WebUI tells about itself: settings, checkpoints, samplers, memory; names exactly as on the wire."""

from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, Field, SecretStr

from webui.drivers.a1111.schemas import Told, WireAnswer


class ServerOptions(WireAnswer):
    """The WebUI's settings; about 330 keys, of which those that we look at are typed."""

    sd_model_checkpoint: str | None = None
    sd_checkpoint_hash: str | None = None
    sd_vae: str | None = None
    CLIP_stop_at_last_layers: float | None = None
    samples_save: bool | None = None
    samples_format: str | None = None


class SdModel(WireAnswer):
    """A checkpoint. Hashes are None, and the title ends without one, until it was hashed once."""

    title: str
    model_name: str
    hash: str | None = None
    sha256: str | None = None
    filename: str = ""
    config: str | None = None


class SdVae(WireAnswer):
    model_name: str
    filename: str = ""


class SdModule(WireAnswer):
    """A VAE or text encoder of Forge."""

    model_name: str
    filename: str = ""


class ListedSampler(WireAnswer):
    name: str
    aliases: list[str] = Field(default_factory=list)
    options: dict[str, Any] = Field(default_factory=dict)


class Scheduler(WireAnswer):
    name: str
    label: str = ""
    aliases: list[str] | None = None
    default_rho: float | None = None
    need_inner_model: bool | None = None


class Upscaler(WireAnswer):
    """`model_path` is an address where the weights are to be downloaded, or were."""

    name: str
    model_name: str | None = None
    model_path: str | None = None
    model_url: str | None = None
    scale: float | None = None


class LoraMetadata(WireAnswer):
    """Of what its trainer wrote, which can be megabytes: only the hash of its weights and what it was made for."""

    model_config = ConfigDict(extra="ignore", frozen=True, protected_namespaces=())

    sshs_model_hash: Told[str] = None
    ss_sd_model_name: Told[str] = None


class Lora(WireAnswer):
    name: str
    alias: str | None = None
    path: str | None = None
    metadata: Told[LoraMetadata] = None


class Named(WireAnswer):
    name: str


class Scripts(WireAnswer):
    """Titles in lower case, by kind of request."""

    txt2img: list[str] = Field(default_factory=list)
    img2img: list[str] = Field(default_factory=list)


class DetectorNames(WireAnswer):
    ad_model: list[str]


class Version(WireAnswer):
    """How SD.Next names itself."""

    app: Told[str] = None
    updated: Told[str] = None
    commit: Told[str] = None
    hash: Told[str] = None


def _names(value: object) -> object:
    """SD.Next lists the names alone; the others tell something of each, which nobody needs."""
    return list(value) if isinstance(value, dict) else value


class Embeddings(WireAnswer):
    """Names; `skipped` do not fit the loaded checkpoint."""

    loaded: Annotated[list[str], BeforeValidator(_names)] = Field(default_factory=list)
    skipped: Annotated[list[str], BeforeValidator(_names)] = Field(default_factory=list)


class ToldMemoryUse(WireAnswer):
    """Bytes; `error` instead of numbers where the WebUI cannot tell."""

    free: float | None = None
    used: float | None = None
    total: float | None = None
    error: str | None = None


class CudaMemory(WireAnswer):
    system: ToldMemoryUse | None = None
    active: dict[str, float] | None = None
    allocated: dict[str, float] | None = None
    reserved: dict[str, float] | None = None
    inactive: dict[str, float] | None = None
    events: dict[str, float] | None = None
    error: str | None = None


class Memory(WireAnswer):
    ram: ToldMemoryUse | None = None
    cuda: CudaMemory | None = None


class CmdFlags(WireAnswer):
    """The WebUI's command line. It gives its passwords in clear; here they show only when asked for."""

    api: bool | None = None
    api_auth: SecretStr | None = None
    gradio_auth: SecretStr | None = None
    ngrok: SecretStr | None = None
    nowebui: bool | None = None
    api_server_stop: bool | None = None
