"""Kill commands at random moments, or let the disk refuse; run them again, and compare with runs that nobody disturbed.

``python tests/kill/runner.py --kills 200 --seed 0`` prints a line per kill, then one per scenario, and ends with 1 if any left other
results, a temporary file, or touched anything but its outputs. Each command runs in a child that is forked here, so that packages are
imported once. It is killed (SIGKILL) before the k-th thing it does to a file of its outputs, which is the same moment every time; with
``--clock``, in some cases after a share of the time that the whole takes. With ``--faults``, the disk then refuses (full, read-only,
damaged, without locks) all that is written from some moment on: the command must say so in one line that names a file of its outputs and
what to do.
"""

import argparse
import csv
import errno
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import scenarios  # noqa: E402

from dcasekit import audio  # noqa: E402
from dcasekit.errors import DcasekitError  # noqa: E402
from dcasekit.features._store import FeatureStore  # noqa: E402

EVENTS = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
FAULTS = (errno.ENOSPC, errno.EROFS, errno.EIO, errno.ENOLCK)
TIMES = {"seconds", "finished", "date", "created", "time", "duration_s", "energy"}
Work = Callable[[Path, Path], None]


def child(work: Work, inputs: Path, out: Path, log: Path, stop: int, fault: int = 0) -> int:
    """Fork a child that does the work and kills itself before the `stop`-th thing it does to its outputs; 0: never. Give its number.

    With a `fault`, a number of errno, it goes on, and this and all that it writes later is refused with it.
    """
    if pid := os.fork():
        return pid
    os.setsid()
    done, below = 0, os.fsencode(out)

    def watch(event: str, args: tuple[Any, ...]) -> None:
        nonlocal done
        if event == "fcntl.flock" and fault == errno.ENOLCK:
            raise OSError(fault, os.strerror(fault))
        if (
            fault == errno.ENOLCK
            or event not in EVENTS
            or not isinstance(args[0], str | bytes | os.PathLike)
            or not os.fsencode(args[0]).startswith(below)
        ):
            return
        if event != "open" or (args[2] or 0) & WRITING:
            done += 1
            if done == stop and not fault:
                os.kill(os.getpid(), signal.SIGKILL)
            if 0 < stop <= done and fault and (event in ("open", "os.mkdir") or fault == errno.EROFS):
                raise OSError(fault, os.strerror(fault), os.fsdecode(args[0]))

    code = 1
    try:
        handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, 1)
        os.dup2(handle, 2)
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # one process and one thread, unless --jobs says otherwise
        sys.addaudithook(watch)
        work(inputs, out)
        code = 0
    except SystemExit:
        pass
    except DcasekitError as error:
        print(f"error: {error}")  # noqa: T201
    except BaseException:  # noqa: BLE001 - the child ends here
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        log.with_suffix(".count").write_text(str(done))
        os._exit(code)


