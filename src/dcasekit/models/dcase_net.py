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
    Acoustic Scenes and Events", ICASSP 2021. Version 3 is that of the published code: its layers, the names of its weights, its start. Of
    versions 1 and 2 only prose and a figure were published: ``"v1"`` and ``"v2"`` are **reconstructions** that have the published sizes,
    and the paper's figures for them are no claim about these.

    Input (windows, frames, dims): log mel bands at 20 ms, 128 of them as published, each normalised over the window; any number of frames
    from 40 on and of dims from 16 on. Eight convolutions with mean pooling between them, a bidirectional GRU (v3: two, side by side), and
    one head per task. Trained as a container it has the head of the data's task, and only layers which that head uses:

    - classification (the paper's ASC): (windows, labels), after residual blocks with squeeze and excitation.
    - tagging (TAG): (windows, labels), from the mean of the GRU over time, after two dense layers.
    - detection (SED): (windows, frames, labels). One step of the sequence stands for 40 frames (0.8 s): all of them have its answer, and
      frames at the end of a window that fill no step have the last one's. The publication gives 8 copies per step, one per 100 ms, and
      none for such frames: ``answers[:, : frames // 40 * 40 : 5]`` is the same.

    With all three heads (`network_with`), for 10 scenes, 80 tags and 14 events: v3 13,882,920 parameters (the paper's 13.2 M, counted in
    2**20), v1 9,102,632 (8.7 M), v2 9,330,856 (8.9 M).

    Parameters
    ----------
    version : ``"v1"``: all heads follow the recurrence. ``"v2"``: the scene is told before it. ``"v3"``: a path of its own carries
        information between the tasks.
    filters : of the first convolution; all other numbers of channels are in proportion to it. 64 is published.
    """

    published_front_end: ClassVar[str | None] = "dcasenet"
    PUBLISHED_FOR: ClassVar[Published] = Published(shape=(251, 128), hop=0.02)

    version: Literal["v1", "v2", "v3"] = "v3"
    filters: int = 64

    def answer(self, windows: FloatArray) -> FloatArray:
        """Answer windows; those too short for a step of the sequence are doubled until they are not, as published."""
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
        """Leave out what only other tasks use: a published file has all three heads; its names are those of version 3.

        The order of its outputs is that of its authors' labels: scenes by first appearance in the data's ``meta.csv``, tags by the columns
        of the challenge's ``sample_submission.csv``. No file was seen.
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
        `torch.nn.Module` : called as ``network(x, task)`` it answers one task with logits. The weights of a network with fewer heads are
        those of the same names: ``model.set_weights({name: joint[name] for name in model.weights()})`` starts fine-tuning.
        """
        if self.version not in _VERSIONS:
            raise ModelError(f"version must be one of {', '.join(_VERSIONS)}; got {self.version!r}")
        return _VERSIONS[self.version](labels, self.filters)
