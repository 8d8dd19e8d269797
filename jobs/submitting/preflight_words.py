"""What a check before the submission found, in sentences for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from jobs.errors import RecordProblem
from jobs.packs.findings import row_ranges
from jobs.submitting.preflight import Apart, Doubt, Finding, NodeView, OnMissing, Preflight, RowsOfPack
from webui.typed_command import typed
from webui.words import count, duration, listed
from webui.work.catalog import Need

NO_NODE = "There is no node for these records yet, so it is not known whether one has what they need."
_HOMELESS = {
    "i2v": "There is no node for films yet: they wait until a worker is added.",
    "edit": "There is no node for edits yet: they wait until a worker is added.",
}
#: Packs whose rows one sentence names.
MAX_PACKS = 3


def sentences(found: Preflight, now: datetime) -> list[str]:
    """Everything that was found: what no node can run, what only some can, then what is not known."""
    told = _grouped(found, [one for one in found.findings if one.is_nowhere])
    told += [apart_words(one) for one in found.apart]
    told += _grouped(found, [one for one in found.findings if not one.is_nowhere])
    return [*told, *map(doubt_words, found.doubts), *not_known(found, now)]


def summary(found: Preflight) -> str:
    """That records cannot run, as one sentence; empty where all can."""
    if not found.held:
        return ""
    who = f"{found.only} cannot" if found.only else "No node can"
    if not found.held_all:
        return f"{who} run {len(found.held):,} of {count(found.records, 'record')}."
    return f"{who} run any of these records." if found.records > 1 else f"{who} run this record."


def rendered_words(found: Preflight) -> str:
    """How many were rendered already; empty for none."""
    if not found.rendered:
        return ""
    if found.rendered < found.records:
        were = "was" if found.rendered == 1 else "were"
        return f"{found.rendered:,} of {count(found.records, 'record')} {were} rendered already."
    return "All these records were rendered already." if found.records > 1 else "It was rendered already."


def _grouped(found: Preflight, findings: Sequence[Finding]) -> list[str]:
    """One sentence for all things of a kind that the same records need and the same nodes lack."""
    groups: dict[Finding, list[Finding]] = {}
    for one in findings:
        alike = replace(one, need=Need(one.need.thing, ""), nearest="")
        groups.setdefault(alike, []).append(one)
    return [finding_words(group, found.only) for group in groups.values()]


def finding_words(alike: Sequence[Finding], only: str = "") -> str:
    """`LoRA foo is on no node: 312 records, rows 4–9 of harbour; nearest: foo_v2.`"""
    one = alike[0]
    where = f"{count(one.records, 'record')}, {where_words(one.where)}"
    whys = "".join(f" On {node}: {why.rstrip('.')}." for node, why in one.whys)
    if len(alike) == 1:
        nearest = f"; nearest: {one.nearest}" if one.nearest else ""
        told = f"{one.need.thing} {one.need.name} is {_who_has(one, only)}"
    else:
        nearest = ""
        names = (x.need.name + (f" (nearest: {x.nearest})" if x.nearest else "") for x in alike)
        told = f"{one.need.thing}s {listed(names)} are {_who_has(one, only)}"
    return f"{told[:1].upper()}{told[1:]}: {where}{nearest}.{whys}{_runs_on(one)}"


def _who_has(one: Finding, only: str) -> str:
    """`on no node`, `on A, not on B and not known of C`; what is listed and cannot be used is `of no use on`."""
    there = one.useless
    if one.is_nowhere and not only:
        return "of no use on any node" if there else "on no node"
    absent = [node for node in one.lacking if node not in there]
    parts = [f"on {listed(one.having)}"] if one.having else []
    parts += [f"not on {listed(absent)}"] if absent else []
    parts += [f"of no use on {listed(there)}"] if there else []
    parts += [f"not known of {listed(one.unknown)}"] if one.unknown else []
    return listed(parts)


def _runs_on(one: Finding) -> str:
    """Where those of the records run that can; nothing where that goes without saying."""
    if not one.free or one.is_nowhere:
        return ""
    who = "They" if one.records > 1 else "It"
    runs = "run" if one.records > 1 else "runs"
    if one.free < one.records:
        who, runs = f"{one.free:,} of them", "run" if one.free > 1 else "runs"
    return f" {who} {runs} on {listed(one.runs_on)} alone."


def apart_words(one: Apart) -> str:
    """Each thing is on some node, and all of them on none."""
    lacks = "; ".join(f"{node} lacks {listed(map(str, missing))}" for node, missing in one.lacks)
    needs = "needs" if one.records == 1 else "need"
    records = f"{count(one.records, 'record')} ({where_words(one.where)})"
    return f"{records} {needs} what no single node has: {lacks}."


def doubt_words(one: Doubt) -> str:
    """`Upscaler R-ESRGAN 4x+ may not work on A: its list has...: 312 records.`"""
    name = f"{one.need.thing} {one.need.name}"
    told = f"{name[:1].upper()}{name[1:]} may not work on {listed(one.nodes)}"
    return f"{told} ({count(one.records, 'record')}): {one.why.rstrip('.')}."


def not_known(found: Preflight, now: datetime) -> list[str]:
    """Once for each kind of work without a node, and for each node of which nothing is known."""
    if found.only and found.homeless:
        told = [f"{found.only} takes other work, so none of these records runs there."]
    else:
        told = [_HOMELESS.get(kind, NO_NODE) for kind, _ in found.homeless]
    return told + [_not_known(node, now) for node in found.nodes if not node.is_known]


def _not_known(node: NodeView, now: datetime) -> str:
    if node.stands_in:
        return f"What {node.name} has is not known: it is the embedded simulator, which takes any name."
    problem = node.problem.rstrip(".")
    if node.read_at is None:
        because = f": {problem}" if problem else ""
        return f"What {node.name} has is not known: its lists have not been read yet{because}."
    age = duration((now - node.read_at).total_seconds())
    if problem:
        return f"What {node.name} has is not known: its lists are {age} old and could not be read again: {problem}."
    return f"What {node.name} has is not known: its lists are {age} old and are being read again."


def ages(found: Preflight, now: datetime) -> str:
    """How old the lists are that were looked at; empty where none was."""
    read = [(node.name, now - node.read_at) for node in found.nodes if node.is_known and node.read_at]
    told = ", ".join(f"{name} {duration(age.total_seconds())} ago" for name, age in read)
    return f"Lists read: {told}." if told else ""


def remedy() -> str:
    """What to do about records that no node can run, on a command line."""
    return (
        "Add what is missing, correct the pack, leave those records out (--leave-out-missing), or queue them all the "
        f"same (--submit-anyway). Read a node's lists again with {typed('node catalog NAME --refresh')}."
    )


def where_words(where: Sequence[RowsOfPack]) -> str:
    """`rows 4–9 of harbour, row 2 of castles and 3 other packs`."""
    told = ", ".join(f"{row_ranges(one.rows)} of {one.pack}" for one in where[:MAX_PACKS])
    more = len(where) - MAX_PACKS
    return f"{told} and {count(more, 'other pack')}" if more > 0 else told


def why_refused(found: Preflight, on_missing: OnMissing) -> list[RecordProblem]:
    """Each thing that is on no node, where that is to stop the submission or leaves nothing of it; else nothing."""
    stops = on_missing is OnMissing.STOP or (on_missing is OnMissing.LEAVE_OUT and found.held_all)
    if not found.held or not stops:
        return []
    told = [(finding_words([one]), one.where) for one in found.findings if one.is_nowhere]
    told += [(apart_words(one), one.where) for one in found.apart]
    return [
        RecordProblem(
            code="missing_on_nodes",
            message=words,
            pack=where[0].pack if len(where) == 1 else "",
            rows=where[0].rows if len(where) == 1 else (),
        )
        for words, where in told
    ]
