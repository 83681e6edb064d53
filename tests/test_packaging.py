"""What the package asks for when it is installed, and what its own tests are installed with."""

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_no_release_of_pytorch_is_shut_out():
    assert EXTRAS["torch"] == ["torch>=2.4"]
    assert "<2.14" not in (ROOT / "README.md").read_text()


def test_the_tested_build_is_pinned_in_a_file_that_every_install_of_the_makefile_keeps_to():
    assert re.search(r"^torch==\d+\.\d+\.\d+$", (ROOT / "constraints" / "cpu.txt").read_text(), re.MULTILINE)
    installs = re.findall(r"pip install .*--editable '\.\[.*", makefile := (ROOT / "Makefile").read_text())
    assert len(installs) == 3
    assert all("--constraint $(CONSTRAINTS)" in line for line in installs)
    assert "CONSTRAINTS ?= constraints/cpu.txt" in makefile
