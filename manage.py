#!/usr/bin/env python
"""Command line of a checkout of StableNew; `manage.py help` lists the commands."""

from importlib.util import find_spec


def main() -> None:
    if find_spec("django") is None:
        raise SystemExit(
            "Django is not installed for this Python. Run `sh .ci/setup` once, "
            "then use `.venv/bin/python manage.py ...`."
        )
    from stablenew_site.__main__ import main as run

    run()


if __name__ == "__main__":
    main()
