"""Waveforms that become features on the device, in every step of training: front end, scaler, augmentation."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dcasekit.batch_augmentations import ON_TENSORS
from dcasekit.containers._epochs import LearningBatch, augmenting, count_known, waveform_sources
from dcasekit.containers._torch_step import Part
from dcasekit.containers.front_ends import OnDevice
from dcasekit.containers.training import Training
from dcasekit.core.units import FloatArray
from dcasekit.errors import ModelError
from dcasekit.generator import Data, Together


class Fronts:
    """Makes the parts of a step: of waveforms by front ends on the device; of features as they are.

    Parameters
    ----------
    data : the sources.
    rows : see `learning_steps`.
    """

    def __init__(self, data: Data | Together, training: Training, device: torch.device, rows: Collection[str]) -> None:
        sources = waveform_sources(data)
        if sources and device.type == "mps":
            raise ModelError("the front end is computed in float64, which device 'mps' does not know; extract the features instead")
        self._training, self._device, self._rows = training, device, rows
        self._of = {name: OnDevice(source.features, source.scaler, source.shape[1]).to(device) for name, source in sources.items()}

    def start(self, epoch: int) -> None:
        """Draw the random numbers of another epoch."""
        self._rng = augmenting(self._training, epoch)

    def parts(self, batches: Mapping[str, LearningBatch]) -> dict[str, Part]:
        """Put the batches of a step on the device."""
        return {name: self._computed(name, batch) if name in self._of else Part(batch, self._device) for name, batch in batches.items()}

    def _computed(self, name: str, batch: LearningBatch) -> Part:
        x, y = self._of[name](torch.from_numpy(batch.x).to(self._device), batch.mask), batch.y
        for function in self._training.augment:
            x, y = _augment(function, x, y, self._rng)
        y = np.ascontiguousarray(y, np.float32)
        return Part(batch._replace(y=y, known=count_known(y, batch.task, self._rows)), self._device, x)


def _augment(function: Any, x: Tensor, y: FloatArray, rng: np.random.Generator) -> tuple[Tensor, FloatArray]:
    """Change a batch where it is; functions of arrays alone get arrays."""
    if (function.func if isinstance(function, partial) else function) in ON_TENSORS:
        found: tuple[Tensor, FloatArray] = function(x, y, rng)
        return found
    changed, y = function(x.cpu().numpy(), y, rng)
    return torch.from_numpy(np.ascontiguousarray(changed, np.float32)).to(x.device), y
