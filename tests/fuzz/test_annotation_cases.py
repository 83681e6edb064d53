"""Whatever an annotation file holds, reading it gives what it says, or one named error."""

import importlib.util
from pathlib import Path

import pytest

from dcasekit.annotations import Event, annotation_formats, read_annotation, read_events, read_events_folder, read_tag_list
from dcasekit.errors import AnnotationError
from dcasekit.scores import read_durations, read_scores

SPEC = importlib.util.spec_from_file_location("annotation_cases", Path(__file__).with_name("annotation_cases.py"))
MODULE = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(MODULE)
ENDINGS = {**annotation_formats(), "tags": ".csv", "scores": ".tsv", "durations": ".csv"}


def readers(format, path):
    """Every way to read a file: as what it was meant to be, and as what it seems to be."""
    yield lambda: read_annotation(path)
    yield lambda: read_annotation(path, annotator="ann")
    yield lambda: read_events(path)
    yield lambda: read_events_folder(path.parent)
    yield lambda: read_tag_list(path)
    yield lambda: read_scores(path)
    yield lambda: read_durations(path)
    if format in annotation_formats():
        yield lambda: read_annotation(path, format=format)
        yield lambda: read_events(path, format=format)


@pytest.mark.parametrize("seed", range(3))
def test_nothing_but_a_named_error_comes_out(tmp_path, seed):
    read, refusals = 0, []
    for format, content in MODULE.cases(seed, 100):
        path = tmp_path / f"{seed}" / f"a{ENDINGS[format]}"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        for reader in readers(format, path):
            try:
                found = reader()
            except AnnotationError as error:
                refusals.append(str(error))
            else:
                values = found.values() if isinstance(found, dict) else [found]
                events = [one for each in values if isinstance(each, list) for one in each]
                assert all(isinstance(event, Event) for event in events)
                read += 1
        path.unlink()
    assert all(str(tmp_path) in refusal and len(refusal) < 2000 for refusal in refusals)
    assert read > 50, "some damage is harmless"


def test_the_same_seed_gives_the_same_cases():
    assert list(MODULE.cases(7, 20)) == list(MODULE.cases(7, 20))
    assert list(MODULE.cases(7, 20)) != list(MODULE.cases(8, 20))
