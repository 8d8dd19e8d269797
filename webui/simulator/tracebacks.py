"""What a real server leaves on standard error when it fails: texts for a log tail, request and all."""

from __future__ import annotations

from typing import Any

EARLY_REQUEST = """Traceback (most recent call last):
  File "/srv/webui/launch.py", line 48, in <module>
    main()
  File "/srv/webui/webui.py", line 112, in webui
    create_api(app)
RuntimeError: Cannot add middleware after an application has started"""

NO_BOOT = """Traceback (most recent call last):
  File "/srv/webui/launch.py", line 48, in <module>
    main()
  File "/srv/webui/modules/launch_utils.py", line 694, in start
    webui.webui()
RuntimeError: simulated failure to start (fault no-boot): Torch is not able to use GPU"""

PICTURES = {"init_images", "mask", "image", "imageList"}
LONGEST_TEXT = 20_000
"""Characters of one text that are repeated; only pictures are longer."""


def of_request(path: str, fields: dict[str, Any], error: str) -> str:
    """A failed job as the server tells it. All the request's words are in it: its log is not discreet."""
    shown = {name: "<PIL.Image.Image>" if name in PICTURES else value for name, value in fields.items()}
    return (
        f"*** Error completing request\n"
        f"*** Arguments: ({path!r}, {_cut(shown)!r})\n"
        f"    Traceback (most recent call last):\n"
        f'      File "/srv/webui/modules/api/api.py", line 479, in text2imgapi\n'
        f"        processed = process_images(p)\n"
        f"      # {fields.get('prompt', '')}\n"
        f"    {error}\n"
    ).rstrip()


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _cut(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_cut(item) for item in value]
    return value[:LONGEST_TEXT] if isinstance(value, str) else value
