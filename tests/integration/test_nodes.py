"""Verbs on nodes: adding, the default node of the settings, and wishes."""

from __future__ import annotations

import shlex

import pytest
from pytest_django import Settings

from webui.http import ports
from webui.kinds import WorkKind
from webui.models import Node, NodeState, Wish
from webui.nodes import adding, spec, wishes
from webui.nodes.change import change_node
from webui.nodes.connecting import credentials_of, token_environment
from webui.nodes.spec import NodeRefusedError

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _no_webui_is_configured(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL = settings.STABLENEW_WEBUI_COMMAND = settings.STABLENEW_WEBUI_AUTH = ""
    settings.STABLENEW_SIMULATOR_OPTIONS = ""


@pytest.fixture
def node() -> Node:
    return adding.add_node("gpu", "http://127.0.0.1:7860/", start_command="./webui.sh --api")


def fresh(node: Node) -> Node:
    return Node.objects.get(pk=node.pk)


def test_added_node_has_a_tidy_address_and_has_not_started(node: Node) -> None:
    assert (node.base_url, node.state, node.generation) == ("http://127.0.0.1:7860", NodeState.STOPPED, 0)
    assert node.managed


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"name": "two words"}, "no name for a node"),
        ({"name": "x" * 51}, "longer than 50"),
        ({"base_url": "localhost"}, "It looks like http://127.0.0.1:7860"),
        ({"base_url": "http://user:hidden@host:7860"}, "--auth user:password"),
        ({"api_auth": "hidden"}, "user:password"),
        ({"start_command": "webui 'open hidden"}, "quotes"),
        ({"start_command": "  "}, "blanks"),
        ({"kind": "music"}, "image, i2v, edit"),
        ({"card": "x" * 65}, "longer than 64"),
        ({"name": "gpu"}, "already"),
    ],
)
def test_wrong_node_is_refused_and_nothing_is_added(node: Node, given: dict[str, str], sentence: str) -> None:
    arguments = {"name": "other", "base_url": "http://127.0.0.1:7861", **given}
    with pytest.raises(NodeRefusedError, match=sentence) as refusal:
        adding.add_node(**arguments)  # type: ignore[arg-type]
    assert "hidden" not in str(refusal.value)
    assert list(Node.objects.all()) == [node]


