"""What the networks that begin at the waveform share."""

from torch import Tensor, nn


def same(audio: Tensor, kernel: int, stride: int) -> Tensor:
    """Pad (..., samples) with zeros as Keras' ``padding="same"`` does: ceil(samples / stride) outputs, an odd zero at the end."""
    samples = audio.shape[-1]
    zeros = max(0, ((samples + stride - 1) // stride - 1) * stride + kernel - samples)
    return nn.functional.pad(audio, (zeros // 2, zeros - zeros // 2))
