"""What the package asks for when it is installed, and what its own tests are installed with."""

import importlib.util
import re
import tomllib
from pathlib import Path

import dcasekit

ROOT = Path(__file__).parents[1]
EXTRAS = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]


def test_no_release_of_pytorch_is_shut_out():
    assert EXTRAS["torch"] == ["torch>=2.4"]
    assert "<2.14" not in (ROOT / "README.md").read_text()


def test_the_tested_build_is_pinned_in_a_file_that_every_install_of_the_makefile_keeps_to():
    assert re.search(r"^torch==\d+\.\d+\.\d+$", (ROOT / "constraints" / "cpu.txt").read_text(), re.MULTILINE)
    installs = re.findall(r"pip install .*--editable '\.\[.*", makefile := (ROOT / "Makefile").read_text())
    assert sorted(re.search(r"--constraint (\S+)", line)[1] for line in installs) == ["$(CONSTRAINTS)"] * 3 + ["constraints/lowest.txt"]
    assert "CONSTRAINTS ?= constraints/cpu.txt" in makefile


def test_the_lowest_versions_are_those_that_are_allowed():
    spec = importlib.util.spec_from_file_location("lowest", ROOT / "tools" / "lowest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "constraints" / "lowest.txt").read_text() == module.lowest(), "run python tools/lowest.py"


def test_the_citation_names_this_version():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"version: {dcasekit.__version__}\n" in citation
    assert citation.startswith("cff-version: 1.2.0\n")
