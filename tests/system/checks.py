"""Runs the checks of inside_{container,survival,board}.py, one after another, and says how each went."""

from __future__ import annotations

import subprocess
import sys
import time
import traceback
from collections.abc import Mapping
from typing import Any


def run_checks(names: Mapping[str, Any], wanted: list[str]) -> int:
    """Every `check_*` of a module's `names`, or only the `wanted`; 1 when one failed. Titles are docstrings."""
    checks = [f for name, f in list(names.items()) if name.startswith("check_")]
    if wanted:
        checks = [f for f in checks if f.__name__.removeprefix("check_") in wanted]
    failed = 0
    for check in checks:
        title, began = (check.__doc__ or "").splitlines()[0], time.monotonic()
        try:
            check()
        except (AssertionError, OSError, ValueError, LookupError, subprocess.SubprocessError) as error:
            failed += 1
            print(f"FAILED: {title}\n  {error}")
            if not isinstance(error, AssertionError):
                traceback.print_exc()
        else:
            print(f"ok: {title} ({time.monotonic() - began:.0f} s)")
        sys.stdout.flush()
    print(f"{len(checks) - failed} passed, {failed} failed")
    return 1 if failed else 0
