"""MST: a mel spectrogram learned from the waveform by convolutions (Tax et al. 2017)."""

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from torch import Tensor, nn

from dcasekit.containers.levels import LevelsModel
from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.models._layers import keras_start
from dcasekit.models._waveform import same


@dataclass(kw_only=True, eq=False)
class MST(LevelsModel, TorchModelContainer):
    """Mel spectrogram transform: three convolutions over time that learn to answer the mel spectrogram of a waveform.

    T. M. S. Tax, J. L. Diez Antich, H. Purwins, L. Maaløe, "Utilizing Domain Knowledge in End-to-End Audio Processing", NIPS 2017
    workshop; in the form of P. Zinemanas, P. Cancela, M. Rocamora, "End-to-end Convolutional Neural Networks for Sound Event
    Detection in Urban Environments", FRUCT 2019, and of DCASE-models.

    Input: windows of the waveform in any shape (windows, frames, dims), read row after row, as `RawAudio` gives them; output (windows,
    ceil(frames * dims / audio_hop), outputs), each value between -1 and 1. It is a regression: the outputs are mel bands, the targets are
    log mel spectrograms scaled to [-1, 1], and it is trained with ``loss="mse"``. `Concatenated` puts it in front of a network that has
    labels. For 128 bands there are 1,020,288 parameters, 1,018,496 of them trainable. Any number of samples; 22050 samples become 44
    frames. Initial kernels are Glorot uniform, biases zero.

    Parameters
    ----------
    audio_win : length of the first convolution's kernels, in samples.
    audio_hop : samples from one frame to the next. If it equals the hop of `RawAudio`, both have the same frames.
    filters : number of filters of the first and second convolution; the last has one per mel band.

    Examples
    --------
    >>> MST().build((43, 512), [f"mel{band}" for band in range(128)]).cost()["parameters"]
    1018496
    """

    published_front_end: ClassVar[str | None] = "mst"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(43, 512), labels=128, hop=512 / 22050)

    audio_win: int = 1024
    audio_hop: int = 512
    filters: Sequence[int] = (512, 256)

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        return keras_start(_Network(self, outputs))


class _Network(nn.Module):
    activation = "none"  # the answers are levels, not probabilities

    def __init__(self, settings: MST, outputs: int) -> None:
        super().__init__()
        self.audio_win, self.audio_hop = settings.audio_win, settings.audio_hop
        sizes = (*settings.filters, outputs)
        # A strided convolution with Keras' padding="same" must be padded by hand; the others need one zero at each end. Keras' kernels
        # (length, in, out) are here (out, in, length).
        convolutions = [nn.Conv1d(1, sizes[0], settings.audio_win, stride=settings.audio_hop)]
        convolutions += [nn.Conv1d(before, after, 3, padding=1) for before, after in pairwise(sizes)]
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for number, (convolution, size) in enumerate(zip(convolutions, sizes, strict=True), start=1):
            layers |= {f"conv{number}": convolution, f"batchnorm{number}": nn.BatchNorm1d(size, eps=1e-3, momentum=0.01)}
            layers[f"activation{number}"] = nn.ReLU() if number < len(sizes) else nn.Tanh()
        self.layers = nn.Sequential(layers)

    def forward(self, x: Tensor) -> Tensor:
        audio = same(x.flatten(1)[:, None], self.audio_win, self.audio_hop)  # (windows, 1, samples)
        bands: Tensor = self.layers(audio).transpose(1, 2)  # (windows, time, mel bands)
        return bands
