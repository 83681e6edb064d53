"""From clips and stored features to batches, and from answers back to clips: windows, labels and scores on one grid of time."""

from dcasekit.generator.arrays import Arrays
from dcasekit.generator.batch import Batch, Data, batch_bounds
from dcasekit.generator.generator import DataGenerator
from dcasekit.generator.stream import RECORDINGS, ClipWindows, Cutting, FileWindows, answer_clips, answer_parts, file_windows, whole_frames
from dcasekit.generator.together import Together, steps_of
from dcasekit.scores.grid import Grid, Target

__all__ = [
    "RECORDINGS", "Arrays", "Batch", "ClipWindows", "Cutting", "Data", "DataGenerator", "FileWindows", "Grid", "Target", "Together",
    "answer_clips", "answer_parts", "batch_bounds", "file_windows", "steps_of", "whole_frames",
]  # fmt: skip
