"""Are the libraries for pictures here? They are an extra: a board without eyes does not carry them."""

from __future__ import annotations

import importlib.util

from noctule.core.errors import UnavailableError

#: module -> what installs it
_LIBRARIES = {"av": "av", "PIL": "pillow"}


def need_capture() -> None:
    """UnavailableError when a library for pictures is not installed."""
    missing = [package for module, package in _LIBRARIES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise UnavailableError(
            f"pictures need {' and '.join(missing)}, which {'is' if len(missing) == 1 else 'are'} not installed",
            "pip install 'noctule[capture]' in Noctule's environment",
        )
