"""How long tests wait for a fact before they give up: no bound of anything, only the end of a broken test."""

from __future__ import annotations

#: For whatever a process must do before anything can be asserted: no test waits less.
PATIENCE_S = 120.0
