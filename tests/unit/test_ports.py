"""TCP facts: addresses, holders of ports, and command lines that may be shown."""

from __future__ import annotations

import os

import pytest

from webui.http import ports


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("http://127.0.0.1:7860", ("127.0.0.1", 7860)),
        ("http://gpu.example", ("gpu.example", 80)),
        ("https://gpu.example/sd/", ("gpu.example", 443)),
        ("http://[::1]:7860", ("::1", 7860)),
        ("http://my_gpu-1.lan.:7860", ("my_gpu-1.lan.", 7860)),
        ("http://büro.example", ("büro.example", 80)),
        (f"http://{'a' * 63}.example", (f"{'a' * 63}.example", 80)),
    ],
)
def test_address_gives_host_and_port(address: str, expected: tuple[str, int]) -> None:
    assert ports.endpoint(address) == expected


@pytest.mark.parametrize(
    "address",
    [
        "",
        "7860",
        "127.0.0.1:7860",
        "ftp://host",
        "http://",
        "http://host:99999",
        "http://host:0",
        "http://h?x=1",
        "http://a..b/",
        "http://.a/",
        f"http://{'a' * 64}/",
        f"http://x.{'a' * 70}.example/",
        f"http://{'.'.join(['a' * 60] * 5)}/",
        "http://a b/",
        "http://-a/",
        "http://*.a/",
        "http://[::1",
        "http://[zz::1]/",
        "http://" + "ü" * 64 + "/",
    ],
)
def test_what_is_no_address_is_refused_with_an_example(address: str) -> None:
    with pytest.raises(ValueError, match="It looks like http"):
        ports.endpoint(address)


def test_a_name_that_nobody_can_look_up_is_nobody() -> None:
    assert ports.connect_problem("a..b", 7860, 1.0) is not None


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["webui.sh", "--api-auth", "user:secret", "--api"], "webui.sh --api-auth *** --api"),
        (["webui.sh", "--api-auth=user:secret"], "webui.sh --api-auth=***"),
        (["webui.sh", "--gradio-auth", "a:b,c:d"], "webui.sh --gradio-auth ***"),
        (["webui.sh", "--api", "--port", "7861"], "webui.sh --api --port 7861"),
        (
            ["docker", "restart", "--registry-token", "hush", "webui"],
            "docker restart --registry-token *** webui",
        ),
        (["webui.sh", "--API-AUTH", "user:secret"], "webui.sh --API-AUTH ***"),
        (["env", "HF_TOKEN=hush", "webui.sh", "--port=1"], "env HF_TOKEN=*** webui.sh --port=1"),
        (["curl", "-u", "ann:hush", "http://ann:hush@host/x"], "curl -u *** http://***@host/x"),
        (["sh", "-c", "webui.sh --api-auth user:secret"], "sh -c webui.sh --api-auth ***"),
        (
            ["env", "COMMANDLINE_ARGS=--api-auth me:hush --api", "x"],
            "env COMMANDLINE_ARGS=--api-auth *** --api x",
        ),
        (
            ["sh", "-c", "COMMANDLINE_ARGS='--api-auth=me:hush' ./x"],
            "sh -c COMMANDLINE_ARGS=--api-auth=*** ./x",
        ),
        (["git", "-u", "name", "/a b/c"], "git -u name /a b/c"),
        (["ssh-run", "--password=hush", "-key", "hush"], "ssh-run --password=*** -key ***"),
    ],
)
def test_passwords_in_a_command_line_are_masked(words: list[str], shown: str) -> None:
    assert " ".join(ports.mask_secrets(words)) == shown


def test_a_command_whose_quotes_do_not_close_is_not_shown() -> None:
    assert ports.mask_command("webui.sh --api-auth 'a b' --api") == "webui.sh --api-auth *** --api"
    assert ports.mask_command("webui.sh --api-auth 'a b --api") == "***"


def test_holder_is_named_with_pid_and_command() -> None:
    assert str(ports.Holder(12, "python -m http.server")) == "process 12 (python -m http.server)"
    assert str(ports.Holder(12, "")) == "process 12"


def test_command_of_a_process_that_is_gone_is_empty() -> None:
    assert ports.command_of(2**22 + 1) == ""
    assert "python" in ports.command_of(os.getpid())
