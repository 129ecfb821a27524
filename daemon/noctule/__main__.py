"""The noctule command. Loads only what the chosen verb needs, so that `noctule status` is quick on a small board."""

from __future__ import annotations

import sys


def main(argv: list[str] | None = None) -> int:
    """Entry point; the exit status."""
    from noctule.cli import run_command

    return run_command(sys.argv[1:] if argv is None else argv)


if __name__ == "__main__":
    sys.exit(main())