def finish(pid: int) -> int:
    """Wait for a child; give its exit code, negative if it was killed."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def ended(pid: int, after: float, *, group: bool) -> bool:
    """Kill a child after some seconds, with its workers or without; tell whether it ended before."""
    end = time.monotonic() + after
    while time.monotonic() < end:
        if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return finish(pid) == 0
        time.sleep(0.002)
    with suppress(ProcessLookupError):  # it has no group of its own yet
        os.killpg(pid, signal.SIGKILL if group else 0)
    os.kill(pid, signal.SIGKILL)
    return finish(pid) == 0


def snapshot(folder: Path) -> dict[str, Any]:
    """Every file with what it says, but for times; the frames of a store by clip."""
    return {path.relative_to(folder).as_posix(): contents(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def contents(path: Path) -> Any:  # noqa: PLR0911 - a way for each kind of file
    if path.name in (".lock", ".dcasekit"):
        return None
    if path.name in ("checkpoint.safetensors", "report.html", "page.html") or path.suffix == ".pt2":
        return path.stat().st_size > 0
    if path.name == "index.json" and (path.parent / "settings.json").exists():
        store = FeatureStore(path.parent)
        return {clip: store.read(clip).tobytes() for clip in sorted(store.entries)}
    if path.suffix in (".json", ".jams"):
        return timeless(json.loads(path.read_text()))
    if path.name == "history.csv":
        header, *rows = csv.reader(path.read_text().splitlines())
        return [[cell for name, cell in zip(header, row, strict=True) if name != "seconds"] for row in rows]
    if path.suffix == ".wav":
        return [part.tobytes() if hasattr(part, "tobytes") else part for part in audio.read(path)]  # libsndfile notes the time
    if path.name == "train.log":  # a line whose epoch was noted late comes last
        return sorted(line.partition(" epoch ")[2] for line in path.read_text().splitlines())
    if path.name == "report.md":
        return re.sub(r"\d\d\d\d-\d\d-\d\d \d\d:\d\d(:\d\d)?|[\d.]+ (s|min|minutes|seconds)\b", "", path.read_text())
    return path.read_bytes()


def timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: timeless(item) for key, item in value.items() if key not in TIMES and key != "origin"}
    return [timeless(item) for item in value] if isinstance(value, list) else value


def untouched(folder: Path) -> dict[str, tuple[int, int]]:
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in folder.rglob("*") if path.is_file()}


class Trial:
    """One scenario, its undisturbed result, and its kills."""

    def __init__(self, name: str, work: Work, root: Path) -> None:
        self.name, self.work, self.root = name, work, root
        self.inputs, self.out, self.log = root / "inputs", root / "out", root.parent / f"{root.name}.log"
        self.out.mkdir()
        began = time.monotonic()
        code = finish(self.start())
        self.seconds = time.monotonic() - began
        if code:
            raise SystemExit(f"{name}: {self.log.read_text()}")
        self.actions = int(self.log.with_suffix(".count").read_text())
        self.expected, self.before = snapshot(self.out), untouched(self.inputs)

    def start(self, stop: int = 0, fault: int = 0) -> int:
        return child(self.work, self.inputs, self.out, self.log, stop, fault)

    def fault(self, rng: random.Random, number: int) -> tuple[str, list[str]]:
        """Refuse what it writes from some moment on; say from when, and what is wrong with what it said and with running it again."""
        shutil.rmtree(self.out)
        self.out.mkdir()
        stop = rng.randint(1, self.actions)
        code = finish(self.start(stop, number))
        said = [line for line in self.log.read_text().splitlines() if line.startswith("error: ")]
        wrong = [] if len(said) == 1 or code == 0 else [f"it said {self.log.read_text()[-1500:]}"]
        wrong += [
            f"no file or way on: {line}"
            for line in said
            if str(self.out) not in line or not re.search("--cache|free some space|again|another folder", line)
        ]
        return f"{errno.errorcode[number]} at {stop} of {self.actions} actions", wrong + self.problems()

    def kill(self, rng: random.Random, *, clock: bool) -> tuple[str, list[str]]:
        """Kill once or twice, run to the end; say when it was killed, and what is wrong then."""
        shutil.rmtree(self.out)
        self.out.mkdir()
        moments = []
        for _ in range(1 + (rng.random() < 0.25)):
            if "processes" in self.name or (clock and rng.random() < 0.4):
                after, group = rng.uniform(0, self.seconds), rng.random() < 0.5
                moments.append(f"killed after {after:.2f} of {self.seconds:.2f} s")
                ended(self.start(), after, group=group)
            else:
                stop = rng.randint(1, self.actions)
                moments.append(f"killed at {stop} of {self.actions} actions")
                finish(self.start(stop))
        return " and ".join(moments), self.problems()

    def problems(self) -> list[str]:
        if finish(self.start()):
            return [f"run again it fails: {self.log.read_text()[-1500:]}"]
        found = snapshot(self.out)
        wrong = [f"{name} is missing" for name in self.expected.keys() - found.keys()]
        wrong += [f"{name} is left behind" for name in found.keys() - self.expected.keys() if not name.endswith(".lock")]
        wrong += [f"{name} differs" for name in self.expected.keys() & found.keys() if self.expected[name] != found[name]]
        wrong += [f"{name} was touched" for name, state in untouched(self.inputs).items() if self.before.get(name) != state]
        wrong += [f"{path} is outside" for path in self.root.iterdir() if path not in (self.inputs, self.out)]
        return wrong + [f"{path.name} is empty" for path in self.out.rglob("*") if path.is_dir() and not any(path.iterdir())]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--clock", action="store_true", help="kill by the clock too")
    parser.add_argument("--faults", type=int, default=0, help="how often the disk refuses instead")
    parser.add_argument("--only", default="", help="names of scenarios, with commas")
    args = parser.parse_args()
    folder, counts = Path(tempfile.mkdtemp(prefix="dcasekit-kill-")), dict[str, Counter[str]]()
    try:
        (folder / "root").mkdir()
        (folder / "root" / "inputs").mkdir()
        make = child(lambda inputs, _: scenarios.inputs(inputs), folder / "root" / "inputs", folder / "none", folder / "inputs.log", 0)
        if finish(make):
            raise SystemExit((folder / "inputs.log").read_text())
        every = scenarios.scenarios(scenarios.serve(folder / "root" / "inputs" / "served"))
        chosen = {name: every[name] for name in (args.only.split(",") if args.only else every)}
        for number, (name, work) in enumerate(chosen.items()):
            os.chdir(folder / "root")
            trial = Trial(name, work, folder / "root")
            print(f"-\t{name}\t{trial.actions} actions in {trial.seconds:.2f} s", flush=True)  # noqa: T201
            counts[name] = Counter()
            for kill in range(number, args.kills + args.faults, len(chosen)):
                rng = random.Random(f"{args.seed} {kill}")
                refused = kill >= args.kills and name != "predict"  # whose answers are written by the shell
                when, wrong = trial.fault(rng, rng.choice(FAULTS)) if refused else trial.kill(rng, clock=args.clock)
                counts[name] += Counter(["refusals" if refused else "kills", *(["with another end"] if wrong else [])])
                print(f"{kill}\t{name}\t{when}\t{'; '.join(wrong) or 'equal'}", flush=True)  # noqa: T201
            shutil.rmtree(trial.out)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for name, count in {**counts, "all": sum(counts.values(), Counter())}.items():
        told = ", ".join(f"{count[what]} {what}" for what in ("kills", "refusals", "with another end"))
        print(f"=\t{name}\t{told}")  # noqa: T201
    return count["with another end"] > 0


if __name__ == "__main__":
    sys.exit(main())
