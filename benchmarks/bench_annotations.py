"""How fast annotations are read: files of one recording in each format, and one long list of many recordings.

By default 2,000 files of 20 events in each format, and a list of 100,000 rows, all in the page cache: what is measured is the work, not the
disk. The peer is what people write today, without any check: `csv.DictReader` and `float`, or `json.load`. Rounds alternate, so that a busy
machine slows all; the figures are medians of the processor's time, which others on the machine do not take away.

    python benchmarks/bench_annotations.py [--files 2000] [--rows 100000] [--rounds 5] [--json FILE]
"""

import argparse
import csv
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from dcasekit.annotations import Event, read_annotation, read_events, write_annotation, write_events

EVENTS = 20  # of one recording
LABELS = ("alarm bell", "blender", "cat", "dishes", "dog", "electric shaver", "frying", "running water", "speech", "vacuum cleaner")
ENDINGS = {"tsv": ".tsv", "audacity": ".txt", "raven": ".selections.txt", "jams": ".jams"}
TIMES = {"tsv": ("onset", "offset", "event_label"), "raven": ("Begin Time (s)", "End Time (s)", "Annotation")}


def draw(rng: np.random.Generator) -> list[Event]:
    """Draw the events of one recording, times to the millisecond."""
    onsets, lengths = np.sort(rng.uniform(0, 60, EVENTS)).round(3), rng.uniform(0.1, 5, EVENTS)
    labels = rng.integers(len(LABELS), size=EVENTS)
    spans = zip(onsets.tolist(), (onsets + lengths).round(3).tolist(), labels, strict=True)
    return [Event(onset, offset, LABELS[label]) for onset, offset, label in spans]


def peer(path: Path, format: str) -> list[tuple[float, float, str]]:
    """Read a file as people do."""
    if format == "jams":
        data = json.loads(path.read_text())["annotations"][0]["data"]
        return [(each["time"], each["time"] + each["duration"], each["value"]) for each in data]
    with path.open(newline="") as file:
        if format == "audacity":
            return [(float(onset), float(offset), label) for onset, offset, label in csv.reader(file, delimiter="\t")]
        onset, offset, label = TIMES[format]
        return [(float(row[onset]), float(row[offset]), row[label]) for row in csv.DictReader(file, delimiter="\t")]


def peer_list(path: Path) -> dict[str, list[tuple[float, float, str]]]:
    """Read a list of many recordings as people do."""
    found = defaultdict(list)
    with path.open(newline="") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            found[row["filename"]].append((float(row["onset"]), float(row["offset"]), row["event_label"]))
    return found


def ways(folder: Path, files: int, rows: int) -> dict[str, tuple[int, dict[str, Callable[[], object]]]]:
    """Write what is read; give of each the number of its events, and who reads it."""
    rng = np.random.default_rng(0)
    found: dict[str, tuple[int, dict[str, Callable[[], object]]]] = {}
    for format, ending in ENDINGS.items():
        (folder / format).mkdir()
        paths = [folder / format / f"{number:05d}{ending}" for number in range(files)]
        for path in paths:
            write_annotation(path, draw(rng), format=format, duration=66.0)
        found[f"{files} files, {format}"] = (
            files * EVENTS,
            {
                "plain loop": lambda paths=paths, format=format: [peer(path, format) for path in paths],
                "dcasekit": lambda paths=paths: [read_annotation(path) for path in paths],
            },
        )
    path = write_events(folder / "list.tsv", {f"{number:06d}.wav": draw(rng) for number in range(rows // EVENTS)})
    found[f"a list of {rows // EVENTS * EVENTS} rows"] = (
        rows // EVENTS * EVENTS,
        {"plain loop": lambda: peer_list(path), "dcasekit": lambda: read_events(path)},
    )
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=2000)
    parser.add_argument("--rows", type=int, default=100000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    table = Table("what", "plain loop", "dcasekit", title=f"events read in a second of the processor's time, {options.rounds} rounds")
    seconds: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for what, (events, readers) in ways(Path(folder), options.files, options.rows).items():
            times: dict[str, list[float]] = {name: [] for name in readers}
            for number in range(options.rounds + 1):
                for name, read in readers.items():
                    began = time.process_time()
                    read()
                    if number:  # the first warms up
                        times[name].append(time.process_time() - began)
            seconds[what] = times
            table.add_row(what, *(f"{events / statistics.median(each):,.0f}" for each in times.values()))
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(seconds, indent=1))


if __name__ == "__main__":
    main()
