"""A-CRNN: convolutions, then recurrent layers, for sound event detection (Adavanne et al. 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._gru import exact, recur
from dcasekit.models._layers import Pool, PoolingOfLogits, batch_norm, keras_start


@dataclass(kw_only=True, eq=False)
class A_CRNN(TorchModelContainer):  # noqa: N801 - the published spelling
    """Convolutional recurrent network of Adavanne for sound events.

    S. Adavanne, P. Pertilä, T. Virtanen, "Sound Event Detection Using Spatial Features and Convolutional Recurrent Neural Network", ICASSP
    2017, in its form for one channel.

    Input (windows, frames, dims); output (windows, frames, labels) for detection, else (windows, labels), see `target`. Any number of
    frames; with the default pools 20 dims or more. The defaults are those of DCASE-models but for batch normalisation, which is on the
    wrong axis there. For 128 mel bands and 10 labels there are 382,506 parameters, 381,738 of them trainable; with
    ``norm_axis="frequency"`` 381,630 and 381,300, as in DCASE-models. The network of the paper is ``A_CRNN(bidirectional=True)`` for
    detection, on 256 frames of 40 mel bands. Initial kernels are those of Keras: Glorot uniform, the recurrent ones orthogonal; biases
    zero.

    Parameters
    ----------
    filters : number of filters in each 3 x 3 convolution.
    pool_size : size of the max pooling over bands after each convolution; there are as many convolutions. Time is not pooled.
    rnn_units : number of units in each gated recurrent layer.
    dense_units : number of units in each dense layer, which acts on every frame and has no activation.
    dropout : dropout rate after each convolution and dense layer, and of the inputs and states of the recurrent layers.
    bidirectional : run each recurrent layer forwards and backwards, and multiply the two outputs.
    target : ``"frame"``: frame-level outputs; ``"window"``: one output per window, see `pooling`. ``None``: frame-level for detection, else
        one per window.
    norm_axis : what batch normalisation has statistics for: each filter, ``"channels"`` (as in the paper), or each band, ``"frequency"``
        (as in DCASE-models).
    gru : activation of the gates, and whether the reset gate is applied before or after the recurrent product. ``"hard_sigmoid_before"``,
        with clip(0.2 x + 0.5, 0, 1): Keras before 2.3, as published. ``"sigmoid_before"``: Keras 2.3. ``"sigmoid_after"``, with a second
        bias: Keras 3, PyTorch.
    pooling : how frame-level outputs become one per window: ``"logits"`` (as published): the mean of the logits, before the activation;
        ``"mean"`` or ``"max"`` of the probabilities; ``"autopool"``: a softmax-weighted mean whose sharpness is learned per label (McFee
        et al. 2018).
    """

    published_front_end: ClassVar[str | None] = "a_crnn"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(64, 128), task="detection", hop=680 / 22050)

    filters: int = 128
    pool_size: Sequence[int] = (5, 2, 2)
    rnn_units: Sequence[int] = (32, 32)
    dense_units: Sequence[int] = (32,)
    dropout: float = 0.5
    bidirectional: bool = False
    target: Literal["window", "frame"] | None = None
    norm_axis: Literal["channels", "frequency"] = "channels"
    gru: Literal["hard_sigmoid_before", "sigmoid_before", "sigmoid_after"] = "hard_sigmoid_before"
    pooling: PoolingOfLogits = "logits"

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:  # noqa: ARG002 - frames
        """Make the network; it takes any number of frames."""
        for name, known in _KNOWN.items():
            if (value := getattr(self, name)) not in known:
                raise ModelError(f"{name} must be one of {', '.join(map(repr, known))}; got {value!r}")
        per_frame = self.target == "frame" or (self.target is None and task == "detection")
        return keras_start(_Network(self, dims, outputs, task, per_frame=per_frame))


_KNOWN = {
    "target": ("window", "frame", None),
    "norm_axis": ("channels", "frequency"),
    "gru": ("hard_sigmoid_before", "sigmoid_before", "sigmoid_after"),
}


class _Network(nn.Module):
    def __init__(self, settings: A_CRNN, dims: int, outputs: int, task: Task, *, per_frame: bool) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        before, bands = 1, dims
        for pool in settings.pool_size:
            norm = batch_norm(settings.filters) if settings.norm_axis == "channels" else _FrequencyNorm(bands)
            blocks += [nn.Conv2d(before, settings.filters, 3, padding=1), norm, nn.MaxPool2d((1, pool)), nn.ReLU()]
            blocks += [nn.Dropout(settings.dropout)]
            before, bands = settings.filters, bands // pool
        if not bands:
            raise ModelError(
                f"windows of {dims} dims are too small for pools {tuple(settings.pool_size)}; use more bands, or smaller pools"
            )
        self.convolutions = nn.Sequential(*blocks)
        sizes = (bands * before, *settings.rnn_units)
        directions = 2 if settings.bidirectional else 1
        layers = [_GRU(settings, size, units, directions) for size, units in pairwise(sizes)]
        self.recurrent = nn.Sequential(*layers)
        sizes = (sizes[-1], *settings.dense_units)
        dense = [(nn.Linear(size, units), nn.Dropout(settings.dropout)) for size, units in pairwise(sizes)]
        self.dense = nn.Sequential(*(layer for pair in dense for layer in pair))
        self.out = nn.Linear(sizes[-1], outputs)
        self.pool = None if per_frame else Pool(settings.pooling, outputs, task)

    def forward(self, x: Tensor) -> Tensor:
        maps = self.convolutions(x[:, None]).permute(0, 2, 3, 1)  # (windows, time, frequency, channels): Keras' order of flattening
        logits: Tensor = self.out(self.dense(self.recurrent(maps.flatten(2))))
        return logits if self.pool is None else self.pool(logits)


class _FrequencyNorm(nn.Module):
    """Batch normalisation with one mean and deviation per band, over windows, time and channels."""

    def __init__(self, bands: int) -> None:
        super().__init__()
        self.norm = batch_norm(bands)

    def forward(self, maps: Tensor) -> Tensor:
        normalised: Tensor = self.norm(maps.transpose(1, 3)).transpose(1, 3)
        return normalised


class _GRU(nn.Module):
    """Keras' gated recurrent layer in one or both directions, whose answers are multiplied.

    Shapes and order of gates (update, reset, candidate) are Keras', with the directions in front. PyTorch's own has neither dropout of
    the state nor the reset before the product.
    """

    def __init__(self, settings: A_CRNN, dims: int, units: int, directions: int) -> None:
        super().__init__()
        self.units, self.dropout, self.gru = units, settings.dropout, settings.gru
        self.kernel = nn.Parameter(torch.empty(directions, dims, 3 * units))
        self.recurrent_kernel = nn.Parameter(torch.empty(directions, units, 3 * units))
        self.bias = nn.Parameter(torch.zeros(directions, 2 if settings.gru == "sigmoid_after" else 1, 3 * units))
        for kernel, recurrent in zip(self.kernel, self.recurrent_kernel, strict=True):
            nn.init.xavier_uniform_(kernel)
            nn.init.orthogonal_(recurrent)

    def forward(self, x: Tensor) -> Tensor:
        """(windows, time, dims) -> (windows, time, units)."""
        with exact(x):
            return self._answer(x.to(self.bias.dtype))

    def _answer(self, x: Tensor) -> Tensor:
        both = torch.stack([x, x.flip(1)][: len(self.kernel)])  # (directions, windows, time, dims)
        # One mask for all times of a window (Gal and Ghahramani 2016). Keras up to 2.2 draws another per gate; here, as in later ones, not.
        both = both * self._mask(both[:, :, :1])
        inputs = both @ self.kernel[:, None] + self.bias[:, None, :1]
        state = x.new_zeros(len(self.kernel), x.shape[0], self.units)
        mask = self._mask(state)
        forwards, *backwards = recur(lambda state, now: self._step(now, state, mask), state, inputs.movedim(2, 0), axis=2)
        return forwards * backwards[0].flip(1) if backwards else forwards

    def _step(self, inputs: Tensor, state: Tensor, mask: Tensor) -> Tensor:
        seen, gates = state * mask, 2 * self.units
        if self.gru == "sigmoid_after":
            recurrent = torch.baddbmm(self.bias[:, 1:], seen, self.recurrent_kernel)
            update, reset = (inputs + recurrent)[..., :gates].sigmoid().chunk(2, -1)
            candidate = torch.tanh(inputs[..., gates:] + reset * recurrent[..., gates:])
        else:
            opened = inputs[..., :gates] + seen @ self.recurrent_kernel[..., :gates]
            # Keras' hard sigmoid; PyTorch's has another slope.
            opened = (0.2 * opened + 0.5).clamp(0, 1) if self.gru == "hard_sigmoid_before" else opened.sigmoid()
            update, reset = opened.chunk(2, -1)
            candidate = torch.tanh(inputs[..., gates:] + (reset * seen) @ self.recurrent_kernel[..., gates:])
        return update * state + (1 - update) * candidate

    def _mask(self, like: Tensor) -> Tensor:
        return nn.functional.dropout(torch.ones_like(like), self.dropout, self.training)
