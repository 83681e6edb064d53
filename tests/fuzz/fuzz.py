"""Give dcasekit files that nobody meant to write: what comes back must be an answer, or one error of its own tree.

``make fuzz CASES=50000 SEED=0`` runs all families; each in child processes with bounded memory and time, so that a crash, a hang or a
hunger for memory ends a child, not the run. A finding is one line with the seed that makes its file again, and the file is kept.

A family is a file ``<family>_cases.py`` beside this one, with

- ``case(seed) -> (name, content)``: a file, the same for the same seed;
- ``attempts(folder, name, content)``: an iterator of functions without arguments: put the file into the (empty) folder where it belongs,
  and yield each way to read it;
- ``prepare(folder)``, if it needs anything that is made once.
"""

import argparse
import contextlib
import faulthandler
import importlib
import json
import logging
import os
import re
import resource
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
FAMILIES = sorted(path.stem.removesuffix("_cases") for path in HERE.glob("*_cases.py"))
MEMORY = 1 << 30  # bytes beyond what a child has when it begins
SECONDS = 20  # of processor time for a case
PATIENCE = 120  # seconds, for a case that waits for something
PER_CHILD = 500  # cases
LONGEST_MESSAGE = 3000


def main() -> int:
    """Run families, or, as a child, one of them."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("families", nargs="*", default=FAMILIES, help=f"of {', '.join(FAMILIES)}; default: all")
    parser.add_argument("--cases", type=int, default=2000, help="in all, shared equally by the families")
    parser.add_argument("--seed", type=int, default=0, help="of the first case; each next case has the next")
    parser.add_argument("--out", type=Path, default=Path("runs/fuzz"), help="folder for the files of findings")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if unknown := set(given.families) - set(FAMILIES):
        parser.error(f"no family {', '.join(unknown)}; there are {', '.join(FAMILIES)}")
    if given.child is not None:
        return child(given.families[0], given.seed, given.cases, Path.cwd(), given.child)
    share = -(-given.cases // len(given.families))  # rounded up: no fewer than were asked for
    return 1 if sum([run(family, given.seed, share, given.out) for family in given.families]) else 0


def run(family: str, seed: int, cases: int, out: Path) -> int:
    """Run a family; print its findings and a summary, and give the number of findings."""
    counts, kinds, inputs = Counter[str](), Counter[str](), 0
    for record in records(family, seed, cases):
        counts[record["outcome"]] += 1
        inputs = zlib.crc32(str(record.get("input")).encode(), inputs)
        if what := record.get("finding"):
            kind = record.get("kind", what)
            kinds[kind] += 1
            if kinds[kind] == 1:  # once for each kind
                name = re.sub(r"[^\w.-]", "_", Path(record["name"]).name)[-80:] or "unnamed"
                kept = out / f"{family}-{record['seed']}-{name}"
                kept.parent.mkdir(parents=True, exist_ok=True)
                kept.write_bytes(record["content"])
                print(f"FINDING {family} --seed {record['seed']} --cases 1: {what}; {record['name']} is in {kept}", flush=True)
    more = sum(kinds.values()) - len(kinds)
    print(
        f"{family}: {cases} cases from seed {seed}: {counts['read']} read, {counts['refused']} refused, {counts['finding']} findings"
        f"{f' ({more} like others)' if more else ''}, inputs {inputs:08x}",
        flush=True,
    )
    return counts["finding"]


def records(family: str, seed: int, cases: int) -> Iterator[dict[str, Any]]:
    """Run cases in children, and give what came of each; a case that ends its child is a finding."""
    at, end = seed, seed + cases
    while at < end:
        with tempfile.TemporaryDirectory(prefix="dcasekit-fuzz-") as folder:
            for record in _in_a_child(family, at, min(PER_CHILD, end - at), Path(folder)):
                if record["outcome"] == "finding":
                    case = Path(folder, "case", str(record["seed"]))
                    record |= {"name": (case / "name").read_text(errors="surrogateescape"), "content": (case / "content").read_bytes()}
                yield record
                at = record["seed"] + 1


def _in_a_child(family: str, seed: int, cases: int, folder: Path) -> Iterator[dict[str, Any]]:
    receiving, sending = os.pipe()
    log = folder / "log"
    command = [sys.executable, str(Path(__file__).resolve()), family, "--seed", str(seed), "--cases", str(cases), "--child", str(sending)]
    environment = {"OMP_NUM_THREADS": "1", **os.environ, "PYTHONHASHSEED": "0", "TMPDIR": str(folder)}
    with log.open("wb") as stream, open(receiving, "rb", buffering=0) as pipe:
        process = subprocess.Popen(
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, pass_fds=[sending], env=environment
        )
        os.close(sending)
        try:
            waiting, rest = seed, b""
            while select.select([pipe], [], [], PATIENCE)[0]:
                if not (received := os.read(pipe.fileno(), 1 << 16)):
                    break
                *lines, rest = (rest + received).split(b"\n")
                for line in filter(None, lines):
                    yield (record := json.loads(line))
                    waiting = record["seed"] + 1
            else:
                process.kill()
            code = process.wait()
        finally:
            process.kill()
            process.wait()
    if waiting < seed + cases:
        if not (folder / "case").exists():
            raise SystemExit(f"the child of {family} did not begin:\n{log.read_text(errors='replace')[-3000:]}")
        ended = {-signal.SIGKILL: f"waits for more than {PATIENCE} s", -signal.SIGPROF: f"takes more than {SECONDS} s"}
        places = re.findall(r'File ".*?(dcasekit/\S+)", line (\d+)', log.read_text(errors="replace"))
        where = f" at {':'.join(places[0])}" if places else ""
        yield {"seed": waiting, "outcome": "finding", "finding": f"{ended.get(code, f'ends the process with {code}')}{where}"}


def child(family: str, seed: int, cases: int, folder: Path, sending: int) -> int:
    """Run cases, each in an empty folder; report each in a line."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    module = importlib.import_module(f"{family}_cases")
    module_folder, work = folder / "prepared", folder / "work"
    module_folder.mkdir()
    getattr(module, "prepare", lambda _: None)(module_folder)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + MEMORY, used + MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    faulthandler.enable()
    faulthandler.register(signal.SIGPROF, chain=True)
    for number in range(seed, seed + cases):
        name, content = module.case(number)
        case = folder / "case" / str(number)
        case.mkdir(parents=True)
        (case / "name").write_text(name, errors="surrogateescape")
        (case / "content").write_bytes(content)
        work.mkdir()
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        outcome = attempt(module, work, name, content)
        signal.setitimer(signal.ITIMER_PROF, 0)
        shutil.rmtree(work)
        if outcome["outcome"] != "finding":
            shutil.rmtree(case)
        os.write(sending, json.dumps({"seed": number, "input": zlib.crc32(content), **outcome}).encode() + b"\n")
    return 0


