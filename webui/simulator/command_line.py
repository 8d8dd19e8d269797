"""The command line of the simulator: what it takes, and the sentences that it refuses with."""

from __future__ import annotations

import argparse
from pathlib import Path

from webui.simulator import arguments, boot_faults, faults, switchboard
from webui.simulator.catalog import ANY_NAME, Installed
from webui.simulator.dialects import A1111, DIALECTS
from webui.simulator.fault_rules import Rule
from webui.simulator.simulation import Settings

PROGRAM = "python -m webui.simulator"
KINDS = ("i2v", "edit")
DEFAULT_CHECKPOINT = "simulated-v1"


def kind_of(words: list[str] | None) -> str | None:
    """The kind of worker that is asked for, None for a WebUI; the rest of the words is not looked at."""
    parser = argparse.ArgumentParser(prog=PROGRAM, add_help=False, allow_abbrev=False)
    parser.add_argument("--kind", choices=KINDS)
    kind: str | None = parser.parse_known_args(words)[0].kind
    return kind


def parse(words: list[str] | None) -> Settings:
    """Exits with code 2 and one sentence where an argument is wrong."""
    given = _parser().parse_args(words)
    return Settings(
        port=given.port,
        seconds_per_step=given.seconds_per_step,
        boot_seconds=given.boot_seconds,
        load_seconds=given.load_seconds,
        checkpoints=tuple(given.checkpoint or [DEFAULT_CHECKPOINT]),
        installed=_installed(given),
        api_auth=given.api_auth,
        api_server_stop=given.api_server_stop,
        fragile_start=given.fragile_start,
        dialect=DIALECTS[given.dialect],
        journal=arguments.for_port(given.journal, given.port),
        faults=tuple(given.fault or ()),
        fault_file=arguments.for_port(given.fault_file, given.port),
    )


def _installed(given: argparse.Namespace) -> Installed:
    return Installed(
        loras=tuple(given.lora or ()),
        vaes=tuple(given.vae or ()),
        embeddings=tuple(given.embedding or ()),
        skipped_embeddings=tuple(given.skipped_embedding or ()),
        upscalers=tuple(given.upscaler or ()),
        bare_upscalers=tuple(given.upscaler_without_weights or ()),
        detectors=None if given.detector is None else tuple(given.detector),
        face_restorers=tuple(given.face_restorer or ()),
        adetailer=given.adetailer or given.detector is not None,
        any_name=ANY_NAME if given.any_name else frozenset(),
    )


EPILOG = """\
rules of --fault and --fault-file: KIND@WHICH or KIND~WORD
  WHICH     * (all), or numbers and ranges with commas between: 3 or 2-6 or 2,4,7-
            They count the generation requests of the journal, or its starts, over restarts too.
  ~WORD     the requests whose prompt contains WORD
  KIND=S    seconds, for kinds that take them: slow=0.5@*
  once ...  before a rule: it acts once in the life of the journal; `once:LABEL ...` tells two alike apart

kinds that strike generation requests:
{requests}

kinds of lies (200, and something is not as it was asked for):
{lies}

kinds that strike starts:
{starts}

example: python -m webui.simulator --port 7860 --seconds-per-step 0.1 --fault die@3"""


