"""What it costs to round a network's weights to 8 bits."""

import tempfile
from dataclasses import replace
from pathlib import Path

from dcasekit import audio
from dcasekit.cli import leaves as _cli_leaves
from dcasekit.cli import output as _cli_output
from dcasekit.cli import training as work
from dcasekit.containers.base import ModelContainer
from dcasekit.export import quantized
from dcasekit.generator import DataGenerator
from dcasekit.scores import Scores


def quantize(model: ModelContainer, path: Path, *, dataset: str | None, data: Path | None, fold: str | None) -> None:
    """Replace an exported file by one of 8-bit weights; print sizes, and numbers before and after.

    Parameters
    ----------
    dataset, data, fold : on whose test clips the main number is measured; by default scores of noises are compared.
    """
    with tempfile.TemporaryDirectory() as folder:
        small = quantized.quantize(path, Path(folder, "int8.onnx"))
        rows: list[tuple[str, ...]] = [("bytes", f"{path.stat().st_size:,}", f"{small.stat().st_size:,}")]
        if dataset is not None:
            source = _cli_leaves.dataset(dataset, data)
            work.front_end(model).extract(source)
            clips = DataGenerator(source, work.front_end(model), folds=source.split(work.fold_of(source, fold)).test, train=False)
            files = list(clips.reference()["paths"])
        else:
            files = [audio.write(Path(folder, f"{n}.wav"), one, work.front_end(model).sr) for n, one in enumerate(quantized.noises(model))]
        before, after = (quantized.run_file(model, each, files) for each in (path, small))
        if dataset is not None:
            asked = model.evaluate(clips)
            results = [replace(asked, scores=tuple(_of(scores, asked.labels) for scores in each)) for each in (before, after)]
            name = results[0].headline
            rows.append((name, *(f"{one.numbers[name]:.4f}" for one in results)))
        differences = quantized.compare(before, after)
        rows += [(name.replace("_", " "), "", f"{value:.4f}") for name, value in differences.items()]
        path.write_bytes(small.read_bytes())
    _cli_output.table(("", "32 bits", "8 bits"), rows)


def _of(scores: Scores, labels: tuple[str, ...]) -> Scores:
    """Return the columns of labels that data know."""
    return Scores(scores.values[:, [scores.labels.index(label) for label in labels]], scores.edges, labels)
