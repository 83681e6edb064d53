"""A few of the kills of ``make kill``; each at the same moment every time."""

import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from dcasekit.cli.training import Journal
from dcasekit.core import discover

CHEAP = "extract,augment,train,train keras,train sklearn,download,resample,convert,split,soundscapes"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="kills forked processes")
def test_commands_that_were_killed_or_refused_by_the_disk_end_as_undisturbed_ones_when_run_again():
    if importlib.util.find_spec("keras") is None:  # to import it would need a backend to be chosen
        pytest.skip("needs Keras: python -m pip install 'dcasekit[keras]'")
    pytest.importorskip("sklearn")
    command = [sys.executable, str(Path(__file__).with_name("runner.py")), "--kills", "10", "--faults", "5", "--seed", "3", "--only", CHEAP]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("\tequal\n") == 15
    assert "=\tdownload\t1 kills, 0 refusals, 0 with another end\n" in done.stdout
    assert done.stdout.endswith("=\tall\t10 kills, 5 refusals, 0 with another end\n")


def test_every_recipe_command_and_backend_is_killed():
    source = Path(__file__).with_name("scenarios.py").read_text()
    recipes = set(re.findall(r'recipe, name="(\w+)"', source))
    assert recipes == set(discover.names("recipes"))
    commands = set(re.findall(r'\b(?:run\(|given = \[)\s*(?:\*\()?"([\w-]+)"', source))
    assert {"extract", "augment", "train", "fine-tune", "evaluate", "predict", "score", "run"} <= commands
    assert {name.rpartition(".")[0] for name in re.findall(r'model="([\w.]+)"', source)} == {"", "keras", "sklearn"}


def test_epochs_whose_note_was_killed_are_noted_at_the_end(tmp_path):
    history = [{"epoch": epoch, "loss": 1 / epoch, "seconds": 0.5} for epoch in (1, 2, 3)]
    whole, killed = Journal(tmp_path / "whole"), Journal(tmp_path / "killed")
    for record in history:
        whole(record)
    for record in history[::2]:
        killed(record)
    for journal in (whole, killed, killed):
        journal.complete(history)
    assert (tmp_path / "killed" / "history.csv").read_text() == (tmp_path / "whole" / "history.csv").read_text()
    lines = [sorted(line[20:] for line in (tmp_path / name / "train.log").read_text().splitlines()) for name in ("whole", "killed")]
    assert lines[0] == lines[1] == ["epoch 1: loss 1.000", "epoch 2: loss 0.500", "epoch 3: loss 0.333"]
