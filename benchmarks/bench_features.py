"""Feature extraction beside the librosa chain, in one run, on the same clips: whole chain from a wav file to the array on disk.

The peer is what people write today, one process: soundfile in float64, librosa.resample, librosa's mel spectrogram and
power_to_db, one .npy per clip. Ours is `MelSpectrogram.extract`. Rounds alternate, so that a busy machine slows both; the ratio of medians
is the figure.

    python benchmarks/bench_features.py [--data ESC10_FOLDER] [--clips 240] [--rounds 5]
"""

import argparse
import json
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile
from rich.console import Console
from rich.table import Table

from dcasekit import audio
from dcasekit.datasets import ESC10
from dcasekit.features import Mel
from dcasekit.features.mel_spectrogram import MelSpectrogram
from dcasekit.testing import make_dataset

SR, FFT, HOP, BANDS = 22050, 1024, 512, 64


def librosa_chain(files: list[Path], folder: Path) -> None:
    """Decode, resample, log-mel, store: one file after the other."""
    import librosa

    folder.mkdir()
    for path in files:
        samples, rate = soundfile.read(path)
        samples = librosa.resample(samples, orig_sr=rate, target_sr=SR)
        mel = librosa.feature.melspectrogram(y=samples, sr=SR, n_fft=FFT, hop_length=HOP, n_mels=BANDS)
        np.save(folder / f"{path.stem}.npy", librosa.power_to_db(mel))


def wav_copy(source: Path | None, folder: Path, clips: int) -> ESC10:
    """Make an ESC-10 folder of 44.1 kHz 16-bit wav: of real clips if there are any, else synthetic ones of 5 s."""
    if source is None:
        return make_dataset("esc10", folder, clips=clips, seconds=5.0)  # type: ignore[return-value]
    original = ESC10(source, cache=folder)
    meta = (source / "meta" / "esc50.csv").read_text().replace(".ogg", ".wav").splitlines()
    (folder / "meta").mkdir(parents=True)
    (folder / "meta" / "esc50.csv").write_text("\n".join(meta[: clips + 1]) + "\n")
    for clip in original.clips[:clips]:
        samples, rate = audio.read(clip.path)
        audio.write(folder / "audio" / f"{clip.id}.wav", samples, rate, subtype="PCM_16")
    return ESC10(folder)


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="an ESC-50 or ESC-10 folder; default: synthetic sounds")
    parser.add_argument("--clips", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    feature = MelSpectrogram(sr=SR, audio_win=FFT, audio_hop=HOP, mel=Mel(bands=BANDS))
    seconds: dict[str, list[float]] = {"librosa, 1 process": [], "dcasekit, 1 process": [], "dcasekit, 2 processes": []}
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        dataset = wav_copy(options.data, work / "data", options.clips)
        files = [clip.path for clip in dataset.clips]
        librosa_chain(files[:2], work / "warm")  # numba compiles on the first call
        list(feature.extract(dataset, jobs=2).entries)  # worker processes start on the first call
        for round_ in range(options.rounds):
            for label, times in seconds.items():
                shutil.rmtree(work / "data" / "features", ignore_errors=True)
                began = time.perf_counter()
                if label.startswith("librosa"):
                    librosa_chain(files, work / f"librosa{round_}")
                else:
                    feature.extract(dataset, jobs=int(label.split()[1]))
                times.append(time.perf_counter() - began)
        began = time.perf_counter()
        feature.extract(dataset)
        again = time.perf_counter() - began
    peer = statistics.median(seconds["librosa, 1 process"])
    table = Table("chain", "ms per clip (median)", "times librosa", title=f"{len(files)} clips, {options.rounds} rounds")
    for label, times in seconds.items():
        middle = statistics.median(times)
        table.add_row(label, f"{1000 * middle / len(files):.2f}", f"{peer / middle:.2f}")
    Console().print(table, f"extract again, nothing changed: {1000 * again:.1f} ms for {len(files)} clips")
    if options.json:
        options.json.write_text(json.dumps({"clips": len(files), "seconds": seconds, "again": again}, indent=2))


if __name__ == "__main__":
    main()
