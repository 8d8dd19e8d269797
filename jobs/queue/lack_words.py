"""Why jobs are held that no node has everything for, in words. Pure; the facts are of `jobs.queue.held_jobs`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from jobs.queue.held_jobs import Lacking
from jobs.queue.servers import Lack
from webui.typed_command import typed
from webui.words import count, listed

#: Things that one sentence names.
MAX_THINGS = 3


def reason(why: Lacking) -> str:
    """`No node has LoRA foo (nearest: foo_v2).`"""
    nowhere = _everywhere_missing(why)
    if not nowhere:
        lacks = "; ".join(f"{node} lacks {_things(missing)}" for node, missing in why.lacks)
        return f"No node has everything that it needs: {lacks}."
    return of_node(*why.lacks[0]) if len(why.lacks) == 1 else f"No node has {_things(nowhere)}."


def of_node(node: str, lacks: Sequence[Lack]) -> str:
    """`forge does not have LoRA foo (nearest: foo_v2).`"""
    return f"{node} does not have {_things(lacks)}."


def remedy(why: Lacking) -> str:
    """What a person may do about it."""
    if why.asked:
        return f"{_possessive(why.asked)} lists are being read again to make sure."
    nodes = [node for node, _ in why.lacks]
    refresh = typed(f"node catalog {nodes[0]} --refresh")
    return f"Add it and read the lists again ({refresh}), cancel the job, or let it run anyway."


def queue_text(found: Sequence[Lacking], jobs: int) -> str:
    """One sentence for all that are held: `312 jobs are held: no node has LoRA foo (nearest: foo_v2).`"""
    things = list(dict.fromkeys(item for one in found for item in _everywhere_missing(one)))
    are = "is" if jobs == 1 else "are"
    what = _things(things) if things else "everything that one of them needs"
    return f"{count(jobs, 'job')} {are} held: no node has {what}."


def queue_remedy(found: Sequence[Lacking]) -> str:
    asked = list(dict.fromkeys(node for one in found for node in one.asked))
    if asked:
        return f"{_possessive(asked)} lists are being read again to make sure."
    refresh = typed(f"node catalog {found[0].lacks[0][0]} --refresh")
    return (
        f"Add what is missing and read the lists again with {refresh}, cancel these jobs, or let them run anyway with "
        f"{typed('queue anyway')}."
    )


def _everywhere_missing(why: Lacking) -> list[Lack]:
    """What every one of these nodes lacks, as the first of them tells it."""
    first = why.lacks[0][1]
    others = [{(one.thing, one.name) for one in missing} for _, missing in why.lacks[1:]]
    return [one for one in first if all((one.thing, one.name) in other for other in others)]


def _things(missing: Iterable[Lack]) -> str:
    told = [_thing(one) for one in missing]
    more = len(told) - MAX_THINGS
    return listed([*told[:MAX_THINGS], *([count(more, "other thing")] if more > 0 else [])])


def _thing(one: Lack) -> str:
    note = one.why.rstrip(".") or (f"nearest: {one.nearest}" if one.nearest else "")
    return f"{one} ({note})" if note else str(one)


def _possessive(nodes: Sequence[str]) -> str:
    return f"{listed(nodes)}'s"
