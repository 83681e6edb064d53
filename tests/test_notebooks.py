"""The notebooks run, each by itself in a folder of its own, and end in a picture."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dcasekit

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.py"))

RUN = """
import runpy, sys
runpy.run_path(sys.argv[1], run_name="__main__")
from matplotlib import pyplot
assert pyplot.get_fignums(), "no picture"
for number in pyplot.get_fignums():
    pyplot.figure(number).savefig(f"picture{number}.png")
"""


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_to_its_picture(notebook, tmp_path):
    settings = {name: value for name, value in os.environ.items() if name != "DCASEKIT_DATA"}
    settings |= {"DCASEKIT_QUICK": "1", "MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "LOKY_MAX_CPU_COUNT": "1"}
    settings["PYTHONPATH"] = str(Path(dcasekit.__file__).parent.parent)
    run = [sys.executable, "-W", "ignore::UserWarning:__main__", "-c", RUN, str(notebook)]
    done = subprocess.run(run, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert (tmp_path / "picture1.png").stat().st_size > 5000


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_begins_with_its_title_and_how_it_is_opened(notebook):
    first = notebook.read_text(encoding="utf-8").split("# %%")[1]
    assert first.startswith(" [markdown]\n# # ")
    assert f"`jupytext --to ipynb notebooks/{notebook.name}`" in first
