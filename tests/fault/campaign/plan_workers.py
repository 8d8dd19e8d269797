"""What strikes workers of films and edits: faults of their own, and those of WebUIs that both can meet. Pure."""

from __future__ import annotations

from tests.fault.campaign.plan import KINDS, Group, Kind, by_rule

PHASES = ("prepare", "encode", "denoise", "decode", "save")
FILMS = "i2v"


def _in_each_phase(name: str) -> Kind:
    return by_rule(name, *(f"{name}-{phase}@*" for phase in PHASES))


def _at_start(name: str, *rules: str) -> Kind:
    return Kind(name, Group.SIMULATOR, rules or (f"{name}@*",))


_OWN: tuple[Kind, ...] = (
    by_rule("refused"),
    by_rule("busy", "busy@*", "busy@*;busy@*;busy@*"),
    by_rule("missing-input"),
    by_rule("failed"),
    by_rule("input"),
    _in_each_phase("oom"),
    _in_each_phase("die"),
    _in_each_phase("hang"),
    by_rule("slow", "slow=0.3@*"),
    by_rule("drop", "drop@*", "drop-poll@*", "drop-result@*"),
    by_rule("forget"),
    by_rule("gone"),
    by_rule("truncated", "truncated@*", "torn@*", "wrong-hash@*"),
    by_rule("wrong-size"),
    by_rule("wrong-frames", only=FILMS),
    by_rule("wrong-rate", only=FILMS),
    by_rule("wrong-seed"),
    by_rule("frozen", only=FILMS),
    by_rule("flat"),
    _at_start("failed-load"),
    _at_start("die-load"),
    _at_start("hang-load"),
    _at_start("slow-start", "slow-load=3@*", "slow-boot=3@*"),
    Kind("no-boot", Group.SIMULATOR, ("1", "2", "3")),
    Kind("poison", Group.SIMULATOR),
    Kind("webui-killed-mid-job", Group.WEBUI, PHASES),
    Kind("webui-stands-still", Group.WEBUI),
    Kind(
        "cancel-under-fault",
        Group.OPERATOR,
        ("webui", "worker", "failed@*", "drop@*", "busy@*;busy@*", "hang-denoise@*", "hang-decode@*"),
    ),
)

WORKER_KINDS: tuple[Kind, ...] = (
    *_OWN,
    *(
        kind
        for kind in KINDS
        if kind.group is not Group.SIMULATOR and not kind.remote and kind.name not in {k.name for k in _OWN}
    ),
)
