"""Whatever an audio file holds, reading it gives the same samples in every way, or one named error, in little memory."""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("audio_cases.py")
SPEC = importlib.util.spec_from_file_location("audio_cases", CASES)
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)

# A child: a crash of a codec, or a promise that is allocated, ends it and not the tests.
CHILD = """
import importlib.util, json, resource, sys
from pathlib import Path
import numpy as np
from dcasekit import audio
from dcasekit.errors import AudioError

resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
cases, folder, seed, count = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
spec = importlib.util.spec_from_file_location("audio_cases", cases)
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
read, refused, wrong = 0, 0, []
for name, content in module.cases(seed, count):
    path = folder / name
    path.write_bytes(content)
    try:
        head = audio.info(path)
        whole, sr = audio.read(path)
        joined = np.concatenate(list(audio.blocks(path, seconds=0.07)))
        third = head.samples // 3
        part, _ = audio.read(path, start=third / sr)
        if not (len(whole) == head.samples and np.isfinite(whole).all() and (joined == whole).all() and (part == whole[third:]).all()):
            wrong.append(name)
        read += 1
    except AudioError as error:
        if str(path) not in str(error):
            wrong.append(f"{name}: {error}")
        refused += 1
    except Exception as error:
        wrong.append(f"{name}: {error!r}")
    path.unlink()
print(json.dumps([read, refused, wrong]))
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_but_samples_or_a_named_error_comes_out(tmp_path, seed):
    done = subprocess.run(
        [sys.executable, "-c", CHILD, str(CASES), str(tmp_path), str(seed), "250"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    read, refused, wrong = json.loads(done.stdout)
    assert wrong == []
    assert read > 40, "some damage is harmless"
    assert refused > 100


def test_the_same_seed_gives_the_same_cases():
    assert list(MODULE.cases(7, 20)) == list(MODULE.cases(7, 20))
    assert list(MODULE.cases(7, 20)) != list(MODULE.cases(8, 20))
