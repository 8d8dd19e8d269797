"""`python -m tests.seed`: fill an empty database; `--help` has the options."""

import os
import sys

import django


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "stablenew_site.settings")
    django.setup()
    from tests.seed.command import Command

    Command().run_from_argv(["python -m", "tests.seed", *sys.argv[1:]])


if __name__ == "__main__":
    main()
