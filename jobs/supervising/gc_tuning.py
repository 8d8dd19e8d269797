"""Python's garbage collector in processes that live for days and make short-lived objects by the thousand."""

from __future__ import annotations

import gc

#: A page or a run makes some thousand small objects that live for moments; walking them all the time is for nothing.
COLLECT_AT = (20_000, 20, 20)


def calm_collector() -> None:
    """Call when everything is loaded: what is there now lives as long as the process and is never walked again.

    A full walk over what Django loads would hold up a page for a tenth of a second.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(*COLLECT_AT)