def _kinds(meanings: dict[str, str]) -> str:
    return "\n".join(f"  {name:<24} {meaning}" for name, meaning in meanings.items())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=(
            "An image server for trying things out without a graphics card. It speaks the API of\n"
            "AUTOMATIC1111's WebUI or of Forge (/sdapi/v1) on 127.0.0.1 and draws a landscape for every\n"
            "request: the same request and seed give the same picture. Stop it with Ctrl-C.\n"
            "With --kind i2v or --kind edit it is a worker of films or edits instead: see --kind i2v --help."
        ),
        epilog=EPILOG.format(
            requests=_kinds({name: kind.meaning for name, kind in faults.BREAKING.items()}),
            lies=_kinds({name: kind.meaning for name, kind in faults.LYING.items()}),
            starts=_kinds({name: kind.meaning for name, kind in boot_faults.KINDS.items()}),
        ),
    )
    add = parser.add_argument
    add(
        "--port",
        type=arguments.port,
        default=7860,
        help="TCP port; 0 takes a free one, printed at start (default 7860)",
    )
    add(
        "--dialect",
        choices=list(DIALECTS),
        default=A1111.name,
        help="whose words and ways: A1111's WebUI 1.9, or Forge f2.0.1 (default a1111)",
    )
    add(
        "--seconds-per-step",
        type=arguments.seconds,
        default=0.0,
        metavar="S",
        help="time of one sampling step (default 0)",
    )
    add(
        "--boot-seconds",
        type=arguments.seconds,
        default=0.0,
        metavar="S",
        help="time before the port opens (default 0)",
    )
    add(
        "--load-seconds",
        type=arguments.seconds,
        default=0.0,
        metavar="S",
        help="time to load a checkpoint (default 0)",
    )
    add(
        "--checkpoint",
        action="append",
        type=arguments.name,
        metavar="NAME",
        help="an installed checkpoint; repeatable, the first is loaded at start",
    )
    add("--lora", action="append", type=arguments.name, metavar="NAME", help="an installed LoRA; repeatable")
    add("--vae", action="append", type=arguments.name, metavar="NAME", help="an installed VAE; repeatable")
    add(
        "--embedding",
        action="append",
        type=arguments.name,
        metavar="NAME",
        help="a loaded embedding; repeatable",
    )
    add(
        "--skipped-embedding",
        action="append",
        type=arguments.name,
        metavar="NAME",
        help="an embedding that does not fit the checkpoint: listed, and words to a prompt; repeatable",
    )
    add(
        "--upscaler",
        action="append",
        type=arguments.name,
        metavar="NAME",
        help="an upscaler whose weights are here, of the recorded list or another; repeatable",
    )
    add(
        "--upscaler-without-weights",
        action="append",
        type=arguments.name,
        metavar="NAME",
        help="an upscaler that is listed and resizes plainly, beside the recorded ones; repeatable",
    )
    add(
        "--detector",
        action="append",
        type=arguments.name,
        metavar="NAME",
        help="ADetailer with this detector instead of its own; repeatable",
    )
    add(
        "--face-restorer",
        action="append",
        choices=["GFPGAN", "CodeFormer"],
        help="a face restorer that has its model; without it faces stay as they are",
    )
    add(
        "--api-auth",
        type=_credentials,
        metavar="USER:PASSWORD",
        help="ask for these credentials (HTTP Basic)",
    )
    add("--api-server-stop", action="store_true", help="offer server-stop, server-kill and server-restart")
    add(
        "--fragile-start",
        action="store_true",
        help="die of an HTTP request in the first 400 ms after the port opens, as real servers do",
    )
    add(
        "--any-name",
        action="store_true",
        help="have whatever a request names: checkpoint, LoRA, VAE, upscaler, detector, face restorer",
    )
    add(
        "--adetailer",
        action="store_true",
        help="have the ADetailer extension installed: passes over faces, hands and persons",
    )
    add(
        "--journal",
        type=Path,
        metavar="FILE",
        help="append one JSON line per event to this file; {port} in its name stands for the port",
    )
    add(
        "--fault",
        action="append",
        type=_fault,
        metavar="RULE",
        help="break a generation request or a start; repeatable, rules below",
    )
    add(
        "--fault-file",
        type=Path,
        metavar="FILE",
        help="more rules, one a line, read anew for every request and start; {port} as above",
    )
    return parser


def _credentials(text: str) -> str:
    if not all(":" in entry for entry in text.split(",")):
        raise argparse.ArgumentTypeError("write it as user:password")
    return text


def _fault(text: str) -> Rule:
    try:
        return switchboard.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
