"""A bidirectional GRU whose reset gate acts before the recurrent product, as in Keras 2; PyTorch's acts after it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn

_exporting = getattr(torch.compiler, "is_exporting", lambda: False)  # older than PyTorch 2.7: a program holds each frame's step


def _scan() -> Callable[..., Any] | None:
    """Return PyTorch's loop that is one operation, in export; ``None`` else, and where this PyTorch has none.

    It has no public name yet. Without it a loop is written out, frame by frame, as long as the example: `dcasekit.export` then refuses
    recordings of any length, and says how to export for one.
    """
    if not _exporting():
        return None
    try:
        from torch._higher_order_ops.scan import scan
    except ImportError:
        return None
    found: Callable[..., Any] = scan
    return found


def recur(step: Callable[..., Tensor], state: Tensor, *inputs: Tensor, axis: int) -> Tensor:
    """Apply ``state = step(state, *each frame of the inputs)``, frames being their first axis, and stack all states along an axis.

    In an exported program it is one operation for any number of frames, not a loop as long as the example's.
    """
    if (scan := _scan()) is not None:

        def again(old: Tensor, frames: list[Tensor]) -> tuple[Tensor, Tensor]:
            new = step(old, *frames)
            return new, new.clone()

        states: Tensor = scan(again, state, [each.contiguous() for each in inputs])[1]
        return states.movedim(0, axis)
    found = []
    for frames in zip(*(each.unbind() for each in inputs), strict=True):
        state = step(state, *frames)
        found.append(state)
    return torch.stack(found, axis)


def read(layer: nn.GRU, x: Tensor) -> Tensor:
    """Return ``layer(x)[0]``, of a layer whose first axis is the batch; in an exported program by `recur`."""
    if _scan() is None:
        states: Tensor = layer(x)[0]
        return states
    for depth in range(layer.num_layers):
        found = [_run_direction(layer, f"_l{depth}", x)]
        if layer.bidirectional:
            found.append(_run_direction(layer, f"_l{depth}_reverse", x.flip(1)).flip(1))
        x = torch.cat(found, -1)
    return x


def _run_direction(layer: nn.GRU, end: str, x: Tensor) -> Tensor:
    from_input, from_state = ((getattr(layer, f"weight_{part}{end}"), getattr(layer, f"bias_{part}{end}")) for part in ("ih", "hh"))

    def step(state: Tensor, frame: Tensor) -> Tensor:
        seen, gates = nn.functional.linear(state, *from_state), 2 * layer.hidden_size
        reset, update = (frame + seen)[..., :gates].sigmoid().chunk(2, -1)
        candidate = torch.tanh(frame[..., gates:] + reset * seen[..., gates:])
        return update * state + (1 - update) * candidate

    return recur(step, x.new_zeros(x.shape[0], layer.hidden_size), nn.functional.linear(x, *from_input).transpose(0, 1), axis=1)


def exact(x: Tensor) -> AbstractContextManager[None]:
    """Leave mixed precision: it would gain nothing in products this small, and lose digits at each of hundreds of frames."""
    return nullcontext() if _exporting() else torch.autocast(x.device.type, enabled=False)


class ResetBeforeGRU(nn.Module):
    """Bidirectional GRU of Keras 2 (``reset_after=False``): (windows, frames, inputs) -> (windows, frames, 2 * units).

    With the gates' activation g, per frame and direction (K. Cho et al., "Learning Phrase Representations using RNN Encoder-Decoder for
    Statistical Machine Translation", EMNLP 2014)::

        z = g(Wz x + Uz h + bz)    r = g(Wr x + Ur h + br)    c = tanh(Wc x + Uc (r * h) + bc)    h <- z * h + (1 - z) * c

    All frames are projected in one product, and the loop over time has six operations, on both directions at once. On one CPU thread, for
    500 frames and 64 units, it trains in 0.6 of the time of `torch.nn.GRU` with 16 windows, in about the same with 128.

    Parameters
    ----------
    inputs, units : numbers of channels, the latter per direction.
    hard_sigmoid : g is clip(0.2 x + 0.5, 0, 1), as in Keras before 2.3; else the sigmoid.
    dropout : dropout rate of the inputs; as in Keras, each window, direction and gate has its own mask, the same for all frames.

    Attributes
    ----------
    weight_ih, weight_hh : (2 directions, 3 * units, inputs) and (..., units); the gates are in the order z, r, c.
    bias : (2 * 3 * units,).
    """

    def __init__(self, inputs: int, units: int, *, hard_sigmoid: bool, dropout: float = 0.0) -> None:
        super().__init__()
        self.units, self.hard_sigmoid, self.dropout = units, hard_sigmoid, dropout
        self.weight_ih = nn.Parameter(torch.empty(2, 3 * units, inputs))
        self.weight_hh = nn.Parameter(torch.empty(2, 3 * units, units))
        self.bias = nn.Parameter(torch.zeros(6 * units))
        for direction in range(2):  # as Keras draws them: the three gates as one matrix
            nn.init.xavier_uniform_(self.weight_ih.data[direction])
            nn.init.orthogonal_(self.weight_hh.data[direction])

    def forward(self, x: Tensor) -> Tensor:
        with exact(x):
            return self._run(x.to(self.bias.dtype))

    def _run(self, x: Tensor) -> Tensor:
        # PyTorch's own hard sigmoid is clip(x / 6 + 0.5, 0, 1); scaling the gates' weights makes it Keras'.
        scale = self.bias.new_tensor([1.2, 1.2, 1.0] if self.hard_sigmoid else [1.0, 1.0, 1.0]).repeat_interleave(self.units)
        parts = [2 * self.units, self.units]
        gates, candidates = self._project(x, scale).split(parts, dim=-1)
        to_gates, to_candidates = (part.clone() for part in (self.weight_hh.transpose(1, 2) * scale).split(parts, dim=-1))

        def step(state: Tensor, gate: Tensor, candidate: Tensor) -> Tensor:
            opened = torch.baddbmm(gate, state, to_gates)
            opened = nn.functional.hardsigmoid(opened) if self.hard_sigmoid else opened.sigmoid()
            update, reset = opened.chunk(2, dim=-1)
            return torch.baddbmm(candidate, reset * state, to_candidates).tanh().lerp(state, update)

        forwards, backwards = recur(step, torch.zeros_like(candidates[0]), gates, candidates, axis=2)  # (windows, frames, units) each
        return torch.cat([forwards, backwards.flip(1)], dim=-1)

    def _project(self, x: Tensor, scale: Tensor) -> Tensor:
        """Project all frames: (frames, directions, windows, 3 * units), the second direction backwards in time."""
        weight = (self.weight_ih * scale[:, None]).flatten(0, 1).expand(x.shape[0], -1, -1)
        if self.training and self.dropout:
            # Dropping inputs of a gate is dropping columns of its weights: one product is enough for six masks.
            mask = nn.functional.dropout(x.new_ones(x.shape[0], 6, 1, x.shape[2]), self.dropout)
            weight = (weight.unflatten(1, (6, self.units)) * mask).flatten(1, 2)
        projected = torch.bmm(x, weight.transpose(1, 2)) + self.bias * scale.repeat(2)
        forwards, backwards = projected.transpose(0, 1).chunk(2, dim=-1)
        return torch.stack([forwards, backwards.flip(0)], dim=1)
