"""From clips and stored features to batches, and from answers back to clips: windows, labels and scores on one grid of time."""

from dcasekit.generator.arrays import Arrays
from dcasekit.generator.batch import Batch, Data, batch_bounds
from dcasekit.generator.generator import DataGenerator
from dcasekit.generator.stream import ClipWindows, answer_clips, file_windows
from dcasekit.generator.together import Together, steps_of
from dcasekit.scores.grid import Grid, Target

__all__ = [
    "Arrays", "Batch", "ClipWindows", "Data", "DataGenerator", "Grid", "Target", "Together", "answer_clips", "batch_bounds", "file_windows",
    "steps_of",
]  # fmt: skip
