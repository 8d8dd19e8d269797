"""The address of a WebUI as a person writes it."""

import ipaddress
import re
from urllib.parse import unquote, urlsplit, urlunsplit

LONGEST_HOST = 253
_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")


def host_problem(host: str) -> str:
    """Why nobody can be called so; empty for a name or a number that a resolver takes."""
    if ":" in host:
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return "what stands in [ ] is no IPv6 address"
        return ""
    try:
        name = host.encode("idna").decode("ascii").removesuffix(".")
    except UnicodeError:
        return "a part of the host's name is empty or longer than 63 characters"
    if len(name) > LONGEST_HOST:
        return f"the host's name is longer than {LONGEST_HOST} characters"
    if wrong := [label for label in name.split(".") if not _LABEL.fullmatch(label)]:
        return (
            f"{wrong[0][:70]!r} cannot be a part of a host's name"
            if wrong[0]
            else "a part of the host's name is empty"
        )
    return ""


def split_address(base_url: str) -> tuple[str, tuple[str, str] | None]:
    """The address without its credentials, and these; raises ValueError if it is not an http(s) address."""
    try:
        parts = urlsplit(base_url.strip())
        port = parts.port
    except ValueError as exc:
        raise ValueError(f"not a WebUI address: {exc}") from exc
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
        raise ValueError(
            f"not a WebUI address: {parts.hostname or base_url!r}; it looks like http://127.0.0.1:7860"
        )
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    netloc = host if port is None else f"{host}:{port}"
    auth = (unquote(parts.username), unquote(parts.password or "")) if parts.username else None
    return urlunsplit((parts.scheme, netloc, parts.path.rstrip("/"), "", "")), auth
