"""Laws that hold on every dataset, model and format, whatever else changes; those of one leaf by itself are in `dcasekit.testing`."""

import importlib
from dataclasses import replace

import pytest

from dcasekit import testing
from dcasekit.core import discover
from dcasekit.testing import ContractError, _oracle

pytestmark = pytest.mark.usefixtures("one_thread")


# ---- an oracle that answers the truth scores 1


@pytest.mark.parametrize("name", discover.names("datasets"))
def test_an_oracle_scores_1_in_clips_of_several_segments(name, tmp_path):
    _oracle.check_oracle(testing.make_dataset(name, tmp_path / name, clips=30, seconds=2.3, sr=8000), tmp_path / "cache")


def test_an_oracle_that_is_not_told_so_is_found(tmp_path, monkeypatch):
    dataset = testing.make_dataset("urban_sed", tmp_path / "files", clips=30, seconds=2.3, sr=8000)
    drawn = importlib.import_module("dcasekit.scores.grid").events_to_roll

    def late(events, labels, edges):
        return drawn(events and [replace(event, onset=min(event.offset, event.onset + 1)) for event in events], labels, edges)

    monkeypatch.setattr("dcasekit.scores.grid.events_to_roll", late)
    with pytest.raises(ContractError, match="an oracle that answers the truth gets 1 in every number"):
        _oracle.check_oracle(dataset, tmp_path / "cache")
