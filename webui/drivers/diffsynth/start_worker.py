"""Starts a worker in its own environment: `PYTHON -P start_worker.py --config FILE --port N`.

That environment has the worker's libraries and not this package. Putting the folder that holds us on its path would
bring our libraries along, of another Python perhaps; so `webui` alone becomes importable, from where this file lies.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
from pathlib import Path

PACKAGE = Path(__file__).resolve().parents[2]


def main() -> None:
    spec = importlib.util.spec_from_file_location(
        "webui", PACKAGE / "__init__.py", submodule_search_locations=[str(PACKAGE)]
    )
    assert spec is not None
    assert spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["webui"] = package
    spec.loader.exec_module(package)
    if "--allow-modules" in sys.argv:
        # They lie in the folder in which it was started; after the libraries, which they must not hide.
        sys.path.append(os.getcwd())
    runpy.run_module("webui.drivers.diffsynth.worker", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
