"""Train on a folder of your own recordings, ask the model about a new one, and keep it."""

from pathlib import Path

from dcasekit import DataGenerator, load
from dcasekit.datasets import Folder
from dcasekit.features import Mel, MelSpectrogram
from dcasekit.models import CompactCNN


def train_on(recordings: Path, out: Path, *, epochs: int = 30) -> float:
    """Train on three parts, choose the epoch on a fourth, test on the fifth; give the accuracy."""
    dataset = Folder(
        recordings, cache=out / "cache"
    )  # dog/bark.wav, cat/meow.wav ...: the folder's name is the label
    print(dataset.layout)  # how the folder was understood, and what is left out
    features = MelSpectrogram(
        sr=16000, audio_win=800, audio_hop=400, mel=Mel(bands=40), sequence_time=None
    )
    features.extract(dataset)  # once: the second call computes nothing

    split = dataset.split()
    train = DataGenerator(dataset, features, folds=split.train)
    validation = DataGenerator(dataset, features, folds=split.validation, train=False)
    test = DataGenerator(dataset, features, folds=split.test, train=False)

    model = CompactCNN()
    model.train(train, validation, epochs=epochs, batch_size=16, learning_rate=3e-3, seed=0)
    results = model.evaluate(test)
    print(results)
    model.save(out / "model")
    return results.numbers["accuracy"]


def ask(model: Path, recording: Path) -> str:
    """Give the label of a recording; the front end travels with the model."""
    (scores,) = load(model).predict([recording])
    return scores.top(1)[0][0]


def check(folder: Path) -> None:
    """Run it on made recordings: what the tests of this page do."""
    import numpy as np

    from dcasekit import audio

    rng = np.random.default_rng(0)
    for label, pitch in (("high", 2000), ("low", 200)):
        for number in range(15):
            time = np.arange(16000) / 16000
            tone = np.sin(2 * np.pi * pitch * rng.uniform(0.9, 1.1) * time)
            path = folder / "recordings" / label / f"{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            audio.write(path, 0.3 * tone + rng.normal(0, 0.05, 16000), 16000)
    assert train_on(folder / "recordings", folder / "out", epochs=12) == 1.0
    assert ask(folder / "out" / "model", folder / "recordings" / "high" / "0.wav") == "high"
