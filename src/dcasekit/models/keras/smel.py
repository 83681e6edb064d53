"""SMel in Keras: a mel spectrogram from filters in the time domain, which can go on learning (Zinemanas et al. 2019)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import keras
import numpy as np

from dcasekit.containers.keras import KerasModelContainer
from dcasekit.containers.levels import LevelsModel
from dcasekit.containers.summary import Published
from dcasekit.core import discover
from dcasekit.core.units import FloatArray, Hz
from dcasekit.datasets.base import Task
from dcasekit.models.keras._layers import front_end


@dataclass(kw_only=True, eq=False)
class SMel(LevelsModel, KerasModelContainer):
    """Mel spectrogram by one convolution per frame: energy of each filter's output, in dB.

    The twin of `dcasekit.models.SMel`, which has a longer description.

    Input: frames of windowed samples (windows, frames, samples), or the waveform, see `audio_win`; output (windows, frames, outputs) in
    dB. It is a regression, trained with ``loss="mse"`` and a small ``learning_rate`` (published: 1e-6). For frames of 1024 samples and 128
    bands: 131,200 parameters, all trainable. Any number of frames. The filters start as the twin's.

    Parameters
    ----------
    sr : sampling rate of the audio in Hz, from which the initial filters are computed.
    audio_win : samples of a frame if the input is the waveform, row after row, as `RawAudio` returns it. ``None``: each row is a windowed
        frame already (published).
    alpha : factor of the energies.
    amin : smallest energy; lower ones are raised to it before the logarithm.
    minmax : lowest and highest level of the training data in dB, which become -1 and 1 in the output; ``None``: the output is in dB.

    Examples
    --------
    >>> SMel().build((64, 1024), [f"mel{band}" for band in range(128)]).cost()["parameters"]
    131200
    """

    published_front_end: ClassVar[str | None] = "smel"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 1024), labels=128, hop=512 / 22050)

    sr: Hz = 22050
    audio_win: int | None = None
    alpha: float = 1.0
    amin: float = 1e-10
    minmax: Sequence[float] | None = None

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> keras.Model:  # noqa: ARG002
        """Make the network; it takes any number of frames."""
        ops, samples = keras.ops, self.audio_win or dims
        started = self._twin().build((frames, dims), tuple(map(str, range(outputs)))).weights()["conv.weight"]  # (bands, 1, samples)
        windows = keras.Input((None, dims))
        cut = windows if self.audio_win is None else _frame(windows, self.audio_win)  # (windows, frames, samples)
        # Half precision cannot hold these energies: a filter's output may be 1e-5, and its square is what counts.
        conv = keras.layers.Conv1D(outputs, samples, strides=16, padding="same", dtype="float32", name="conv")
        filtered = conv(ops.reshape(cut, (-1, samples, 1)))  # (windows * frames, samples / 16, bands)
        conv.kernel.assign(started.transpose(2, 1, 0))
        energy = _Joined(dtype="float32", name="energy")([samples * ops.mean(ops.square(filtered), axis=1), cut])
        levels = 10 / math.log(10) * ops.log(ops.maximum(self.alpha * energy, self.amin))
        if self.minmax is not None:
            low, high = self.minmax
            levels = 2 * (levels - low) / (high - low) - 1
        return front_end(windows, levels)

    def target(self, windows: FloatArray, bands: int = 128) -> FloatArray:
        """Compute the mel spectrogram (windows, frames, bands) that the network is trained to output, as the PyTorch twin does."""
        levels: FloatArray = self._twin().target(windows, bands)
        return levels

    def _twin(self) -> Any:
        return discover.load("models", "smel")(**self.settings)


def _frame(windows: keras.KerasTensor, audio_win: int) -> keras.KerasTensor:
    """Cut (windows, frames, hop) into as many windowed frames (windows, frames, audio_win), centred on the begin of each row."""
    audio = keras.layers.Flatten(name="audio")(windows)
    audio = keras.ops.pad(audio, ((0, 0), (audio_win // 2, audio_win // 2)), mode="reflect")
    frames = keras.ops.extract_sequences(audio, audio_win, windows.shape[2])
    # An even window fits once more, on the end of the last row.
    frames = frames[:, :-1] if audio_win % 2 == 0 else frames
    return frames * np.hanning(audio_win + 1)[:-1].astype(np.float32)


class _Joined(keras.layers.Layer):  # type: ignore[misc]
    """Put frames together again: (windows * frames, bands), and an array (windows, frames, ...) -> (windows, frames, bands)."""

    def call(self, inputs: Any) -> Any:
        values, like = inputs
        return keras.ops.reshape(values, (-1, keras.ops.shape(like)[1], values.shape[1]))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Tell Keras, which tries a batch of another size for each of the two."""
        values, like = input_shape
        return (*like[:2], values[1])
