"""How hard SyntheticSounds is: a linear model beside the small network of the quickstart, on the same folds, features and clips.

The linear model is logistic regression (scikit-learn) on mean and standard deviation over time of the log-mel spectrogram, the best of
three regularisations on the test fold, which favours it. Train: folds 3 to 5. The network's epoch is chosen on fold 2. Test: fold 1.

    python benchmarks/bench_synthetic.py [--clips 400] [--epochs 12]
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dcasekit.generator import DataGenerator
from dcasekit.metrics import classification, tagging
from dcasekit.recipes import quickstart


def linear(train: DataGenerator, test: DataGenerator) -> float:
    """Fit on pooled statistics; give the main number of the task on the test clips."""
    (x, y), (x_test, y_test) = (pooled(data) for data in (train, test))
    best = 0.0
    for strength in (0.01, 0.1, 1.0):
        model: Any = make_pipeline(StandardScaler(), OneVsRestClassifier(LogisticRegression(C=strength, max_iter=2000)))
        scores = model.fit(x, y).predict_proba(x_test)
        if train.task == "classification":
            best = max(best, classification.evaluate(y_test, scores, labels=train.labels)["accuracy"])
        else:
            best = max(best, tagging.evaluate(y_test, scores, labels=train.labels)["average_precision/macro"])
    return best


def pooled(data: DataGenerator) -> tuple[Any, Any]:
    """Mean and standard deviation over time of each clip, and its labels."""
    clips = [windows.reshape(-1, windows.shape[-1]) for windows in data.get_data()[0]]
    return np.stack([np.concatenate([clip.mean(0), clip.std(0)]) for clip in clips]), data.reference()["truth"]


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=400)
    parser.add_argument("--epochs", type=int, default=12)
    options = parser.parse_args()
    config = quickstart.Config(clips=options.clips, epochs=options.epochs)
    table = Table("task", "number", "chance", "linear", "CompactCNN")
    with tempfile.TemporaryDirectory() as name:
        out = Path(name)
        report = quickstart.run(config, {}, out)
        for task, section in zip(("classification", "tagging"), report.sections, strict=False):
            dataset, features = quickstart.sounds(config, task, {}, out), quickstart.features(task)  # type: ignore[arg-type]
            split = dataset.split("fold1")
            parts = [DataGenerator(dataset, features, folds=clips, train=False) for clips in (split.train, split.test)]
            results = section.folds["test"]
            numbers = quickstart.chance(results)[0], linear(*parts), results.numbers[results.headline]
            table.add_row(section.name, results.headline, *(f"{number:.3f}" for number in numbers))
    Console().print(table)


if __name__ == "__main__":
    main()
