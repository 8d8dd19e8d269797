"""Wake-ups are signed with the secret key: a host with another one would send and take none, and say nothing of it."""

from __future__ import annotations

import hashlib

from django.conf import settings
from django.db import connection

from jobs.errors import OtherSecretKeyError
from jobs.models import QueueControl


def fingerprint() -> str:
    """Tells keys apart and leads back to none."""
    return hashlib.sha256(b"stablenew wake-ups\0" + settings.SECRET_KEY.encode()).hexdigest()[:32]


def prove_key(*, adopt: bool = False) -> None:
    """Raises `OtherSecretKeyError` where this database's wake-ups are signed with another key.

    `adopt` makes this host's key the one that counts. The first one does by itself, and so does any on an embedded
    database, which one machine uses.
    """
    control = QueueControl.objects.filter(pk=QueueControl.SINGLETON_ID)
    if adopt or connection.vendor == "sqlite":
        control.exclude(key_fingerprint=fingerprint()).update(key_fingerprint=fingerprint())
        return
    control.filter(key_fingerprint="").update(key_fingerprint=fingerprint())
    if not control.filter(key_fingerprint=fingerprint()).exists():
        raise OtherSecretKeyError
