"""Which function commits which kind of fault."""

from __future__ import annotations

from collections.abc import Callable

from tests.fault.campaign import (
    faults_machine,
    faults_operator,
    faults_ours,
    faults_simulator,
    faults_webui,
)
from tests.fault.campaign.installation import ConsoleError
from tests.fault.campaign.plan import KINDS, Card, Group
from tests.fault.campaign.plan_workers import WORKER_KINDS
from tests.fault.campaign.scene import Scene

#: Commits the fault on a node; one sentence, or None when its moment did not come.
Strike = Callable[[Scene, str, Card], str | None]

STRIKES: dict[str, Strike] = {
    **{
        kind.name: faults_simulator.by_rule
        for kind in (*KINDS, *WORKER_KINDS)
        if kind.group is Group.SIMULATOR
    },
    **dict.fromkeys(("failed-load", "die-load", "hang-load", "slow-start"), faults_simulator.at_start),
    "no-boot": faults_simulator.no_boot,
    "poison": faults_simulator.poison,
    "webui-killed-mid-job": faults_webui.killed_mid_job,
    "webui-killed-between-jobs": faults_webui.killed_between_jobs,
    "webui-killed-during-boot": faults_webui.killed_during_boot,
    "webui-stands-still": faults_webui.stands_still,
    "webui-restarted-by-hand": faults_webui.restarted_by_hand,
    "port-taken": faults_webui.port_taken,
    "kill-worker-idle": faults_ours.idle_worker,
    "kill-worker-busy": faults_ours.busy_worker,
    "kill-monitor": faults_ours.part_of("monitor"),
    "kill-pusher": faults_ours.part_of("pusher"),
    "kill-sentinel": faults_ours.sentinel,
    "kill-run-node": faults_ours.run_node,
    "kill-web-server": faults_ours.web_server,
    "kill-up": faults_ours.up,
    "kill-everything": faults_ours.everything,
    "term-group": faults_ours.term_group,
    "worker-frozen": faults_ours.frozen,
    "restart-now": faults_operator.restart_now,
    "restart-after-job": faults_operator.restart_after_job,
    "restart-during-recovery": faults_operator.restart_during_recovery,
    "stop-and-start": faults_operator.stop_and_start,
    "cancel-queued": faults_operator.cancel_queued,
    "cancel-running": faults_operator.cancel_running,
    "pause-and-resume": faults_operator.pause_and_resume,
    "cancel-under-fault": faults_operator.cancel_under_fault,
    "disk-full": faults_machine.disk_full,
    "folder-gone": faults_machine.folder_gone,
    "clock-step": faults_machine.clock_step,
    "suspended": faults_machine.suspended,
    "database-locked": faults_machine.database_locked,
    "connections-ended": faults_machine.connections_ended,
    "postgresql-restarted": faults_machine.server_restarted,
    "gateway": faults_machine.gateway,
    "vanished": faults_machine.vanished,
}


def inject(scene: Scene, node: str, card: Card) -> str | None:
    """What was done, or None when it could not be done now and may be tried again."""
    try:
        return STRIKES[card.kind.name](scene, node, card)
    except ConsoleError:
        return None
