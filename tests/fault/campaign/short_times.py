"""The settings of an installation under fire."""

from __future__ import annotations

#: Times of the real system, shortened by its own settings.
SETTINGS = {
    "STABLENEW_SETTLE_S": "0.2",
    "STABLENEW_READY_TIMEOUT_S": "60",
    "STABLENEW_STOP_GRACE_S": "2",
    "STABLENEW_SIMULATE_WORKERS": "off",
    "STABLENEW_HANG_IDLE_S": "3.5",
    "STABLENEW_HANG_BUSY_S": "3",
    "STABLENEW_HANG_STEP_S": "4",
    "STABLENEW_HANG_PHASE_S": "5",
    "STABLENEW_FILM_DEADLINE_S": "60",
    "STABLENEW_STAGE_DEADLINE_S": "60",
    "STABLENEW_JOB_DEADLINE_S": "240",
    "STABLENEW_LEASE_S": "6",
    "STABLENEW_LEASE_RENEW_S": "1",
    "STABLENEW_FOREIGN_LEASE_S": "8",
    "STABLENEW_CANCEL_GRACE_S": "3",
    "STABLENEW_QUIET_S": "4",
    "STABLENEW_DEAF_S": "6",
    "STABLENEW_DEAF_SUSPECT_S": "3",
    "STABLENEW_BREAKER_PAUSE_S": "3",
    "STABLENEW_BREAKER_MAX_PAUSE_S": "6",
    "STABLENEW_LOG_LEVEL": "INFO",
}
#: Beside them, where workers serve: a load that hangs is found by this alone.
OF_WORKERS = {"STABLENEW_READY_TIMEOUT_S": "25"}