def attempt(module: Any, folder: Path, name: str, content: bytes) -> dict[str, str]:
    """Read a file in all ways; say whether the first succeeded, or what came out that should not."""
    outcome = ""
    try:
        with contextlib.closing(iter(module.attempts(folder, name, content))) as ways:
            for way in ways:
                refusal = refused(way)
                outcome = outcome or ("refused" if refusal else "read")
                if refusal:
                    if not 0 < len(refusal) <= LONGEST_MESSAGE:
                        raise AssertionError(f"a message of {len(refusal)} characters: {refusal[:200]}")
                    if not any(place in refusal for place in (str(folder.parent), *getattr(module, "PLACES", ()))):
                        raise AssertionError(f"names no file: {refusal}")
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        last = ([frame for frame in frames if "/dcasekit/" in frame.filename] or frames)[-1]
        where = f"{last.filename.rpartition('/dcasekit/')[2]}:{last.lineno}"
        kind = f"{type(error).__name__} at {where}"
        if isinstance(error, AssertionError):
            kind += re.sub(r"\d+|'[^']*'", "#", str(error))[:60]
        return {"outcome": "finding", "finding": f"{type(error).__name__}: {str(error)[:300]!r} at {where}", "kind": kind}
    return {"outcome": outcome}


def refused(way: Callable[[], object]) -> str:
    """Call it; give the message of the named error that it ends in, or nothing."""
    from dcasekit.errors import DcasekitError

    try:
        way()
    except DcasekitError as error:
        return str(error) or "nothing is said"
    return ""


if __name__ == "__main__":
    sys.exit(main())
