"""Every path that the simulator answers, and what those about settings and life cycle do."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from webui.simulator import adetailer, generation_endpoints, progress_endpoints
from webui.simulator.answers import SimulatedAnswer, json_answer
from webui.simulator.dialects import Dialect
from webui.simulator.parameters import parsed
from webui.simulator.pictures import decoded, text_of
from webui.simulator.simulation import Endpoint, Handler, ReceivedRequest, Simulation

API = "/sdapi/v1"
STOP_AFTER_S = 3.0
HOME = b"<!doctype html><title>WebUI simulator</title><p>A simulated image server; its API is at /sdapi/v1."


# --- settings and checkpoints -------------------------------------------------------------------------


def get_options(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    """With one of its own where it makes up what it is asked for: its lists are then no proof of a lack."""
    own = {"simulator_any_name": True} if simulation.catalog.installed.any_name else {}
    return json_answer(simulation.options.shown() | own)


def set_options(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    """Waits for the running job and the load only where the checkpoint or the VAE changes."""
    schema = simulation.schema
    wanted = schema.as_object(schema.body_value(request.content_type, request.body))
    options = simulation.options
    if wanted.get("sd_model_checkpoint") is not None:
        checkpoint = options.checkpoint_named(wanted["sd_model_checkpoint"])
        with simulation.turns:
            simulation.checkpoints.load(checkpoint)
    elif "sd_vae" in wanted and wanted["sd_vae"] != options.values["sd_vae"]:
        with simulation.turns:
            pass
    for name, value in wanted.items():
        options.set(name, value)
    return json_answer(None)


def unload_checkpoint(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    simulation.checkpoints.unload()
    return json_answer({})


def reload_checkpoint(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    simulation.checkpoints.wait_until_loaded(simulation.options.checkpoint)
    return json_answer({})


def sd_models(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    shown = [checkpoint.shown() for checkpoint in simulation.checkpoints.all]
    if not simulation.dialect.tells_config:
        shown = [entry | {"config": None} for entry in shown]
    return json_answer(shown)


def scripts(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    return json_answer({kind: simulation.catalog.scripts(kind) for kind in ("txt2img", "img2img")})


def cmd_flags(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    """All flags, with the password in clear: so does the real server, where its own types let it."""
    settings = simulation.settings
    flags = simulation.dialect.document("cmd_flags") | {
        "port": settings.port,
        "api_auth": settings.api_auth,
        "api_server_stop": settings.api_server_stop,
        "ckpt": simulation.checkpoints.all[0].path,
    }
    return json_answer(simulation.schema.response("Flags", {"port": {"type": "string"}}, flags))


def png_info(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    """The text of a picture, whole and as fields."""
    fields = simulation.read("png-info", request)
    text = text_of(decoded(fields["image"]))
    items = {name: value for name, value in text.items() if name != "parameters"}
    return json_answer(
        {"info": text.get("parameters", ""), "items": items, "parameters": parsed(text.get("parameters", ""))}
    )


# --- life cycle ---------------------------------------------------------------------------------------


def server_stop(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    """The socket closes after a few seconds; jobs that are already queued are finished first."""

    def stop() -> None:
        time.sleep(STOP_AFTER_S)
        simulation.stop_listening()
        while simulation.turns.busy:
            time.sleep(0.05)
        time.sleep(0.2)
        simulation.journal.end("server-stop", 0)
        os._exit(0)

    threading.Thread(target=stop, daemon=True).start()
    return SimulatedAnswer(200, b"Stopping.", None)


def server_kill(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    simulation.journal.request(request.method, request.path, request.body, None)
    simulation.journal.end(request.path.rpartition("/")[2], 0)
    os._exit(0)


def server_restart(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    """Only where a wrapper promised to start the server again; it does so by seeing exit code 0."""
    if not os.environ.get("SD_WEBUI_RESTART"):
        return SimulatedAnswer(501, b"", None)
    return server_kill(simulation, request)


# --- fixed answers ------------------------------------------------------------------------------------


def _recorded(name: str) -> Handler:
    return lambda simulation, request: json_answer(simulation.catalog.document[name])


def _fixed(value: Any) -> Handler:
    return lambda simulation, request: json_answer(value)


def _told(tell: Callable[[Simulation], Any]) -> Handler:
    return lambda simulation, request: json_answer(tell(simulation))


def _in_turn(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    with simulation.turns:
        return json_answer(None)


def _home(simulation: Simulation, request: ReceivedRequest) -> SimulatedAnswer:
    return SimulatedAnswer(200, HOME, "text/html; charset=utf-8")


RAM = {"free": 24300830720.0, "used": 975679488, "total": 25276510208.0}
QUEUE_STATUS = {
    "msg": "estimation",
    "rank": None,
    "queue_size": 0,
    "avg_event_process_time": 0.0,
    "avg_event_concurrent_process_time": None,
    "rank_eta": None,
    "queue_eta": 1.0,
}


def all_endpoints(
    dialect: Dialect, *, server_stop_allowed: bool, has_adetailer: bool = False
) -> dict[str, dict[str, Endpoint]]:
    """Path, then method. The stop, kill and restart paths exist only with `--api-server-stop`."""
    gets: dict[str, Handler] = {
        "progress": progress_endpoints.progress,
        "options": get_options,
        "cmd-flags": cmd_flags,
        "samplers": _recorded("samplers"),
        "schedulers": _recorded("schedulers"),
        "upscalers": lambda simulation, request: json_answer(simulation.catalog.shown_upscalers()),
        "latent-upscale-modes": _recorded("latent_upscale_modes"),
        "face-restorers": _recorded("face_restorers"),
        "realesrgan-models": _recorded("realesrgan_models"),
        "scripts": scripts,
        "script-info": lambda simulation, request: json_answer(simulation.catalog.shown_script_info()),
        "sd-models": sd_models,
        dialect.vae_path: lambda simulation, request: json_answer(simulation.catalog.shown_vaes()),
        "hypernetworks": _fixed([]),
        "prompt-styles": _fixed([]),
        "extensions": _fixed([]),
        "embeddings": lambda simulation, request: json_answer(simulation.catalog.shown_embeddings()),
        "memory": _fixed({"ram": RAM, "cuda": {"error": "unavailable"}}),
    }
    posts: dict[str, Handler] = {
        "options": set_options,
        "interrupt": progress_endpoints.interrupt,
        "skip": progress_endpoints.skip,
        "png-info": png_info,
        "refresh-checkpoints": _in_turn,
        "refresh-vae": _in_turn,
        "refresh-embeddings": _in_turn,
        "unload-checkpoint": unload_checkpoint,
        "reload-checkpoint": reload_checkpoint,
    }
    if server_stop_allowed:
        posts |= {"server-stop": server_stop, "server-kill": server_kill, "server-restart": server_restart}
    generations: dict[str, Handler] = {
        "txt2img": generation_endpoints.txt2img,
        "img2img": generation_endpoints.img2img,
        "extra-single-image": generation_endpoints.extra_single_image,
        "extra-batch-images": generation_endpoints.extra_batch_images,
    }
    table: dict[str, dict[str, Endpoint]] = {}
    for name, handler in gets.items():
        table.setdefault(f"{API}/{name}", {})["GET"] = Endpoint(handler)
    for name, handler in posts.items():
        table.setdefault(f"{API}/{name}", {})["POST"] = Endpoint(handler)
    for name, handler in generations.items():
        table[f"{API}/{name}"] = {"POST": Endpoint(handler, is_generation=True)}
    shown_loras = Endpoint(
        lambda simulation, request: json_answer(simulation.catalog.shown_loras()), is_open=True
    )
    home = Endpoint(_home, is_open=True)
    detailer = {
        "/adetailer/v1/ad_model": lambda simulation: {"ad_model": list(simulation.catalog.detectors)},
        "/adetailer/v1/version": lambda simulation: {"version": adetailer.VERSION},
    }
    if has_adetailer:
        table |= {path: {"GET": Endpoint(_told(tell), is_open=True)} for path, tell in detailer.items()}
    return table | {
        f"{API}/loras": {"GET": shown_loras},
        f"{API}/refresh-loras": {"POST": Endpoint(_fixed(None), is_open=True)},
        "/internal/ping": {"GET": Endpoint(_fixed({}), is_open=True)},
        "/internal/pending-tasks": {"GET": Endpoint(progress_endpoints.pending_tasks, is_open=True)},
        "/internal/progress": {"POST": Endpoint(progress_endpoints.internal_progress, is_open=True)},
        "/queue/status": {"GET": Endpoint(_fixed(QUEUE_STATUS), is_open=True)},
        "/": {"GET": home, "HEAD": home},
    }
