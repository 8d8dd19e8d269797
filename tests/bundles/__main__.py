"""`python -m tests.bundles --count 1000`: makes them in a temporary installation; `--help` has the options."""

from __future__ import annotations

import os
import sys
import tempfile


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="stablenew-bundles-") as folder:
        for name in [name for name in os.environ if name.startswith("STABLENEW_")]:
            del os.environ[name]
        os.environ |= {
            "STABLENEW_DATA_DIR": folder,
            "STABLENEW_LOG_LEVEL": "ERROR",
            "DATABASE_URL": f"sqlite:///{folder}/bundles.sqlite3",
            "DJANGO_SETTINGS_MODULE": "stablenew_site.settings",
        }
        import django

        django.setup()
        from tests.bundles.command import run

        sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
