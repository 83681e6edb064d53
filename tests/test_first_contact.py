"""What someone meets who tries the commands for the first time, from nothing, with recordings of his own."""

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import audio, cli
from dcasekit.core import discover

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """A folder of one's own: two labels, parted for training and testing."""
    root, rng = tmp_path_factory.mktemp("mine"), np.random.default_rng(0)
    for fold in ("train", "test"):
        for label in ("dog", "rain"):
            audio.write(root / fold / label / f"{fold} {label}.wav", rng.normal(0, 0.1, 4000).astype(np.float32), 8000)
    return root


@pytest.mark.parametrize("name", discover.names("models"))
def test_every_listed_model_trains_without_settings(name, recordings, tmp_path):
    arguments = ["train", "--dataset", "folder", "--data", recordings, "--model", name, "--epochs", 1, "--out", tmp_path / "run"]
    result = CliRunner().invoke(cli.app, list(map(str, arguments)))
    assert result.exit_code == 0, (result.output, result.exception)
    assert (tmp_path / "run" / "model" / "model.json").is_file()
    assert (tmp_path / "run" / "report.html").is_file()
