"""What must not stand in a bundle: prompts of a job, those of its neighbours, and whatever names this installation."""

from __future__ import annotations

import os
import re
import socket
from base64 import b64encode
from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import quote, unquote, urlsplit

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import connection
from pydantic import ValidationError

from diagnostics.bundle.door import Door
from diagnostics.bundle.our_words import our_words
from jobs.models import Job, JobRecord, LifecycleEvent, OutputImage, StageAttempt
from jobs.queue.identity import host_identity
from jobs.records.reading import read_record
from webui.evidence.redaction import GENERIC_NAMES, Secrets, names_of_node, secrets_in, secrets_of
from webui.models import Node
from webui.work.infotext import parse_infotext

#: Jobs before this one on its nodes, whose requests a log may repeat, and people and nodes that are looked at.
NEIGHBOURS: Final = 20
MOST_ROWS: Final = 1_000
LEAST_NAME: Final = 3
LEAST_CODED: Final = 7
"""Characters of a text whose base64 is looked for."""

_WORD: Final = re.compile(r"[^\W_]{3,}")
_NAMES_A_SECRET: Final = re.compile(
    r"TOKEN|SECRET|PASSW|AUTH|CREDENTIAL|API_?KEY|PRIVATE|_KEY$|_URL$|_DSN$", re.I
)


def door_of(job: Job, *, with_prompts: bool) -> Door:
    """The door for a bundle of this job."""
    places = places_of(job)
    hidden = places | _prompt_secrets(_records_before(job), ())
    if not with_prompts:
        hidden |= _prompt_secrets([job.record.canonical_json], _infotexts(job))
    return Door(places, hidden, _endpoints(job))


def _endpoints(job: Job) -> frozenset[str]:
    """Of the request that failed: no folder of the machine, though it looks like one."""
    endpoint = ((job.error or {}).get("context") or {}).get("endpoint")
    return frozenset({endpoint} if isinstance(endpoint, str) else ())


def places_of(job: Job) -> Secrets:
    """Credentials, hosts and people: of this process, of every node, of whoever did something to the job."""
    credentials = {name for name in (*_of_process(), *_of_nodes()) if _tells(name)}
    people = {name for name in _of_people(job) if _tells(name)}
    coded = (form for name in credentials for form in _coded(name))
    return secrets_of() | secrets_in((), [*credentials, *people, *coded])


def _tells(name: str) -> bool:
    """Whether a name identifies anybody."""
    return len(name) >= LEAST_NAME and name.lower() not in GENERIC_NAMES | our_words()


def _of_process() -> Iterator[str]:
    database = connection.settings_dict
    yield from (str(database.get(key) or "") for key in ("USER", "PASSWORD"))
    if not str(database.get("HOST") or "/").startswith(("/", "127.", "localhost")):
        yield str(database["HOST"])
    yield str(settings.SECRET_KEY)
    yield from str(settings.STABLENEW_WEBUI_AUTH).split(":", 1)
    yield from (host for host in settings.ALLOWED_HOSTS if not host.startswith(("127.", "[", "*")))
    yield socket.gethostname().partition(".")[0]
    yield from host_identity().split("/")
    for variable, value in os.environ.items():
        if (
            _NAMES_A_SECRET.search(variable)
            and len(value) >= LEAST_CODED
            and not value.startswith(("/", "http"))
        ):
            yield value
        if (parts := _address(value)) is not None:
            yield from filter(None, (unquote(parts[0]), unquote(parts[1])))


def _address(value: str) -> tuple[str, str] | None:
    """User and password of a value that is an address."""
    if "://" not in value or "@" not in value:
        return None
    try:
        parts = urlsplit(value)
    except ValueError:
        return None
    return parts.username or "", parts.password or ""


def _of_nodes() -> Iterator[str]:
    for node in Node.objects.all()[:MOST_ROWS]:
        yield from names_of_node(node)
        yield from (node.nonce, node.boot_id)
        address = _address(node.base_url)
        yield from (unquote(part) for part in address or ())


def _of_people(job: Job) -> Iterator[str]:
    yield from (job.queued_by, job.cancel_requested_by)
    for data in LifecycleEvent.objects.filter(job=job).values_list("data", flat=True):
        yield str(data.get("by") or "")
    people = get_user_model()._default_manager.values_list("username", "first_name", "last_name", "email")
    for row in people[:MOST_ROWS]:
        yield from row


# --- prompts ------------------------------------------------------------------------------------------------


def _prompt_secrets(records: Iterable[str], more: Iterable[str]) -> Secrets:
    texts = {text for record in records for text in prompts_in(record)} | set(more)
    texts = {text for text in texts if text.strip()}
    found = secrets_in(texts)
    pieces = {piece for text in texts for piece in (text, *text.split(","), *_WORD.findall(text))}
    coded = frozenset(form.lower() for piece in pieces for form in _coded(piece.strip()))
    ours = our_words()
    # A sentence of ours keeps its words, whatever a prompt says.
    return Secrets((found.texts - ours) | coded, found.words - ours, harmless=ours)


def prompts_in(canonical_json: str) -> Iterator[str]:
    """Every text of a record that somebody wrote for a picture."""
    try:
        record = read_record(canonical_json)
    except ValidationError:
        # Somebody changed it by hand: nothing says which of its texts are a prompt's.
        yield from re.findall(r'"((?:[^"\\]|\\.)+)"', canonical_json)
        return
    yield from (record.positive_prompt, record.negative_prompt)
    yield from (layer.text for layer in record.prompt_layers)
    yield from (one.name for one in record.inputs)
    yield from (tag.name for tag in record.lora_tags)
    yield from (*record.positive_embeddings, *record.negative_embeddings)
    for one in record.stage_prompts:
        yield from (text for text in (one.positive, one.negative) if text)
    chosen = record.randomization
    for mapping in (record.matrix_slot_values, chosen.wildcards, chosen.replacements):
        yield from (*mapping.keys(), *mapping.values())


def _infotexts(job: Job) -> Iterator[str]:
    told = OutputImage.objects.filter(job=job).values_list("infotext", flat=True)
    for text in told[:MOST_ROWS]:
        parsed = parse_infotext(text)
        yield from (parsed.prompt, parsed.negative_prompt)
        yield from (value for name, value in parsed.fields.items() if "prompt" in name.lower())


def _records_before(job: Job) -> list[str]:
    """Records of the jobs that ran on its nodes just before it or beside it; of one that never ran, on any node."""
    own = StageAttempt.objects.filter(job=job)
    near = StageAttempt.objects.exclude(job=job)
    last = own.order_by("-id").values_list("pk", flat=True).first()
    if last is not None:
        near = near.filter(node_id__in=own.values("node_id"), pk__lte=last + NEIGHBOURS)
    ids = dict.fromkeys(near.order_by("-id").values_list("job_id", flat=True)[: NEIGHBOURS * 10])
    records = JobRecord.objects.filter(jobs__in=list(ids)[:NEIGHBOURS])
    return list(records.values_list("canonical_json", flat=True))


def _coded(text: str) -> Iterator[str]:
    """A text as base64 holds it, wherever in a longer one it begins, and as an address writes it."""
    content = text.encode("utf-8", errors="replace")
    if len(content) < LEAST_CODED:
        return
    if (quoted := quote(text, safe="")) != text:
        yield quoted
    for offset in range(3):
        whole = b64encode(b"\0" * offset + content).decode("ascii").rstrip("=")
        # The characters at both ends hold bits of what stands around.
        yield whole[-(-offset * 8 // 6) : len(whole) - (1 if (len(content) + offset) % 3 else 0)]
