#!/usr/bin/env python
"""Command line of StableNew; `manage.py help` lists the commands."""

import json
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stablenew_site.settings")
    try:
        from django.core.exceptions import ImproperlyConfigured
        from django.core.management import execute_from_command_line
    except ImportError as exc:
        raise SystemExit(
            "Django is not installed for this Python. Run `sh .ci/setup` once, "
            "then use `.venv/bin/python manage.py ...`."
        ) from exc
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as exc:
        # A wrong setting is answered with its sentence; --traceback shows where it was met.
        if "--traceback" in sys.argv:
            raise
        if "--json" in sys.argv:
            print(json.dumps({"errors": [{"code": "settings", "message": str(exc)}]}))
        raise SystemExit(str(exc)) from exc


if __name__ == "__main__":
    main()
