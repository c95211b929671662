"""How a script of this folder answers: one JSON request a line in, one JSON answer a line out.

This folder's scripts run in an environment of their own, without this project: they import nothing of it.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any


def serve(answers: Mapping[str, Callable[..., Any]]) -> None:
    """Answer requests by name until the input ends. What libraries print goes to standard error."""
    out = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    for line in sys.stdin:
        request, arguments = json.loads(line)
        with contextlib.redirect_stdout(sys.stderr):
            answer = answers[request](**arguments)
        out.write(json.dumps(answer) + "\n")
        out.flush()
