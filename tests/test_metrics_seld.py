"""SELD metrics of 2019, as DcaseNet computed them: the check case and each habit of the original."""

import numpy as np
import pytest

from dcasekit.errors import MetricError
from dcasekit.metrics import seld


def frames(number, *cells):
    roll = np.zeros((number, 2), dtype=bool)
    for frame, label in cells:
        roll[frame, label] = True
    return roll


def test_check_case():
    reference = frames(20, (9, 0), (0, 1), (1, 1), (2, 1), (12, 1))
    estimate = frames(20, (2, 1), (13, 0), (19, 1))
    assert seld.evaluate(reference, estimate, block_frames=10) == pytest.approx({"f1": 0.5, "error_rate": 0.5}, abs=1e-6)


def original(reference, estimate, size):
    """The definition, block by block."""
    hits = true = heard = wrong = counted = 0
    for begin in range(0, len(reference), size):
        first, second = (roll[begin : begin + size - 1].any(axis=0) for roll in (reference, estimate))
        hits, true, heard = hits + (first & second).sum(), true + first.sum(), heard + second.sum()
        if begin + size <= len(reference):
            missed, false = (first & ~second).sum(), (second & ~first).sum()
            wrong, counted = wrong + min(missed, false) + abs(missed - false), counted + first.sum()
    precision, recall = hits / (heard + 1e-8), hits / (true + 1e-8)
    return {"f1": 2 * precision * recall / (precision + recall + 1e-8), "error_rate": wrong / counted}


@pytest.mark.parametrize("number", [100, 123, 149, 151])
@pytest.mark.parametrize("size", [2, 10, 50])
def test_random_rolls_agree_with_the_definition(number, size):
    rng = np.random.default_rng(number)
    reference, estimate = (rng.random((number, 4)) < 0.05 for _ in range(2))
    assert seld.evaluate(reference, estimate, block_frames=size) == pytest.approx(original(reference, estimate, size), abs=1e-12)


def test_a_short_last_block_counts_for_f1_alone():
    reference, estimate = frames(12, (0, 0), (11, 0)), frames(12, (0, 0), (11, 1))
    assert seld.evaluate(reference, estimate, block_frames=10) == pytest.approx({"f1": 0.5, "error_rate": 0})


def test_nothing_to_find_is_f1_zero_and_no_error_rate():
    for number in (0, 30):
        numbers = seld.evaluate(frames(number), frames(number), block_frames=10)
        assert numbers == pytest.approx({"f1": 0, "error_rate": np.nan}, nan_ok=True)


@pytest.mark.parametrize(
    ("reference", "estimate", "size", "message"),
    [
        (frames(10), frames(12), 5, r"\(10, 2\) and \(12, 2\)"),
        (np.zeros(10), np.zeros(10), 5, r"\(frames, classes\)"),
        (frames(10), frames(10), 1, "at least 2"),
    ],
)
def test_seld_refuses(reference, estimate, size, message):
    with pytest.raises(MetricError, match=message):
        seld.evaluate(reference, estimate, block_frames=size)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("place", [0, 1])
def test_what_is_no_number_is_refused_not_counted_as_an_event(value, place):
    pair = [np.zeros((4, 2)), np.zeros((4, 2))]
    pair[place][1, 1] = value
    with pytest.raises(MetricError, match=f"{('reference', 'estimate')[place]} must be finite; 1 of its values"):
        seld.evaluate(*pair, block_frames=2)
