"""MST in Keras: a mel spectrogram learned from the waveform by convolutions (Tax et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import keras

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.levels import LevelsModel
from dcasekit.containers.summary import Published
from dcasekit.datasets.base import Task
from dcasekit.models.keras._layers import front_end


@dataclass(kw_only=True, eq=False)
class MST(LevelsModel, KerasModelContainer):
    """Mel spectrogram transform: three convolutions over time; twin of `dcasekit.models.MST`, which has a longer description.

    Input: windows of the waveform in any shape (windows, frames, dims), read row after row; output (windows, ceil(frames * dims /
    audio_hop), outputs), each value between -1 and 1. It is a regression, trained with ``loss="mse"``. For 128 bands 1,020,288 parameters,
    1,018,496 of them trainable. Any number of samples.

    Parameters
    ----------
    audio_win : length of the first convolution's kernels, in samples.
    audio_hop : samples from one frame to the next.
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

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        layers = keras.layers
        windows = keras.Input((None, dims))
        bands = layers.Reshape((-1, 1), name="audio")(windows)  # (windows, samples, 1)
        sizes = (*self.filters, outputs)
        for number, size in enumerate(sizes, start=1):
            length, hop = (self.audio_win, self.audio_hop) if number == 1 else (3, 1)
            bands = layers.Conv1D(size, length, strides=hop, padding="same", name=f"conv{number}")(bands)
            bands = layers.BatchNormalization(name=f"batchnorm{number}")(bands)
            last = number == len(sizes)
            bands = layers.Activation("tanh" if last else "relu", dtype="float32" if last else None, name=f"activation{number}")(bands)
        return front_end(windows, bands)
