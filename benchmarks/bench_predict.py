"""`dcasekit predict` over long recordings and many short ones: speed, memory, and how soon it goes on.

    python benchmarks/bench_predict.py                       # an hour of wav, 12 minutes of flac, 2,000 short files
    python benchmarks/bench_predict.py --hours 10 --flac 2 --files 100000
    python benchmarks/bench_predict.py --hours 0 --flac 0 --files 100000 --kills 5    # killed five times, it ends as undisturbed

A recording of 48 kHz in stereo takes no room on disk (a sparse wav); the flac is noise. SceneCNN with the front end of its publication, new
weights, one core. Memory is the largest resident set less what it was when the model was loaded. Of the many files, each a tenth of a
second (one file under many names), it is timed how long they take to be listed, to be answered, and to be found answered. With
``--kills`` the same work is done once more and killed (SIGKILL) at random moments of it; whatever file of the answers then differs from
those of the undisturbed run, but for times, is named, and the exit code is 1.
"""

import argparse
import json
import os
import resource
import signal
import struct
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

SR, JOURNAL = 48000, "journal.jsonl"


def sparse_wav(path: Path, hours: float) -> Path:
    """Write a wav of silence in stereo that takes no room; from 4 GB on it is a Wave64-like RF64."""
    size = round(hours * 3600) * SR * 4
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, 2, SR, 4 * SR, 4, 16)
    if size < 0xFFFFFF00:
        head = struct.pack("<4sI4s", b"RIFF", 36 + size, b"WAVE") + form + struct.pack("<4sI", b"data", size)
    else:
        ds64 = struct.pack("<4sIQQQI", b"ds64", 28, 72 + size, size, size // 4, 0)
        head = struct.pack("<4sI4s", b"RF64", 0xFFFFFFFF, b"WAVE") + ds64 + form + struct.pack("<4sI", b"data", 0xFFFFFFFF)
    with path.open("wb") as file:
        file.write(head)
        file.truncate(len(head) + size)
    return path


def noise_flac(path: Path, hours: float) -> Path:
    """Write noise whose level changes, in stereo."""
    import soundfile

    rng = np.random.default_rng(0)
    with soundfile.SoundFile(path, "w", SR, 2) as file:
        for minute in range(round(60 * hours)):
            file.write(((minute % 7) * 0.01 * rng.standard_normal((60 * SR, 2))).clip(-1, 1).astype(np.float32))
    return path


def save_models(folder: Path) -> None:
    """Save SceneCNN as published, and one for short windows."""
    from dcasekit.features import MelSpectrogram
    from dcasekit.models import SceneCNN

    for name, features in {
        "long": MelSpectrogram.preset("asc_tutorial"),
        "short": MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, sequence_time=0.2, sequence_hop_time=0.2),
    }.items():
        model = SceneCNN().build((features.get_shape()[1], features.dims), tuple("abcdefghij"))
        model.features = features
        model.save(folder / name)


def measured(model: Path, recording: Path, out: Path) -> dict[str, float]:
    """Answer one recording in a process of its own, with one thread; give seconds, and MiB above the start."""
    code = "import sys; from bench_predict import worker; worker(*sys.argv[1:])"
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-c", code, str(model), str(recording), str(out)],
        cwd=Path(__file__).parent, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def worker(model: str, recording: str, out: str) -> None:
    """Do what `measured` measures."""
    import torch

    from dcasekit import audio, load
    from dcasekit.cli import app

    torch.set_num_threads(1)
    load(model)
    seconds = audio.info(recording).duration
    before = int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")
    began, cpu = time.perf_counter(), time.process_time()
    app(["predict", recording, "--model", model, "--out", out, "--jobs", "1", "--device", "cpu", "-q"], standalone_mode=False)
    took, cpu = time.perf_counter() - began, time.process_time() - cpu
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before
    print(json.dumps({"audio_s": seconds, "s": took, "cpu_s": cpu, "times_real_time": seconds / took, "above_start_mib": most / 2**20}))


