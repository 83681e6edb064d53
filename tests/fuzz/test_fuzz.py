"""Whatever a file holds, reading it gives what it says, or one named error, in bounded memory and time; see `fuzz.py`."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
FAMILIES = sorted(path.stem.removesuffix("_cases") for path in FUZZ.parent.glob("*_cases.py"))
CASES = -(-2000 // len(FAMILIES))  # of each; `make fuzz` runs more


def run(*arguments, **environment):
    done = subprocess.run([sys.executable, FUZZ, *map(str, arguments)], capture_output=True, text=True, check=False, **environment)
    return done, done.stdout


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_but_answers_and_named_errors_come_out(tmp_path, family):
    done, told = run(family, "--cases", CASES, "--out", tmp_path)
    assert done.returncode == 0, told + done.stderr
    read, refused = map(int, re.search(r"(\d+) read, (\d+) refused, 0 findings", told).groups())
    assert read + refused == CASES
    assert min(read, refused) > CASES / 50, "some damage is harmless"


def test_the_same_seed_gives_the_same_cases(tmp_path):
    one, other, next_one = (run("annotation", "--cases", 20, "--seed", seed, "--out", tmp_path)[1] for seed in (7, 7, 8))
    assert one == other
    assert one.partition("inputs")[2] != next_one.partition("inputs")[2]


SICK = """
import ctypes, os, time

def case(seed):
    return f"{seed}.txt", b"%d" % seed

def attempts(folder, name, content):
    yield lambda: {ways}[int(content)]()

def crash():
    ctypes.string_at(0)

def spin():
    while True:
        pass

def eat():
    return bytearray(8 << 30)
"""


def test_a_crash_a_hang_and_hunger_are_findings_and_the_run_goes_on(tmp_path):
    for name in ("fuzz.py", "mutations.py"):
        (tmp_path / name).write_text(FUZZ.with_name(name).read_text().replace("SECONDS = 20", "SECONDS = 1"))
    (tmp_path / "sick_cases.py").write_text(SICK.replace("{ways}", "[str, crash, str, spin, eat, str]"))
    done = subprocess.run(
        [sys.executable, tmp_path / "fuzz.py", "--cases", "6", "--out", tmp_path / "out"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    lines = [line for line in done.stdout.splitlines() if line.startswith("FINDING")]
    assert [re.search(r"--seed (\d)", line)[1] for line in lines] == ["1", "3", "4"]
    assert "ends the process with -11" in lines[0]
    assert "takes more than 1 s" in lines[1]
    assert "MemoryError" in lines[2]
    assert sorted(path.read_bytes() for path in (tmp_path / "out").iterdir()) == [b"1", b"3", b"4"]
    assert "3 read, 0 refused, 3 findings" in done.stdout
