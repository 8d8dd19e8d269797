"""Command line of StableNew: what `stablenew`, `python -m stablenew_site` and `manage.py` run."""

import json
import os
import sys
from pathlib import Path


def main() -> None:
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db.utils import Error

    from stablenew_site import environment
    from webui.typed_command import program

    environment.only_asked = environment.only_asks(sys.argv)
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stablenew_site.settings")
    try:
        execute_from_command_line([program(), *sys.argv[1:]])
    except ImproperlyConfigured as exc:
        # A wrong setting is answered with its sentence; --traceback shows where it was met.
        if "--traceback" in sys.argv:
            raise
        if "--json" in sys.argv:
            print(json.dumps({"errors": [{"code": "settings", "message": str(exc)}]}))
        raise SystemExit(str(exc)) from exc
    except Error as exc:
        # Whatever command met it: a database that is not there, or not prepared, is answered with its sentence.
        if "--traceback" in sys.argv:
            raise
        from jobs.cli import database_sentence

        raise SystemExit(database_sentence(exc)) from exc


if __name__ == "__main__":
    if not sys.flags.safe_path:
        # `-m` looks first in the current folder, and that of a WebUI has a webui.py.
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    main()