def many(model: Path, folder: Path, count: int) -> dict[str, float]:
    """Answer many short files, then go on where there is nothing left to do."""
    from dcasekit import audio
    from dcasekit.cli.recordings import find

    sound = audio.write(folder / "sound.wav", (0.1 * np.random.default_rng(0).standard_normal(800)).astype(np.float32), 8000)
    for number in range(count):
        place = folder / "many" / f"{number // 1000:03}"
        place.mkdir(parents=True, exist_ok=True)
        os.link(sound, place / f"{number}.wav") if number % 60000 else (place / f"{number}.wav").write_bytes(sound.read_bytes())
        if number % 60000 == 0:
            sound = place / f"{number}.wav"
    began = time.perf_counter()
    find([folder / "many"])
    found = {"files": count, "list_s": time.perf_counter() - began}
    for name in ("answer_s", "again_s"):
        began = time.perf_counter()
        finish(start(model, folder, "answers"))
        found[name] = time.perf_counter() - began
    return found


def start(model: Path, folder: Path, out: str) -> "subprocess.Popen[bytes]":
    """Begin to answer the short files, or go on with it."""
    command = [sys.executable, "-m", "dcasekit", "predict", folder / "many", "--model", model, "--out", folder / out, "--jobs", "1", "-q"]
    return subprocess.Popen(command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.DEVNULL)  # noqa: S603


def finish(process: "subprocess.Popen[bytes]") -> None:
    """Wait for an end without errors."""
    if code := process.wait():
        raise SystemExit(f"predict ended with {code}")


def killed(model: Path, folder: Path, rng: np.random.Generator, kills: int) -> dict[str, float]:
    """Kill the work of `many` at random moments, end it, and compare what is written with what the undisturbed run wrote."""
    shares = np.sort(rng.uniform(0, 1, kills)) * (folder / "answers" / JOURNAL).stat().st_size
    for size, pause in zip(shares, rng.uniform(0, 0.05, kills), strict=True):
        process = start(model, folder, "killed")
        while noted(folder / "killed") < size and process.poll() is None:
            time.sleep(0.01)
        time.sleep(pause)
        if process.poll() is not None:
            raise SystemExit("predict ended before it could be killed; give more --files or another --seed")
        process.send_signal(signal.SIGKILL)
        process.wait()
        print(f"killed when {noted(folder / 'killed') / shares[-1]:.2%} of what the last kill leaves was noted", flush=True)
    finish(start(model, folder, "killed"))
    whole, ended = (contents(folder / name) for name in ("answers", "killed"))
    differing = sorted(name for name in whole.keys() | ended.keys() if whole.get(name) != ended.get(name))
    print("".join(f"{name} differs\n" for name in differing), end="")
    return {"kills": kills, "files_compared": len(whole), "bytes": sum(map(len, whole.values())), "files_differing": len(differing)}


def noted(folder: Path) -> int:
    """Count the bytes of all journals, which grow with every recording that is answered."""
    total = 0
    for path in folder.rglob(JOURNAL):
        with suppress(FileNotFoundError):  # joined just now
            total += path.stat().st_size
    return total


def contents(folder: Path) -> dict[str, str]:
    """Give what files below a folder say, but for the time that a run took."""
    found = {}
    for path in folder.rglob("*"):
        if path.is_file():
            told = path.read_text(encoding="utf-8").replace(str(folder), "")
            found[path.relative_to(folder).as_posix()] = told
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0, help="of the wav; 0: none")
    parser.add_argument("--flac", type=float, default=0.2, help="hours of the flac; 0: none")
    parser.add_argument("--files", type=int, default=2000, help="short ones; 0: none")
    parser.add_argument("--kills", type=int, default=0, help="of the run over the short ones")
    parser.add_argument("--seed", type=int, default=0, help="of the moments of the kills")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    results = {}
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        save_models(folder)
        if args.hours:
            results["wav"] = measured(folder / "long", sparse_wav(folder / "long.wav", args.hours), folder / "out1")
        if args.flac:
            results["flac"] = measured(folder / "long", noise_flac(folder / "long.flac", args.flac), folder / "out2")
        if args.files:
            results["many"] = many(folder / "short", folder, args.files)
        if args.files and args.kills:
            results["kills"] = killed(folder / "short", folder, np.random.default_rng(args.seed), args.kills)
    for name, found in results.items():
        print(f"{name:5} " + "  ".join(f"{key} {value:,.4g}" for key, value in found.items()))
    if args.json:
        args.json.write_text(json.dumps(results, indent=2) + "\n")
    if results.get("kills", {}).get("files_differing"):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
