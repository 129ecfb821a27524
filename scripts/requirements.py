#!/usr/bin/env python3
"""Print the device's requirements from pyproject.toml, one a line: `scripts/requirements.py [EXTRA…]`."""

import re
import sys
from pathlib import Path

text = (Path(__file__).resolve().parent.parent / "pyproject.toml").read_text(encoding="utf-8")
try:
    import tomllib
except ImportError:  # Python 3.10
    import tomli as tomllib  # type: ignore[no-redef]

project = tomllib.loads(text)["project"]
wanted = list(project["dependencies"])
for extra in sys.argv[1:]:
    wanted += project["optional-dependencies"][extra]
for requirement in wanted:
    print(re.sub(r"\s+|;.*", "", requirement))
