"""The roles of people: which permissions make a viewer, an operator, an admin (`docs/roles.md`).

The groups of these names come from a migration; what each page asks for stands at its view.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType

from diagnostics.permissions import BUNDLE_PROMPTS, SEE_FAILURES
from jobs.pages.permissions import OPERATE
from webui.pages.node import CHANGE as STEER_NODES


class Role(StrEnum):
    """The names of the groups; each role may do what the one before it may."""

    VIEWER = "viewer"
    OPERATOR = "operator"
    ADMIN = "admin"


#: Tables that Django's admin shows to an admin, besides jobs, nodes and failures.
_TABLES = (
    "bulkaction",
    "historyentry",
    "jobrecord",
    "lifecycleevent",
    "outputimage",
    "packrevision",
    "promptpack",
    "queuecontrol",
    "runner",
    "stageattempt",
    "submission",
)
_LOOK = frozenset({"jobs.view_job", "webui.view_node"})
_ADMINISTER = frozenset(
    {
        STEER_NODES,
        SEE_FAILURES,
        BUNDLE_PROMPTS,
        "webui.view_boot",
        *(f"jobs.view_{table}" for table in _TABLES),
    }
)

#: Role -> permissions as `app.codename`.
ROLES: Mapping[Role, frozenset[str]] = MappingProxyType(
    {
        Role.VIEWER: _LOOK,
        Role.OPERATOR: _LOOK | {OPERATE},
        Role.ADMIN: _LOOK | {OPERATE} | _ADMINISTER,
    }
)
