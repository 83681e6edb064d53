"""What the networks that begin at the waveform share."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.results import Results


class FrontEnd(TorchModelContainer):
    """A model whose answers are levels of mel bands, (windows, frames, bands): a regression, learned by the squared error."""

    def answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows with levels, as they are."""
        network = self._need().eval()
        with torch.inference_mode():
            return np.concatenate([network(part).float().cpu().numpy() for part in self._parts(windows)])

    def evaluate(self, data: Any) -> Results:
        """Refuse: the metrics are those of labels."""
        raise ModelError(
            f"{type(self).__name__} answers levels, which no metric of labels can judge: compare answer(X) with Y, and train without "
            "validation data"
        )


def same(audio: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad (..., samples) with zeros as Keras' ``padding="same"`` does: ceil(samples / stride) outputs, an odd zero at the end."""
    samples = audio.shape[-1]
    zeros = max(0, ((samples + stride - 1) // stride - 1) * stride + kernel - samples)
    return nn.functional.pad(audio, (zeros // 2, zeros - zeros // 2))
