"""Write constraints/lowest.txt: each dependency at the lowest version that pyproject.toml allows, for `make test-lowest`."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
TESTED = ("torch", "keras", "sklearn", "hdf5", "onnx", "frames", "dask")  # extras that the fast tests use

HEAD = "# The lowest versions that pyproject.toml allows; written by tools/lowest.py, used by `make test-lowest`.\n"


def lowest() -> str:
    """Give the constraints: ``numpy>=2.0,<3`` becomes ``numpy==2.0``."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    asked = [*project["dependencies"], *(one for extra in TESTED for one in project["optional-dependencies"][extra])]
    found = (re.match(r"([\w-]+)>=([\w.]+)", one) for one in asked)
    return HEAD + "".join(f"{match[1]}=={match[2]}\n" for match in found if match)


if __name__ == "__main__":
    (ROOT / "constraints" / "lowest.txt").write_text(lowest())
