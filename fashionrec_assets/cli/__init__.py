"""`fashionrec`: the same Dagster jobs, on the same instance the UI shows, from a terminal.

Belongs here: the entry point, and the modules of commands. Does not belong here: running jobs (`resources/runs.py`),
answers (`recommendations/`), or anything the UI could not do as well.
"""

from __future__ import annotations

import os
import sys
import warnings
from typing import NoReturn

from fashionrec_assets.cli import erasure, gate, looking, promotion, running, shopping
from fashionrec_assets.cli.app import app
from fashionrec_assets.resources import redaction

__all__ = ["app", "erasure", "gate", "looking", "main", "promotion", "running", "shopping"]


def main() -> NoReturn:
    """Entry point of `fashionrec` and of `python -m fashionrec_assets`."""
    redaction.install()
    # Observable source assets are a beta API of Dagster; its users need not hear that on every command.
    warnings.filterwarnings("ignore", message=".*is currently in beta")
    code: object = 0
    try:
        app()
    except SystemExit as stop:
        code = stop.code
    sys.stdout.flush()
    sys.stderr.flush()
    # Everything is committed and closed by now. Leaving without the interpreter's clean-up keeps DuckDB's bindings
    # from printing pages about the order in which torch and they are taken down.
    os._exit(code if isinstance(code, int) else 1 if code else 0)
