"""DcaseNet: one network for acoustic scenes, audio tags and sound events."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from dcasekit.containers.summary import Published
from dcasekit.containers.torch import TorchModelContainer
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import ModelError
from dcasekit.models._dcase_net import STEP_BANDS, STEP_FRAMES, Network, Version1, Version2, Version3

_VERSIONS: Mapping[str, type[Version1 | Version2 | Version3]] = {"v1": Version1, "v2": Version2, "v3": Version3}


@dataclass(kw_only=True, eq=False)
class DcaseNet(TorchModelContainer):
    """Convolutional recurrent network for all three tasks, or for one of them.

    J.-W. Jung, H.-J. Shim, J.-H. Kim, H.-J. Yu, "DcaseNet: An Integrated Pretrained Deep Neural Network for Detecting and Classifying
    Acoustic Scenes and Events", ICASSP 2021. Version 3 follows the published code: layers, names and initial values of the weights. Of
    versions 1 and 2 only text and a figure were published: ``"v1"`` and ``"v2"`` are **reconstructions** with the published numbers of
    parameters, and the results that the paper gives for them need not hold for these.

    Input (windows, frames, dims): log mel bands at 20 ms, 128 of them as published, each normalised over the window; any number of frames
    from 40 on and of dims from 16 on. Eight convolutions with mean pooling between them, a bidirectional GRU (v3: two, side by side), and
    one head per task. `train` on data of one task makes a network with the head of this task, and only the layers that it uses:

    - classification (the paper's ASC): (windows, labels), after residual blocks with squeeze and excitation.
    - tagging (TAG): (windows, labels), from the mean of the GRU over time, after two dense layers.
    - detection (SED): (windows, frames, labels). The network has one step per 40 frames (0.8 s), whose answer is repeated for all of them.
      Frames at the end of a window that do not fill a step get the answer of the last step. The published code repeats each step 8 times,
      once per 100 ms, and has no answers for such frames: ``answers[:, : frames // 40 * 40 : 5]`` equals its output.

    With all three heads (`network_with`), for 10 scenes, 80 tags and 14 events: v3 13,882,920 parameters (the paper's 13.2 M, counted in
    2**20), v1 9,102,632 (8.7 M), v2 9,330,856 (8.9 M).

    Parameters
    ----------
    version : ``"v1"``: all heads come after the GRU. ``"v2"``: the head for scenes comes before it. ``"v3"``: an additional path carries
        information between the tasks.
    filters : number of filters of the first convolution; all other numbers of channels are in proportion to it. 64 is published.
    """

    published_front_end: ClassVar[str | None] = "dcasenet"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(251, 128), hop=0.02)

    version: Literal["v1", "v2", "v3"] = "v3"
    filters: int = 64

    def answer(self, windows: FloatArray) -> FloatArray:
        """Return probabilities for windows; windows of fewer than 40 frames are repeated until they are long enough, as published."""
        frames = windows.shape[1]
        longer = np.tile(windows, (1, 2 ** max(0, math.ceil(math.log2(STEP_FRAMES / frames))), 1))
        answers = super().answer(longer)
        return answers[:, :frames] if answers.ndim == 3 else answers

    def network_for(self, frames: int, dims: int, outputs: int, task: Task) -> nn.Module:
        """Make the network with one head; it takes any number of frames from 40 on."""
        if frames < STEP_FRAMES or dims < STEP_BANDS:
            raise ModelError(
                f"DcaseNet takes windows of {STEP_FRAMES} frames and {STEP_BANDS} dims or more; got {frames} and {dims}: use a longer "
                "sequence_time, or more bands"
            )
        return self.network_with({task: outputs})

    def published(self, arrays: Mapping[str, NDArray[Any]]) -> Mapping[str, NDArray[Any]]:
        """Leave out the weights that only other tasks use, since a published file has all three heads. Its names are those of version 3.

        The order of its outputs is that of the authors' labels: scenes by their first appearance in ``meta.csv`` of the data, tags by the
        columns of the challenge's ``sample_submission.csv``. This is known from the published code; no file was available.
        """
        with torch.device("meta"):
            joint = self.network_with(dict.fromkeys(get_args(Task), 1)).state_dict()
        own = self.weights()
        return {name: array for name, array in arrays.items() if name in own or name not in joint}

    def network_with(self, labels: Mapping[Task, int]) -> Network:
        """Make the network with a head for each task, for joint training.

        Parameters
        ----------
        labels : task -> number of labels, e.g. ``{"classification": 10, "tagging": 80, "detection": 14}`` as published.

        Returns
        -------
        `torch.nn.Module` : ``network(x, task)`` returns the logits of one task. A network with fewer heads has the weights of the same
            names, so ``model.set_weights({name: joint[name] for name in model.weights()})`` prepares it for fine-tuning.
        """
        if self.version not in _VERSIONS:
            raise ModelError(f"version must be one of {', '.join(_VERSIONS)}; got {self.version!r}")
        return _VERSIONS[self.version](labels, self.filters)
