"""The complete files of the how-to pages: each keeps the contract of its family."""

import importlib.util
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).parent.parent / "docs" / "examples").glob("*.py"))

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example_keeps_its_contract(path, tmp_path, monkeypatch):
    name = f"docs_examples_{path.stem}"  # importable, as a module of one's own is
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    module.check(tmp_path)
