"""A pretrained network of others: as it is, as a feature; or tuned to your labels, as a model."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit import FeatureExtractor
from dcasekit.containers.torch import TorchModelContainer


class Encoder(nn.Module):
    """Stands for the network of others: waveforms (windows, samples) to (windows, values).

    In its place import theirs, and reduce what it answers to one row for a window, such as
    ``self.cnn14(audio)["embedding"]`` (2,048 values at 32 kHz), or the mean over time of what
    BEATs or CED give (16 kHz).
    """

    values = 24

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv1d(1, 24, 64, stride=16)

    def forward(self, audio: Tensor) -> Tensor:
        """Answer waveforms."""
        return self.first(audio[:, None]).relu().mean(2)


def load_encoder(weights: str) -> Encoder:
    """Make the network with its weights; a file of them is read without running code from it."""
    encoder = Encoder()
    state = torch.load(weights, map_location="cpu", weights_only=True)
    encoder.load_state_dict(state, assign=True)
    return encoder


@lru_cache(maxsize=1)
def _frozen(weights: str, _changed: int) -> Encoder:
    """Load the network once per process, and anew where the file has changed."""
    return load_encoder(weights).eval()


@dataclass(frozen=True, kw_only=True)
class PretrainedEmbedding(FeatureExtractor):
    """What the network says of each second: (seconds, values).

    Parameters
    ----------
    weights : file of the network's weights.
    """

    weights: str = "encoder.pt"
    sr: int = 16000
    audio_win: int = 16000
    audio_hop: int = 16000
    sequence_time: float | None = None  # a clip is one window

    def compute_blocks(self, blocks: Iterable[np.ndarray]) -> Iterator[np.ndarray]:
        """Turn blocks of audio into blocks of rows; the last second is filled up with zeros."""
        rest = np.zeros(0, np.float32)
        for block in blocks:
            audio = np.concatenate([rest, block])
            whole = len(audio) // self.audio_hop * self.audio_hop
            rest = audio[whole:]
            if whole:
                yield self._embed(audio[:whole])
        if len(rest):
            yield self._embed(np.pad(rest, (0, self.audio_hop - len(rest))))

    def _embed(self, audio: np.ndarray) -> np.ndarray:
        encoder = _frozen(self.weights, Path(self.weights).stat().st_mtime_ns)
        with torch.no_grad():
            return encoder(torch.from_numpy(audio.reshape(-1, self.audio_hop))).numpy()


@dataclass(kw_only=True, eq=False)
class Tuned(TorchModelContainer):
    """The network under a linear answer of its own, all of it trained; for windows of `RawAudio`.

    Parameters
    ----------
    pretrained : file of the weights it starts from; empty: it starts anew.
    """

    pretrained: str = ""

    def network_for(self, frames: int, dims: int, outputs: int, task: str) -> nn.Module:
        """Make the network, with the weights it starts from."""
        encoder = load_encoder(self.pretrained) if self.pretrained else Encoder()
        return nn.Sequential(nn.Flatten(), encoder, nn.Linear(Encoder.values, outputs))


def check(folder: Path) -> None:
    """Check the contracts, and let a linear model learn from the embedding."""
    from dcasekit import DataGenerator, testing
    from dcasekit.containers.projection import find_alike
    from dcasekit.models.sklearn import LogisticRegression

    torch.manual_seed(0)
    torch.save(Encoder().state_dict(), folder / "weights.pt")
    weights = str(folder / "weights.pt")
    feature = PretrainedEmbedding(weights=weights)
    testing.check_feature(feature)
    testing.check_model(
        Tuned(pretrained=weights), shape=(4, 200), labels=("cat", "dog"), new_process=False
    )

    dataset = testing.make_dataset("esc10", folder / "esc10", clips=60, sr=16000)
    feature.extract(dataset, jobs=1)
    split = dataset.split("fold1", validation=False)
    model = LogisticRegression()
    model.train(DataGenerator(dataset, feature, folds=split.train), epochs=1)
    results = model.evaluate(DataGenerator(dataset, feature, folds=split.test, train=False))
    assert results.numbers["accuracy"] > 0.5  # by chance: 0.1
    (other, _), *_ = find_alike(dataset.clips[0].path, dataset, feature)
    assert other.tags == dataset.clips[0].tags
