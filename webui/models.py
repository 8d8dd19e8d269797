"""The table of WebUI servers: where each one is, how it is started, and what its keeper last saw.

Two writers, by column: the keeper writes what it observes and does; everybody else writes only a wish.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from webui.kinds import WorkKind, server_noun
from webui.words import ServerNoun


class NodeState(models.TextChoices):
    """What the keeper last saw. FAILED and UNREACHABLE are never final: the keeper goes on trying."""

    STOPPED = "STOPPED", "Stopped"
    STARTING = "STARTING", "Starting"
    READY = "READY", "Ready"
    RESTARTING = "RESTARTING", "Restarting"
    FAILED = "FAILED", "Failed"
    UNREACHABLE = "UNREACHABLE", "Unreachable"


class Wish(models.TextChoices):
    """What somebody asks the keeper to do; empty = nothing asked."""

    RUN = "run", "Run"
    STOP = "stop", "Stop"
    RESTART = "restart", "Restart"


class Node(models.Model):
    """One WebUI server.

    A node with a `start_command` is managed: its keeper starts, watches and restarts the process. One
    without is attached: somebody else keeps it running, we only use and watch it.
    """

    name = models.SlugField(max_length=50, unique=True)
    base_url = models.URLField(max_length=500)
    start_command = models.TextField(blank=True, help_text="Shell-like command line; empty = attached.")
    working_directory = models.CharField(max_length=500, blank=True)
    api_auth = models.CharField(
        max_length=200,
        blank=True,
        help_text="user:password of --api-auth; never shown on a page or in a bundle.",
    )
    restart_command = models.TextField(
        blank=True,
        help_text="For an attached server: what restarts it (systemctl, docker); empty = its API, or nothing.",
    )
    driver = models.CharField(
        max_length=32, default="a1111", help_text="How it is spoken to: a folder of webui.drivers."
    )
    kind = models.CharField(
        max_length=8, choices=WorkKind, default=WorkKind.IMAGE, help_text="What it takes."
    )
    card = models.CharField(
        max_length=64,
        blank=True,
        help_text="Its graphics card: nodes with the same card never run at the same time. Empty = its own.",
    )
    simulated = models.BooleanField(default=False, help_text="The embedded simulator serves this node.")
    created_at = models.DateTimeField(default=timezone.now)

    # --- written by the keeper only ---
    state = models.CharField(max_length=16, choices=NodeState, default=NodeState.STOPPED)
    state_reason = models.TextField(blank=True, help_text="One sentence: why it is in this state.")
    state_since = models.DateTimeField(default=timezone.now)
    generation = models.PositiveIntegerField(default=0, help_text="Counts the boots of this WebUI.")
    restarts = models.PositiveIntegerField(default=0)
    failed_starts = models.PositiveSmallIntegerField(
        default=0, help_text="Tries that failed since it was last READY."
    )
    last_ready_at = models.DateTimeField(null=True, blank=True)
    checkpoint = models.CharField(max_length=300, blank=True, help_text="Loaded checkpoint as last reported.")
    ram_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="Of its processes, as last measured or told; empty = not known."
    )
    vram_used_bytes = models.BigIntegerField(
        null=True, blank=True, help_text="Of its graphics card, by whomever; empty = not known."
    )
    vram_total_bytes = models.BigIntegerField(null=True, blank=True)
    adopted_foreign = models.BooleanField(
        default=False, help_text="A WebUI that we did not start answers at the address: used, not restarted."
    )
    pid = models.PositiveIntegerField(null=True, blank=True)
    process_start_ticks = models.BigIntegerField(
        null=True, blank=True, help_text="When it started, in clock ticks since the machine's boot."
    )
    boot_id = models.CharField(
        max_length=64, blank=True, help_text="The machine's boot that the pid belongs to."
    )
    nonce = models.CharField(
        max_length=32, blank=True, help_text="In the environment of the process we started."
    )
    log_directory = models.CharField(
        max_length=500, blank=True, help_text="stdout.log and stderr.log of this boot."
    )

    # --- written by everybody else ---
    wish = models.CharField(max_length=8, choices=Wish, blank=True)
    wish_generation = models.PositiveIntegerField(null=True, blank=True)
    wish_by = models.CharField(max_length=150, blank=True)
    wish_reason = models.CharField(max_length=300, blank=True)
    wish_after_job = models.BooleanField(
        default=False, help_text="The restart may wait until the running job has ended."
    )
    wish_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.CheckConstraint(condition=Q(state__in=NodeState.values), name="node_state_known"),
            models.CheckConstraint(condition=Q(wish="") | Q(wish__in=Wish.values), name="node_wish_known"),
        )

    def __str__(self) -> str:
        return self.name

    @property
    def managed(self) -> bool:
        """We start and stop its process ourselves."""
        return bool(self.start_command)

    @property
    def noun(self) -> ServerNoun:
        """What its server is called in a sentence."""
        return server_noun(self.kind)

    @property
    def auth(self) -> tuple[str, str] | None:
        """Credentials for HTTP Basic, or None where the API is open."""
        user, separator, password = self.api_auth.partition(":")
        return (user, password) if separator else None


class Boot(models.Model):
    """One generation of a node's WebUI, from its start to its end; written by the keeper only."""

    node = models.ForeignKey(Node, on_delete=models.CASCADE, related_name="boots")
    generation = models.PositiveIntegerField()
    begun_at = models.DateTimeField(default=timezone.now)
    begun_because = models.TextField(blank=True, help_text="One sentence: why it was started or taken over.")
    pid = models.PositiveIntegerField(null=True, blank=True)
    ready_at = models.DateTimeField(null=True, blank=True, help_text="Empty = it never became READY.")
    ended_at = models.DateTimeField(
        null=True, blank=True, help_text="Empty = it runs, or nobody saw its end."
    )
    ended_because = models.TextField(blank=True)

    class Meta:
        ordering = ("-node_id", "-generation")
        constraints = (models.UniqueConstraint(fields=("node", "generation"), name="boot_generation_once"),)

    def __str__(self) -> str:
        return f"{self.node.name} generation {self.generation}"


class NodeCatalog(models.Model):
    """What a node's server had when it was last asked (`webui.work.catalog.Catalog`); kept over restarts."""

    node = models.OneToOneField(Node, on_delete=models.CASCADE, related_name="catalog")
    document = models.TextField(blank=True, help_text="The catalog as JSON; empty = never read.")
    dialect = models.CharField(
        max_length=32, blank=True, help_text="What kind of server it found itself to be."
    )
    generation = models.PositiveIntegerField(default=0, help_text="The boot that was asked.")
    read_at = models.DateTimeField(null=True, blank=True)
    wanted_at = models.DateTimeField(
        null=True, blank=True, help_text="Somebody wants it read again; empty = nobody does."
    )
    wanted_because = models.CharField(max_length=300, blank=True)
    problem = models.CharField(max_length=300, blank=True, help_text="Why it could not be read last time.")

    def __str__(self) -> str:
        return f"catalog of {self.node.name}"
