"""Seconds from a 10 s wav file to scores on one core: the whole way (read, front end, network), the network alone, and the exported file.

Each model with the front end it was published with, weights as they start. The figure is the median of alternating rounds, and how many
times faster than the sound that is. The export, for sounds of any length, is run by ONNX Runtime with one thread.

    OMP_NUM_THREADS=1 python benchmarks/bench_inference.py [--rounds 15] [--json FILE]
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnxruntime
import torch
from rich.console import Console
from rich.table import Table

from dcasekit import audio, export
from dcasekit.containers.base import ModelContainer
from dcasekit.features import STFT, Mel, MelSpectrogram, NaturalLog
from dcasekit.models import CRNN2018, CRNN2023, SB_CNN, CompactCNN, SceneCNN

SECONDS = 10.0


def systems() -> dict[str, tuple[ModelContainer, MelSpectrogram, str]]:
    """Give each model with its features and task."""
    long, magnitude = {"sequence_time": None}, NaturalLog(floor=2**-52, mode="add")
    scene = MelSpectrogram(
        sr=48000, audio_win=1920, audio_hop=960, stft=STFT(n_fft=2048, window="hamming", power=1), mel=Mel(bands=40), log=magnitude, **long
    )
    maestro = MelSpectrogram(sr=44100, audio_win=17640, audio_hop=8820, mel=Mel(bands=64), **long)
    weak = MelSpectrogram(
        sr=44100, audio_win=1764, audio_hop=882, stft=STFT(n_fft=2048, window="hamming", power=1), mel=Mel(bands=64), log=magnitude, **long
    )
    return {
        "SceneCNN": (SceneCNN(), scene, "classification"),
        "CRNN2023": (CRNN2023(), maestro, "detection"),
        "CRNN2018": (CRNN2018(), weak, "detection"),
        "CompactCNN": (CompactCNN(), MelSpectrogram(audio_hop=512, **long), "classification"),
        "SB_CNN": (SB_CNN(), MelSpectrogram(audio_hop=512, sequence_time=3.0, sequence_hop_time=1.0), "classification"),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        ways = {name: ready(*parts, Path(folder) / name) for name, parts in systems().items()}
        seconds: dict[str, dict[str, list[float]]] = {name: {way: [] for way in each} for name, each in ways.items()}
        for number in range(options.rounds + 2):
            for name, each in ways.items():
                for way, function in each.items():
                    began = time.perf_counter()
                    function()
                    if number > 1:  # the first two warm up
                        seconds[name][way].append(time.perf_counter() - began)
    table = Table("model", *ways["SB_CNN"], title=f"A clip of {SECONDS:g} s on one core: milliseconds (times real time)")
    for name, found in seconds.items():
        medians = [statistics.median(times) for times in found.values()]
        table.add_row(name, *(f"{1000 * median:.1f} ({SECONDS / median:.0f})" for median in medians))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(seconds, indent=1))


def ready(model: ModelContainer, features: MelSpectrogram, task: str, folder: Path) -> dict[str, Callable[[], object]]:
    """Build a model, write a clip and an export, and give the ways from one to scores."""
    folder.mkdir()
    model.build(features.get_shape(SECONDS)[1:], tuple("abcdefghij"), task=task)
    model.features = features
    sound = np.random.default_rng(0).normal(0, 0.1, round(SECONDS * features.sr)).astype(np.float32)
    path = audio.write(folder / "clip.wav", sound, features.sr)
    frames = features.compute(sound)
    windows = features.grid(len(frames), SECONDS).cut(frames)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(export.onnx(model, folder / "model.onnx"), settings)
    return {
        "file to scores": lambda: model.predict([path]),
        "network": lambda: model.answer(windows),
        "export, waveform to scores": lambda: session.run(None, {"waveform": sound[None]}),
    }


if __name__ == "__main__":
    main()