def test_the_node_of_the_settings_keeps_its_card(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL = "http://gpu:7860"
    change_node(adding.ensure_default_node(), card="gpu0")
    settings.STABLENEW_WEBUI_URL = "http://gpu:7861"
    again = adding.ensure_default_node()
    assert (again.base_url, again.kind, again.card) == ("http://gpu:7861", WorkKind.IMAGE, "gpu0")


def test_a_node_takes_only_what_its_driver_can_do() -> None:
    film = adding.add_node("film", "http://127.0.0.1:7870", kind=WorkKind.I2V)
    assert film.driver == "diffsynth"
    change_node(film, kind=WorkKind.EDIT)
    with pytest.raises(NodeRefusedError, match=r"driver diffsynth takes i2v or edit, not image.*a1111"):
        change_node(film, kind=WorkKind.IMAGE)
    change_node(film, kind=WorkKind.IMAGE, driver="a1111")
    with pytest.raises(NodeRefusedError, match=r"driver a1111 takes image, not i2v.*diffsynth"):
        change_node(film, kind=WorkKind.I2V)


def test_a_token_is_kept_as_the_password_of_nobody() -> None:
    film = adding.add_node("film", "http://127.0.0.1:7870", kind=WorkKind.I2V, api_auth="sesame-7")
    assert credentials_of(film) == ("token", "sesame-7")
    assert change_node(film, api_auth="token:other").api_auth == "token:other"
    for wrong in ("anna:sesame", "blanks ", "schlüssel", "x" * 200):
        with pytest.raises(NodeRefusedError, match="token") as refusal:
            change_node(film, api_auth=wrong)
        assert wrong not in str(refusal.value)


def test_each_start_of_a_worker_has_a_token_of_its_own() -> None:
    film = adding.add_node(
        "film", "http://127.0.0.1:7870", kind=WorkKind.I2V, start_command="./film", api_auth="given"
    )
    webui = adding.add_node("webui", "http://127.0.0.1:7860", start_command="./webui.sh")
    assert credentials_of(film) == ("token", "given"), "not started by us yet"
    seen = set()
    for nonce in ("a" * 32, "b" * 32):
        film.nonce = webui.nonce = nonce
        (variable, token), *others = token_environment(film).items()
        assert (variable, others) == ("STABLENEW_WORKER_TOKEN", [])
        assert credentials_of(film) == ("token", token)
        assert nonce not in token
        seen.add(token)
    assert len(seen) == 2
    assert token_environment(webui) == {}
    assert credentials_of(webui) is None


def test_without_a_webui_the_simulator_serves_on_a_port_of_its_own(settings: Settings) -> None:
    settings.STABLENEW_SIMULATOR_OPTIONS = "--seconds-per-step 0.5"
    node = adding.ensure_default_node()
    port = ports.endpoint(node.base_url)[1]
    assert node.simulated
    assert adding.command_words(node)[-5:] == [
        "webui.simulator",
        "--port",
        str(port),
        "--seconds-per-step",
        "0.5",
    ]
    again = adding.ensure_default_node()
    assert (again.pk, again.base_url, again.wish) == (node.pk, node.base_url, "")


def test_an_address_alone_is_an_attached_server(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL, settings.STABLENEW_WEBUI_AUTH = "http://gpu:7860", "user:password"
    node = adding.ensure_default_node()
    assert (node.base_url, node.managed, node.simulated) == ("http://gpu:7860", False, False)
    assert node.auth == ("user", "password")


def test_a_command_alone_is_expected_at_the_default_address(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_COMMAND = "./webui.sh --api 'two words' {port}"
    node = adding.ensure_default_node()
    assert (node.base_url, node.managed, node.simulated) == ("http://127.0.0.1:7860", True, False)
    assert adding.command_words(node) == shlex.split(settings.STABLENEW_WEBUI_COMMAND)


def test_changed_settings_restart_a_running_default_node(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_COMMAND = "./webui.sh --api"
    node = adding.ensure_default_node()
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY, generation=3)
    settings.STABLENEW_WEBUI_COMMAND = "./webui.sh --api --medvram"
    changed = adding.ensure_default_node()
    assert (changed.pk, changed.start_command) == (node.pk, "./webui.sh --api --medvram")
    assert (changed.wish, changed.wish_generation) == (Wish.RESTART, 3)


def test_wrong_setting_is_refused_and_changes_nothing(settings: Settings) -> None:
    settings.STABLENEW_WEBUI_URL = "gpu:7860"
    with pytest.raises(NodeRefusedError):
        adding.ensure_default_node()
    assert not Node.objects.exists()


def test_wish_says_what_by_whom_and_why(node: Node) -> None:
    assert wishes.wish(node.pk, Wish.STOP, by="anna", reason="driver update")
    node = fresh(node)
    assert (node.wish, node.wish_by, node.wish_reason) == ("stop", "anna", "driver update")
    assert node.wish_at is not None


def test_wish_for_a_generation_that_is_over_is_refused(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(generation=5)
    assert not wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500", generation=4)
    assert fresh(node).wish == ""


def test_restart_means_the_generation_of_the_moment_it_was_asked(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(generation=5)
    assert wishes.wish(node.pk, Wish.RESTART, by="anna", reason="")
    assert fresh(node).wish_generation == 5


def test_restart_does_not_override_a_persons_stop(node: Node) -> None:
    wishes.wish(node.pk, Wish.STOP, by="anna", reason="")
    assert not wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500")
    assert fresh(node).wish == Wish.STOP
    assert wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    assert fresh(node).wish == Wish.RUN


def test_clearing_a_wish_does_not_lose_a_newer_one(node: Node) -> None:
    wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500")
    seen = fresh(node)
    wishes.wish(node.pk, Wish.STOP, by="anna", reason="")
    assert not wishes.clear_wish(seen)
    assert fresh(node).wish == Wish.STOP
    assert wishes.clear_wish(fresh(node))
    assert fresh(node).wish == ""


def test_waiting_for_a_restart_ends_when_time_is_up(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY)
    assert not wishes.restart_and_wait_ready(node.pk, 0.1, by="worker", reason="500")
    assert fresh(node).wish == Wish.RESTART


def test_waiting_for_the_restart_of_a_generation_that_is_over_wishes_nothing(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY, generation=5)
    assert wishes.restart_and_wait_ready(node.pk, 5, by="worker", reason="500", generation=4)
    assert fresh(node).wish == ""


def test_waiting_ends_with_the_generation_that_is_ready(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY, generation=6)
    assert wishes.restart_and_wait_ready(node.pk, 5, by="worker", reason="500", generation=4) == 6


@pytest.mark.parametrize(("failed_starts", "waits"), [(2, True), (3, False), (7, False)])
def test_waiting_ends_when_three_tries_have_failed(
    node: Node, caplog: pytest.LogCaptureFixture, failed_starts: int, waits: bool
) -> None:
    reason = "The WebUI process 7 ended with exit code 1."
    Node.objects.filter(pk=node.pk).update(
        state=NodeState.FAILED, generation=6, failed_starts=failed_starts, state_reason=reason
    )
    asked = iter([True, True, False])
    assert wishes.restart_and_wait_ready(node.pk, 5, generation=4, waiting=lambda: next(asked)) == 0
    assert (next(asked, None) is None) == waits, "who is still waited for is asked until he says no"
    (record,) = [record for record in caplog.records if getattr(record, "event", "") == "node.restart_failed"]
    assert reason in record.getMessage()


def test_tries_that_failed_before_the_wish_do_not_end_the_waiting_for_it(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.FAILED, generation=6, failed_starts=5)
    asked = iter([True, True, False])
    assert wishes.restart_and_wait_ready(node.pk, 5, waiting=lambda: next(asked)) == 0
    assert next(asked, None) is None


def test_waiting_ends_when_a_person_stops_the_node(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY)
    wishes.wish(node.pk, Wish.STOP, by="anna", reason="")
    assert wishes.restart_and_wait_ready(node.pk, 60, by="worker", reason="500") == 0
    assert fresh(node).wish == Wish.STOP


def test_what_the_waiter_raises_passes_through(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY)

    def waiting() -> bool:
        raise KeyError("cancelled")

    with pytest.raises(KeyError, match="cancelled"):
        wishes.restart_and_wait_ready(node.pk, 60, waiting=waiting)


def test_patience_lasts_as_long_as_three_tries_may_take(node: Node, settings: Settings) -> None:
    settings.STABLENEW_READY_TIMEOUT_S, settings.STABLENEW_STOP_GRACE_S = 100.0, 5.0
    now_s = 0.0

    def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += 50

    Node.objects.filter(pk=node.pk).update(state=NodeState.STARTING)
    assert wishes.restart_and_wait_ready(node.pk, clock=lambda: now_s, sleep=sleep) == 0
    assert now_s == pytest.approx(3 * 105 + 3, abs=50)
    Node.objects.filter(pk=node.pk).update(start_command="")
    now_s = 0.0
    assert wishes.restart_and_wait_ready(node.pk, clock=lambda: now_s, sleep=sleep) == 0
    assert now_s == pytest.approx(100, abs=50)


def test_restart_at_once_takes_the_place_of_one_after_the_job(node: Node) -> None:
    assert wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    assert fresh(node).wish_after_job
    assert wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500")
    assert (fresh(node).wish_after_job, fresh(node).wish_by) == (False, "worker")


def test_restart_after_the_job_does_not_delay_one_at_once(node: Node) -> None:
    wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500")
    assert wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    assert (fresh(node).wish_after_job, fresh(node).wish_by) == (False, "worker")


def test_a_start_does_not_undo_a_restart_that_was_asked(node: Node) -> None:
    wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500")
    assert wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    assert fresh(node).wish == Wish.RESTART
    Node.objects.filter(pk=node.pk).update(generation=5)
    assert wishes.wish(node.pk, Wish.RUN, by="anna", reason="")
    assert fresh(node).wish == Wish.RUN, "that restart belonged to a boot that is over"


def test_cleared_wish_leaves_nothing_of_it(node: Node) -> None:
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    assert wishes.clear_wish(fresh(node))
    assert {field: getattr(fresh(node), field) for field in wishes.NO_WISH} == wishes.NO_WISH


def test_restart_that_was_heeded_tells_for_whom_its_boot_was_ended(node: Node) -> None:
    boot, others = fresh(node), ("worker", "supervisor")
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="")
    assert wishes.wished_away(boot, except_by=others)
    assert wishes.clear_wish(fresh(node), heeded=True)
    Node.objects.filter(pk=node.pk).update(generation=boot.generation + 1)
    assert (fresh(node).wish, fresh(node).wish_at) == ("", None)
    assert wishes.wished_away(boot, except_by=others)
    assert not wishes.wished_away(boot, except_by=("anna", *others))
    assert not wishes.wished_away(fresh(node), except_by=others), "nobody wished the end of its successor"


def test_wish_that_was_hardened_meanwhile_is_not_cleared(node: Node) -> None:
    wishes.wish(node.pk, Wish.RESTART, by="anna", reason="", after_job=True)
    seen = fresh(node)
    wishes.wish(node.pk, Wish.RESTART, by="worker", reason="500")
    assert not wishes.clear_wish(seen)
    assert fresh(node).wish_by == "worker"


def test_restart_that_somebody_waits_for_is_wished_again_when_it_was_taken_back(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.READY)
    seen: list[str] = []

    def waiting() -> bool:
        row = fresh(node)
        seen.append(row.wish)
        wishes.clear_wish(row)
        return len(seen) < 3

    wishes.restart_and_wait_ready(node.pk, 60, by="worker", reason="500", waiting=waiting)
    assert seen == [Wish.RESTART] * 3


def test_restart_that_the_keeper_could_not_begin_is_not_wished_again(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.FAILED, failed_starts=1)
    asked = iter([True, True, False])

    def waiting() -> bool:
        wishes.clear_wish(fresh(node))
        return next(asked)

    wishes.restart_and_wait_ready(node.pk, 60, by="worker", reason="500", waiting=waiting)
    assert fresh(node).wish == ""


def test_start_is_granted_although_a_try_has_begun_since_it_was_offered(node: Node) -> None:
    Node.objects.filter(pk=node.pk).update(state=NodeState.FAILED, generation=6)
    assert wishes.wish(node.pk, Wish.RUN, by="anna", reason="", generation=5)
    assert (fresh(node).wish, fresh(node).wish_generation) == (Wish.RUN, None)


# --- changing what is attached --------------------------------------------------------------------------


@pytest.fixture
def attached() -> Node:
    return adding.add_node(
        "far", "http://gpu:7860", api_auth="anna:right", restart_command="docker restart x"
    )


def test_changed_part_is_written_and_the_others_stay(attached: Node) -> None:
    change_node(attached, api_auth="anna:new")
    assert fresh(attached).auth == ("anna", "new")
    change_node(attached, restart_command="")
    node = fresh(attached)
    assert (node.base_url, node.api_auth, node.restart_command) == ("http://gpu:7860", "anna:new", "")


def test_credentials_do_not_go_to_another_server_unasked(attached: Node) -> None:
    with pytest.raises(NodeRefusedError, match="were given for http://gpu:7860") as refusal:
        change_node(attached, base_url="http://elsewhere:7860")
    assert refusal.value.field == "api_auth"
    assert fresh(attached).base_url == "http://gpu:7860"
    change_node(attached, base_url="http://elsewhere:7860/", api_auth="")
    assert (fresh(attached).base_url, fresh(attached).auth) == ("http://elsewhere:7860", None)


def test_path_of_the_same_server_keeps_its_credentials(attached: Node) -> None:
    change_node(attached, base_url="http://GPU:7860/sd")
    assert fresh(attached).auth == ("anna", "right")


def test_wrong_change_names_its_field_and_changes_nothing(attached: Node) -> None:
    with pytest.raises(NodeRefusedError) as refusal:
        change_node(attached, base_url="gpu")
    assert refusal.value.field == "base_url"
    assert fresh(attached).base_url == "http://gpu:7860"


def test_what_the_settings_or_a_command_say_is_not_changed_by_people(node: Node) -> None:
    with pytest.raises(NodeRefusedError, match="by its command"):
        change_node(node, base_url="http://elsewhere:7860")
    with pytest.raises(NodeRefusedError, match="settings describe node simulator"):
        change_node(adding.ensure_default_node(), base_url="http://elsewhere:7860")


def test_everything_that_is_wrong_is_told_by_its_field() -> None:
    wrong = spec.NodeSpec("two words", "gpu", api_auth="nocolon", restart_command="'open")
    assert set(spec.spec_problems(wrong)) == {"name", "base_url", "api_auth", "restart_command"}
    too_long = spec.NodeSpec("a", "http://" + "h" * 500, api_auth="a:" + "b" * 200)
    assert set(spec.spec_problems(too_long)) == {"base_url", "api_auth"}
