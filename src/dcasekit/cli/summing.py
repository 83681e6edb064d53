"""What follows when all recordings are answered: snippets to listen to, tables in other forms, a summary."""

import csv
import heapq
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dcasekit import audio
from dcasekit.cli import output as _cli_output
from dcasekit.cli.outputs import TABLES, seconds
from dcasekit.core.files import inside, safe_name, write_json, write_rows
from dcasekit.core.tables import visible
from dcasekit.errors import DcasekitError

_AROUND = 0.5  # s of a snippet before and behind the event
_NUMBERS = ("onset", "offset", "start", "end", "score")
_LONGEST = 10.0  # s of an event in a snippet


def show(out: Path, records: Sequence[Mapping[str, Any]], *, as_json: bool) -> bool:
    """Write ``summary.json``, name what could not be answered, and print a summary; return whether anything could not."""
    failed = [record for record in records if "error" in record]
    labels: dict[str, dict[str, Any]] = {}
    for record in records:
        for label, (count, lasting) in record.get("events", {}).items():
            one = labels.setdefault(label, {"files": 0, "events": 0, "seconds": 0.0})
            one["files"] += 1
            one["events"] += count
            one["seconds"] = round(one["seconds"] + lasting, 6)
    hours = sum(record.get("seconds", 0.0) for record in records) / 3600
    found = {"folder": str(out), "files": len(records), "failed": len(failed), "hours": round(hours, 6), "labels": labels}
    write_json(out / "summary.json", found)
    if failed:
        write_rows(out / "errors.tsv", [("filename", "error"), *((visible(each["file"]), visible(each["error"])) for each in failed)])
    else:
        (out / "errors.tsv").unlink(missing_ok=True)
    for each in failed:
        _cli_output.show_error(DcasekitError(each["error"]))
    if as_json:
        _cli_output.document(found)
    else:
        rows = [(label, one["events"], one["files"], f"{one['seconds'] / 60:.1f}") for label, one in sorted(labels.items())]
        if rows:
            _cli_output.table(("label", "events", "files", "minutes"), rows)
        _cli_output.text(f"{len(records) - len(failed)} files, {hours:.2f} hours, {len(failed)} failed: {out}")
    return bool(failed)


def cut_clips(out: Path, count: int) -> None:
    """Cut the surest events of each label out of their recordings, into ``clips/LABEL``; ``clips.tsv`` says where they are from."""
    surest: dict[str, list[tuple[float, int, tuple[str, ...]]]] = {}
    with (out / TABLES["events"][0]).open(encoding="utf-8", errors="surrogateescape", newline="") as file:
        for number, found in enumerate(csv.reader(file, delimiter="\t")):
            if number and found[3]:
                heap = surest.setdefault(found[3], [])
                heapq.heappush(heap, (float(found[4]), -number, tuple(found)))
                if len(heap) > count:
                    heapq.heappop(heap)
    folder = out / "clips"
    rows: list[tuple[str, ...]] = [("clip", "filename", "onset", "offset", "event_label", "score")]
    shutil.rmtree(folder, ignore_errors=True)
    for label in sorted(surest):
        for rank, (_, _, row) in enumerate(sorted(surest[label], reverse=True), 1):
            name, onset, offset = row[0], float(row[1]), min(float(row[2]), float(row[1]) + _LONGEST)
            clip = f"{safe_name(label).replace('/', '_')}/{rank:03}_{row[4]}_{safe_name(name).replace('/', '_')[-80:]}_{seconds(onset)}.wav"
            try:
                sound, sr = audio.read(name, start=max(0.0, onset - _AROUND), stop=offset + _AROUND)
            except DcasekitError as error:  # it was there when it was answered
                _cli_output.show_error(error)
                continue
            audio.write(inside(folder, clip), sound, sr)
            rows.append((clip, visible(name), *row[1:]))
    write_rows(folder / "clips.tsv", rows)


def write_parquet(out: Path, tables: Sequence[str]) -> None:
    """Write tables once more, as Parquet."""
    from dcasekit.core.frames import table_to_parquet

    for name in tables:
        table_to_parquet(
            out / name, (out / name).with_suffix(".parquet"), delimiter="," if name.endswith(".csv") else "\t", numbers=_NUMBERS
        )
