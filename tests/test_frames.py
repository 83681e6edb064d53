"""Tables as pandas frames: a dataset's clips, a row each, with nothing of them lost."""

import sys
from pathlib import Path

import pytest

from dcasekit.annotations import Clip, Event
from dcasekit.core.frames import data_frame
from dcasekit.datasets import CrossValidation, Dataset
from dcasekit.errors import MissingExtraError

pytest.importorskip("pandas")


class Listed(Dataset):
    task, labels, licence, citation, folds, protocol = "detection", ("a", "b"), "none", "none", ("fold1",), CrossValidation()

    def load(self):
        yield Clip("one", Path("one.wav"), duration=2.5, fold="fold1", tags={"a": 0.25, "b": None}, events=(Event(0, 1, "a", 0.25),))
        yield Clip("two", Path("two.wav"), fold="fold1", group="g", channel=1, extra={"city": "Lyon", "path": "/x"})


def test_a_dataset_is_a_frame_with_a_row_per_clip():
    frame = Listed("nowhere").to_frame()
    assert list(frame["id"]) == ["one", "two"]
    assert set(frame.columns) == {
        *("id", "path", "duration", "fold", "group", "channel", "city", "extra_path", "tags", "events"),
    }
    one, two = (row for _, row in frame.iterrows())
    assert (one["duration"], one["tags"], one["events"]) == (2.5, {"a": 0.25, "b": None}, 1)  # soft and unknown labels as they are
    assert (two["city"], two["extra_path"], two["path"], two["tags"]) == ("Lyon", "/x", Path("two.wav"), None)
    assert frame[["duration", "events"]].isna().to_numpy().tolist() == [[False, False], [True, True]]  # times unknown is not "none"


def test_without_pandas_the_remedy_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dcasekit\[frames\]'"):
        Listed("nowhere").to_frame()


def test_rows_keep_the_order_of_their_names():
    assert list(data_frame([{"b": 1}, {"a": 2, "b": 3}]).columns) == ["b", "a"]
    assert list(data_frame([], columns=("x", "y")).columns) == ["x", "y"]
