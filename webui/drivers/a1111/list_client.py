"""What a WebUI tells of itself, over HTTP: settings and lists, and having it look at its disk again."""

from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter

from webui.drivers.a1111 import listings
from webui.http.connection import WebUIConnection

_NOTHING = TypeAdapter(object)
_SD_MODELS = TypeAdapter(list[listings.SdModel])
_SD_VAES = TypeAdapter(list[listings.SdVae])
_SD_MODULES = TypeAdapter(list[listings.SdModule])
_SAMPLERS = TypeAdapter(list[listings.ListedSampler])
_SCHEDULERS = TypeAdapter(list[listings.Scheduler])
_UPSCALERS = TypeAdapter(list[listings.Upscaler])
_LORAS = TypeAdapter(list[listings.Lora])
_EMBEDDINGS = TypeAdapter(listings.Embeddings)
_NAMED = TypeAdapter(list[listings.Named])
_SCRIPTS = TypeAdapter(listings.Scripts)
_DETECTORS = TypeAdapter(listings.DetectorNames)
_VERSION = TypeAdapter(listings.Version)
_OPTIONS = TypeAdapter(listings.ServerOptions)
_MEMORY = TypeAdapter(listings.Memory)
_CMD_FLAGS = TypeAdapter(listings.CmdFlags)


class WebUILists(WebUIConnection):
    """Each raises WebUIEndpointMissingError on a WebUI that has no such list."""

    def options(self) -> listings.ServerOptions:
        return self.call("GET", "/sdapi/v1/options", _OPTIONS)

    def set_options(self, options: Mapping[str, Any]) -> None:
        """Changes them for everybody and for good; a checkpoint belongs in `override_settings` instead."""
        self.call(
            "POST",
            "/sdapi/v1/options",
            _NOTHING,
            json=dict(options),
            timeout_s=self.timeouts.queued_s,
        )

    def sd_models(self) -> list[listings.SdModel]:
        return self.call("GET", "/sdapi/v1/sd-models", _SD_MODELS)

    def sd_vae(self) -> list[listings.SdVae]:
        """Not on Forge, which has `sd_modules` instead."""
        return self.call("GET", "/sdapi/v1/sd-vae", _SD_VAES)

    def sd_modules(self) -> list[listings.SdModule]:
        """Only on Forge."""
        return self.call("GET", "/sdapi/v1/sd-modules", _SD_MODULES)

    def samplers(self) -> list[listings.ListedSampler]:
        return self.call("GET", "/sdapi/v1/samplers", _SAMPLERS)

    def schedulers(self) -> list[listings.Scheduler]:
        return self.call("GET", "/sdapi/v1/schedulers", _SCHEDULERS)

    def upscalers(self) -> list[listings.Upscaler]:
        return self.call("GET", "/sdapi/v1/upscalers", _UPSCALERS)

    def latent_upscale_modes(self) -> list[listings.Named]:
        return self.call("GET", "/sdapi/v1/latent-upscale-modes", _NAMED)

    def face_restorers(self) -> list[listings.Named]:
        return self.call("GET", "/sdapi/v1/face-restorers", _NAMED)

    def scripts(self) -> listings.Scripts:
        return self.call("GET", "/sdapi/v1/scripts", _SCRIPTS)

    def adetailer_models(self) -> listings.DetectorNames:
        """Only where the ADetailer extension is installed."""
        return self.call("GET", "/adetailer/v1/ad_model", _DETECTORS)

    def detailers(self) -> list[listings.Named]:
        """Only on SD.Next."""
        return self.call("GET", "/sdapi/v1/detailers", _NAMED)

    def version(self) -> listings.Version:
        """Only on SD.Next."""
        return self.call("GET", "/sdapi/v1/version", _VERSION)

    def loras(self) -> list[listings.Lora]:
        return self.call("GET", "/sdapi/v1/loras", _LORAS)

    def embeddings(self) -> listings.Embeddings:
        return self.call("GET", "/sdapi/v1/embeddings", _EMBEDDINGS)

    def memory(self) -> listings.Memory:
        return self.call("GET", "/sdapi/v1/memory", _MEMORY)

    def cmd_flags(self) -> listings.CmdFlags:
        return self.call("GET", "/sdapi/v1/cmd-flags", _CMD_FLAGS)

    # Look at the disk again; these wait for the running request.

    def refresh_checkpoints(self) -> None:
        self._refresh("refresh-checkpoints")

    def refresh_vae(self) -> None:
        self._refresh("refresh-vae")

    def refresh_embeddings(self) -> None:
        self._refresh("refresh-embeddings")

    def refresh_loras(self) -> None:
        self._refresh("refresh-loras")

    def _refresh(self, name: str) -> None:
        self.call("POST", f"/sdapi/v1/{name}", _NOTHING, timeout_s=self.timeouts.queued_s)
