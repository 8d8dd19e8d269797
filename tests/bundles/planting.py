"""A job with a secret in every place that a bundle is made from, and the bundle itself."""

from __future__ import annotations

import json
import os
import random
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch
from urllib.parse import quote

from django.db.models import Model, QuerySet
from django.test import override_settings
from django.utils import timezone

from diagnostics.bundle.building import build_bundle
from jobs.lifecycle import TruthVerdict
from jobs.models import Job, LifecycleEvent, OutputImage, Runner, StageAttempt, TruthCheck
from jobs.queue import control
from jobs.running.outputs import output_root
from tests.factories import make_job, make_node, make_pack, make_runner, make_user
from tests.integration.failed_jobs import complete_in_retry, fail_in_retry
from webui.models import NodeCatalog
from webui.nodes.catalogs import as_document
from webui.work.catalog import Catalog, Entry, JsonScalar, Thing

SCRIPTS = ("abcdefghijklmnopqrstuvwxyz", "абвгдежзиклмнопрст", "αβγδεζηθικλμνξοπρ", "城堡山水夜雨春秋花月風")


@dataclass(slots=True)
class Planted:
    """`secrets` by where they were planted; the environment and the settings hold while the bundle is made."""

    job: Job
    secrets: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    host: str = ""


class Words:
    """Words that no language has, so that none is found by chance; remembers each by its source."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.secrets: dict[str, str] = {}

    def word(self, source: str, letters: str = SCRIPTS[0]) -> str:
        made = "".join(self.rng.choices(letters, k=self.rng.randint(7, 12)))
        self.secrets[source] = made
        return made

    def code(self, source: str, *, start: str = "") -> str:
        letters = SCRIPTS[0] + SCRIPTS[0].upper() + "0123456789"
        self.secrets[source] = start + "".join(self.rng.choices(letters, k=24))
        return self.secrets[source]

    def phrase(self, source: str) -> str:
        """Some words; each of them is a secret too."""
        letters = self.rng.choice(SCRIPTS)
        words = [self.word(f"{source}, word {number}", letters) for number in range(self.rng.randint(2, 4))]
        self.secrets[source] = " ".join(words)
        return self.secrets[source]


class Garden:
    """One node, one person and one runner, which every planted job changes: what a bundle looks at stays small."""

    def __init__(self) -> None:
        self.runner = make_runner(make_node("planted", start_command="webui.sh"))
        self.person = make_user("somebodys-login")
        self.catalog, _ = NodeCatalog.objects.get_or_create(node=self.runner.node)

    def plant(self, seed: int) -> Planted:
        words = Words(seed)
        control.resume(by="")
        # The neighbour runs first on the node, and logs repeat its request.
        self._submit(words, "a neighbour's prompt")
        self._run(words.rng, ends=True)
        texts = self._submit(words, "prompt")
        job = self._run(words.rng, ends=words.rng.random() < 0.8)
        planted = Planted(job, words.secrets)
        self._plant_places(words, planted)
        lines = list(self._lines(words, texts))
        self._plant_rows(words, job, lines)
        self._plant_files(words, job, lines)
        self._plant_catalog(words, lines)
        planted.job = Job.objects.get(pk=job.pk)
        return planted

    def bundle(self, planted: Planted) -> bytes:
        with surroundings_of(planted), build_bundle(planted.job.pk).file as file:
            return file.read()

    # --- the job ------------------------------------------------------------------------------------------

    def _submit(self, words: Words, source: str) -> list[str]:
        """One job at the head; the texts of its prompts."""
        positive, negative, value = (
            words.phrase(f"{source}, {part}") for part in ("positive", "negative", "slot")
        )
        lora, embedding, wildcard = (
            words.word(f"{source}, {part}") for part in ("LoRA", "embedding", "choice")
        )
        text = (
            f"{positive}, [[place]], {{{wildcard}|{wildcard}}}, <lora:{lora}:0.8>, <embedding:{embedding}>\n"
        )
        slots = [{"name": "place", "values": [value]}]
        matrix = {"enabled": True, "mode": "fanout", "slots": slots}
        document = {"pack_data": {"matrix": matrix}}
        revision = make_pack(text=f"{text}neg: {negative}\n", document=json.dumps(document))
        make_job(revision=revision, run_now=True)
        return [positive, negative, value, lora, embedding, wildcard]

    def _run(self, rng: random.Random, *, ends: bool) -> Job:
        runner = Runner.objects.get(pk=self.runner.pk)
        if not ends:
            return Job.objects.select_related("record").latest("pk")
        return fail_in_retry(runner) if rng.random() < 0.7 else complete_in_retry(runner)

    # --- around it ----------------------------------------------------------------------------------------

    def _plant_places(self, words: Words, planted: Planted) -> None:
        node, person = self.runner.node, self.person
        user, password = words.word("node's user"), words.code("node's password")
        host = words.word("node's host")
        node.base_url = f"http://{host}.lan:7860"
        node.api_auth = f"{user}:{password}"
        node.start_command = (
            f"/home/{words.word('home in a command')}/webui.sh --api-auth a:{words.code('command')}"
        )
        node.working_directory = f"/srv/{words.word('working directory')}/deep/webui"
        node.state_reason = f"It did not start in /home/{words.word('home in a reason')}/webui/deep."
        node.wish_by, node.wish_reason = words.word("who wished"), ""
        node.save()
        person.username, person.first_name = words.word("login"), words.word("first name")
        person.last_name, person.email = (
            words.word("last name"),
            f"{words.word('mail')}@{words.word('mail host')}.net",
        )
        person.save()
        login = words.word("host's user")
        planted.host = words.word("host")
        planted.environment = {
            "LOGNAME": login,
            "USER": login,
            "HOME": f"/home/{login}",
            "HF_TOKEN": words.code("token in the environment", start="hf_"),
            "SOME_API_KEY": words.code("key in the environment"),
            "OTHER_URL": f"postgres://{words.word('user in an address')}:{words.code('password in an address')}@db/x",
        }
        planted.settings = {
            "SECRET_KEY": words.code("secret key") * 3,
            "STABLENEW_WEBUI_AUTH": f"{words.word('user in settings')}:{words.code('password in settings')}",
            "STABLENEW_WEBUI_COMMAND": f"webui.sh --api-auth a:{words.code('command in settings')}",
            "STABLENEW_GLOBAL_POSITIVE": words.phrase("prompt in settings"),
            "ALLOWED_HOSTS": [f"{words.word('allowed host')}.example.org"],
        }
        if words.rng.random() < 0.3:
            control.pause(by=words.word("who paused"), reason="the cards are changed")

    def _lines(self, words: Words, texts: list[str]) -> Iterator[str]:
        """Lines as logs and errors have them, each with something that must not leave."""
        secrets, rng = words.secrets, words.rng
        node = self.runner.node
        for text in (
            *texts,
            secrets["a neighbour's prompt, positive"],
            secrets["a neighbour's prompt, LoRA"],
        ):
            yield from (
                f"RuntimeError: cannot draw {text}",
                f"RuntimeError: cannot draw {text[: -2 if len(text) > 8 else None]}...",
                json.dumps({"detail": [{"input": text}]}),
                f"GET /x?q={quote(text)} 500",
                f"data {b64encode(f'x {text} y'.encode()).decode()}",
                f"embeddings/{text}_v2.pt was not found",
            )
        yield f"Authorization: Basic {b64encode(node.api_auth.encode()).decode()}"
        yield f"the user {node.api_auth.partition(':')[0]} was refused at {node.base_url}"
        yield f"git clone https://{words.code('token in an address')}@github.com/x/y"
        yield f"GET https://{words.word('host in an address')}.corp/models?token={words.code('token in a query')} 403"
        yield f"Bearer {words.code('bearer token')} was refused"
        yield f"wrong key {words.code('key of a service', start='sk-')}"
        yield f"password={words.code('password in a line')} for {words.word('user of a mail')}@example.com"
        yield f'File "/home/{words.word("home in a line")}/{words.word("folder in a line")}/webui/modules/x.py", line 3'
        yield f"C:\\Users\\{words.word('Windows user')}\\webui\\modules\\x.py"
        yield f"/mnt/{words.word('mount')}/{words.word('folder of a mount')}/models/Lora/x.safetensors is broken"
        yield f"{self.person.username} resumed the queue, says {self.person.email}"
        yield f"client {'.'.join(str(rng.randint(130, 250)) for _ in range(4))} connected"

    # --- rows and files -----------------------------------------------------------------------------------

    def _plant_rows(self, words: Words, job: Job, lines: list[str]) -> None:
        rng, by = words.rng, words.word("who queued it")
        error = job.error
        if error:
            error = {**error, "message": rng.choice(lines), "cause_chain": rng.sample(lines, 3)}
            error["context"] = {**error.get("context", {}), "words": "\n".join(rng.sample(lines, 4))}
        Job.objects.filter(pk=job.pk).update(queued_by=by, error=error, cancel_requested_by=by)
        for attempt in StageAttempt.objects.filter(job=job):
            StageAttempt.objects.filter(pk=attempt.pk).update(
                reason=rng.choice(lines), task_id=f"task-{job.pk}"
            )
        for event in LifecycleEvent.objects.filter(job=job):
            data = {**event.data, "reason": rng.choice(lines), "by": by}
            if "error" in data:
                data["error"] = error
            _change(LifecycleEvent, event.pk, data=data)
        for output in OutputImage.objects.filter(job=job):
            infotext = f"{words.phrase('infotext')}\nNegative prompt: {words.phrase('infotext, negative')}\nSteps: 20, "
            infotext += f"Sampler: Euler a, CFG scale: 7, Seed: 5, Model: {words.word('ignored')}"
            del words.secrets["ignored"]
            _change(OutputImage, output.pk, infotext=infotext)
            fields = {
                words.secrets["infotext"]: {
                    "outcome": "drift",
                    "asked": lines[0],
                    "used": infotext,
                    "by": "info",
                },
                "seed": {"outcome": "verified", "asked": 5, "used": 5, "by": rng.choice(lines)},
            }
            TruthCheck.objects.create(output=output, verdict=TruthVerdict.DRIFTED, fields=fields, rules=1)

    def _plant_files(self, words: Words, job: Job, lines: list[str]) -> None:
        folder = output_root() / f"2026-01-31/{job.pk}"
        for place in (folder, folder / "attempt-1"):
            place.mkdir(parents=True, exist_ok=True)
            words.rng.shuffle(lines)
            for name in ("webui_tail.log", "worker_tail.log"):
                (place / name).write_text("\n".join(lines))
            payload = {
                "error": {"words": lines[0]},
                "payload": {"sampler_name": lines[1], lines[2]: lines[3]},
            }
            (place / "stage_failure_payload.json").write_text(json.dumps(payload))
        attempt = StageAttempt.objects.filter(job=job).last()
        if attempt is not None:
            path = f"2026-01-31/{job.pk}/worker_tail.log"
            paths = [path, path.replace("worker_tail", words.word("odd file")), *attempt.artifact_paths]
            StageAttempt.objects.filter(pk=attempt.pk).update(artifact_paths=paths)
            # The name of a file that no program of ours writes is not told.

    def _plant_catalog(self, words: Words, lines: list[str]) -> None:
        home = f"/home/{words.word('home in a catalog')}/{words.word('folder in a catalog')}/models/Lora"
        entry = Entry("ink_v2", aliases=(f"{home}/ink_v2.safetensors",), usable=False, note=f"{home}/x.pt")
        lists = {
            Thing.LORA: (entry, Entry(f"{home}/deep/ink_v3.pt")),
            Thing.CHECKPOINT: (Entry("castle.safetensors"),),
        }
        options: dict[str, JsonScalar] = {"outdir_samples": home, "sd_vae": words.rng.choice(lines)}
        options["CLIP_stop_at_last_layers"] = 2
        notes = (f"Its list of LoRAs could not be read: {home}", words.rng.choice(lines))
        catalog = Catalog(dialect="forge", version="f2", lists=lists, options=options, notes=notes)
        self.catalog.document, self.catalog.read_at = as_document(catalog), timezone.now()
        self.catalog.problem = f"{home} is gone"
        self.catalog.save()


def _change(model: type[Model], pk: int, **values: Any) -> None:
    """Past the rule that such rows never change: they stand for what a run would have written."""
    QuerySet(model).filter(pk=pk).update(**values)


@contextmanager
def surroundings_of(planted: Planted) -> Iterator[None]:
    """Environment, settings and host as planted."""
    with ExitStack() as stack:
        stack.enter_context(patch.dict(os.environ, planted.environment))
        stack.enter_context(override_settings(**planted.settings))
        stack.enter_context(patch("socket.gethostname", lambda: planted.host))
        yield
