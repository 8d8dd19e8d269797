"""Settings that come from the environment: read once, typed, and listed for the documentation test.

What a setting means stands in `docs/settings.md`; this file only knows names, types and defaults.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from environ import Env

from webui.private_files import make_private_folder, private

#: Every environment variable that the project reads, with its default as text ("" = no default).
DOCUMENTED: dict[str, str] = {}

#: The command line of this process only asks for help: `main` says so, before the settings are read.
only_asked = False

_env = Env()


def text(name: str, default: str = "") -> str:
    DOCUMENTED[name] = default
    return str(_env.str(name, default=default))


def flag(name: str, default: bool = False) -> bool:
    DOCUMENTED[name] = "on" if default else "off"
    return bool(_env.bool(name, default=default))


def number(name: str, default: float) -> float:
    """A number of seconds or a count; a text that is none is refused by name."""
    DOCUMENTED[name] = f"{default:.12g}"
    raw = _env.str(name, default=str(default))
    try:
        return float(raw)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name}={raw!r} is not a number. Give a number, or unset it for {default:.12g}."
        ) from None


def choice(name: str, default: str, known: Sequence[str]) -> str:
    """One of some words; another one is refused by name."""
    word = text(name, default).strip().lower() or default
    if word not in known:
        raise ImproperlyConfigured(
            f"{name}={word!r} is none of {', '.join(known)}. Give one of them, or unset it."
        )
    return word


def whole(name: str, default: int) -> int:
    return int(number(name, default))


def names(name: str, default: str = "") -> list[str]:
    """A comma-separated list, blanks dropped."""
    return [part.strip() for part in text(name, default).split(",") if part.strip()]


def data_folder(*, in_checkout: bool) -> Path:
    """`STABLENEW_DATA_DIR`; else `./var` for a checkout, and for what is installed the user's own data folder."""
    shared = os.environ.get("XDG_DATA_HOME", "")
    # The XDG specification ignores one that is not absolute.
    home = shared if os.path.isabs(shared) else "~/.local/share"
    folder = text("STABLENEW_DATA_DIR", "./var" if in_checkout else f"{home}/stablenew")
    try:
        return Path(folder).expanduser().resolve()
    except RuntimeError as exc:
        raise ImproperlyConfigured(
            f"The data folder {folder} cannot be found: this user has no home. "
            "Set STABLENEW_DATA_DIR to a folder that this user may write."
        ) from exc


def database(name: str, default: str) -> dict[str, object]:
    DOCUMENTED[name] = "sqlite in the data folder"
    config: dict[str, object] = _env.db_url(name, default=default)
    return config


def only_asks(words: Sequence[str]) -> bool:
    """Whether a command line only asks what there is: that makes no data folder."""
    asked = words[1:] or ["help"]
    return asked[0] in ("help", "version", "--version") or not {"-h", "--help"}.isdisjoint(asked)


def secret_key(data_dir: Path) -> str:
    """`STABLENEW_SECRET_KEY`, else one made on the first start and kept in the data folder (mode 0600)."""
    given = text("STABLENEW_SECRET_KEY")
    if given:
        return given
    if only_asked and not data_dir.exists():
        return secrets.token_urlsafe(50)
    path = data_dir / "secret-key"
    try:
        return path.read_text(encoding="ascii").strip()
    except FileNotFoundError:
        pass
    except OSError as exc:
        raise ImproperlyConfigured(
            f"The secret key {path} cannot be read ({exc.strerror}). "
            "Give this user access to the data folder, or set STABLENEW_SECRET_KEY."
        ) from exc
    key = secrets.token_urlsafe(50)
    try:
        make_private_folder(data_dir)
        # Two processes may start together: the link is made whole or not at all, so whoever comes second
        # reads the complete key of the first.
        draft = data_dir / f"secret-key.{os.getpid()}"
        with open(draft, "w", encoding="ascii", opener=private) as file:
            file.write(key)
        try:
            os.link(draft, path)
        finally:
            draft.unlink()
    except FileExistsError:
        return path.read_text(encoding="ascii").strip()
    except OSError as exc:
        raise ImproperlyConfigured(
            f"The data folder {data_dir} cannot be written ({exc.strerror}). "
            "Make it writable for this user, or set STABLENEW_DATA_DIR to a folder that is."
        ) from exc
    return key
