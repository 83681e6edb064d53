"""What the repository holds, and what its tools refuse."""

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SCRIPT = ROOT / ".ci" / "refuse-large-files"


@pytest.mark.skipif(not SCRIPT.exists() or shutil.which("git") is None, reason="needs git and the repository's .ci folder")
def test_large_files_are_refused_unless_a_list_names_them(tmp_path):
    def git(*words):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *words], cwd=tmp_path, check=True, capture_output=True)

    def refused():
        done = subprocess.run([SCRIPT], cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.stderr if done.returncode else ""

    git("init")
    (tmp_path / "small.txt").write_bytes(bytes(100_000))
    git("add", ".")
    assert refused() == ""
    (tmp_path / "a clip.wav").write_bytes(bytes(100_001))
    assert refused() == ""  # not tracked
    git("add", ".")
    assert "a clip.wav" in refused()
    (tmp_path / ".ci").mkdir()
    (tmp_path / ".ci" / "large-files").write_text("a clip.wav\n")
    assert refused() == ""
