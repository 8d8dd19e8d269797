"""The address of a WebUI as a person writes it."""

from urllib.parse import unquote, urlsplit, urlunsplit


def split_address(base_url: str) -> tuple[str, tuple[str, str] | None]:
    """The address without its credentials, and these; raises ValueError if it is not an http(s) address."""
    parts = urlsplit(base_url.strip())
    try:
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
