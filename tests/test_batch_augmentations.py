"""Augmentations of batches: what they keep, what they move along, and that chance is an argument."""

import inspect
from functools import partial

import numpy as np
import pytest

from dcasekit import batch_augmentations
from dcasekit.batch_augmentations import (
    add_noise,
    between_class,
    equalize,
    freq_mix_style,
    frequency_shift,
    mixup,
    random_crop,
    random_gain,
    spec_augment,
    time_shift,
)

X = np.random.default_rng(0).normal(size=(8, 30, 12)).astype(np.float32)
Y = np.eye(4, dtype=np.float32)[np.arange(8) % 4]
PER_FRAME = np.random.default_rng(1).integers(0, 2, (8, 30, 4)).astype(np.float32)

ALL = {
    "time_shift": time_shift,
    "mixup": mixup,
    "spec_augment": spec_augment,
    "mixup, strong": partial(mixup, alpha=5.0),
    "spec_augment, wide": partial(spec_augment, time_frames=1000, bands=1000),
    "random_crop, whole": partial(random_crop, frames=30),
    "frequency_shift": frequency_shift,
    "equalize": equalize,
    "random_gain": random_gain,
    "between_class": between_class,
    "add_noise": add_noise,
    "time_shift, a little": partial(time_shift, most=3),
    "spec_augment, silence": partial(spec_augment, value=-11.5),
    "freq_mix_style": partial(freq_mix_style, probability=1.0),
}


@pytest.mark.parametrize("function", ALL.values(), ids=ALL)
@pytest.mark.parametrize("y", [Y, PER_FRAME], ids=["clip", "frame"])
def test_shapes_types_and_chance(function, y):
    before, targets = X.copy(), y.copy()
    first, again, other = (function(X, y, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert first[0].shape == X.shape
    assert first[1].shape == y.shape
    assert first[0].dtype == first[1].dtype == np.float32
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1], again[1])
    assert not np.array_equal(first[0], other[0])
    np.testing.assert_array_equal(X, before)
    np.testing.assert_array_equal(y, targets)


@pytest.mark.parametrize("function", ALL.values(), ids=ALL)
def test_a_batch_of_one_will_do(function):
    x, y = function(X[:1], Y[:1], np.random.default_rng(0))
    assert x.shape == (1, 30, 12)
    assert y.shape == (1, 4)


@pytest.mark.parametrize("function", ALL.values(), ids=ALL)
@pytest.mark.parametrize("y", [Y, PER_FRAME], ids=["clip", "frame"])
def test_what_is_unknown_stays_unknown_and_makes_nothing_else_so(function, y):
    unknown = y.copy()
    unknown[2, ..., 1] = np.nan
    x, known = function(X, y, np.random.default_rng(3))
    also_x, found = function(X, unknown, np.random.default_rng(3))
    np.testing.assert_array_equal(x, also_x)
    lost = np.isnan(found)
    np.testing.assert_array_equal(found[~lost], known[~lost])
    assert lost[2, ..., 1].all()
    assert not lost[..., [0, 2, 3]].any()
    assert lost.any(axis=tuple(range(1, y.ndim))).sum() <= 2  # its own window, and the one that it was mixed into


@pytest.mark.parametrize("ratio", [0.0, 1.0])
def test_a_window_that_is_not_mixed_takes_nothing_from_an_unknown_one(ratio):
    class Fixed:
        def permutation(self, size):
            return np.arange(size)[::-1]

        def beta(self, *_):
            return np.full(2, ratio)

        def random(self, *_, **__):
            return np.full(2, ratio, np.float32)

    y = np.array([[1.0, 0.0], [np.nan, np.nan]], np.float32)
    for function in (mixup, between_class):
        _, found = function(X[:2], y, Fixed())
        np.testing.assert_array_equal(found, y if ratio else y[::-1])


def test_every_public_function_is_tested_here():
    public = {name for name, value in vars(batch_augmentations).items() if inspect.isfunction(value) and not name.startswith("_")}
    assert {getattr(function, "func", function).__name__ for function in ALL.values()} == public


def test_time_shift_rotates_frames_and_frame_targets_together():
    x = np.arange(30, dtype=np.float32)[None, :, None].repeat(8, axis=0)
    y = x.copy()
    shifted, targets = time_shift(x, y, np.random.default_rng(0))
    np.testing.assert_array_equal(shifted, targets)
    for row in shifted[:, :, 0]:
        np.testing.assert_array_equal(np.roll(row, -int(np.argmin(row))), np.arange(30))
    assert len({int(row[0]) for row in shifted[:, :, 0]}) > 1


def test_a_small_time_shift_goes_both_ways_and_no_further():
    x = np.arange(30, dtype=np.float32)[None, :, None].repeat(200, axis=0)
    shifted, _ = time_shift(x, Y[:1].repeat(200, axis=0), np.random.default_rng(0), most=2)
    assert {int(row[0]) for row in shifted[:, :, 0]} == {28, 29, 0, 1, 2}


def test_bands_can_be_masked_with_silence():
    masked, _ = spec_augment(X, Y, np.random.default_rng(0), time_masks=0, band_masks=1, bands=12, value=-11.5)
    changed = masked != X
    assert changed.any()
    assert set(masked[changed].tolist()) == {-11.5}
    assert (changed.all(axis=1) == changed.any(axis=1)).all(), "whole bands"


def test_freq_mix_style_changes_each_bands_mean_and_deviation_and_nothing_else():
    x = X * np.linspace(0.5, 2, 8, dtype=np.float32)[:, None, None] + np.arange(8, dtype=np.float32)[:, None, None]
    mixed, y = freq_mix_style(x, Y, np.random.default_rng(1), probability=1.0)
    assert y is Y

    def plain(windows):
        return (windows - windows.mean(axis=1, keepdims=True)) / windows.std(axis=1, keepdims=True)

    np.testing.assert_allclose(plain(mixed), plain(x), atol=1e-3)
    means, before = mixed.mean(axis=1), x.mean(axis=1)
    deviations, widths = mixed.std(axis=1), x.std(axis=1)
    for row in range(8):  # one share and one other window for all its bands, and for both statistics
        fits = []
        for other in range(8):
            apart = before[row] - before[other]
            share = np.dot(means[row] - before[other], apart) / max(np.dot(apart, apart), 1e-9)
            fits.append(
                np.abs(share * apart + before[other] - means[row]).max()
                + np.abs(share * widths[row] + (1 - share) * widths[other] - deviations[row]).max()
            )
        assert min(fits) < 1e-3
    assert np.abs(means - before).max() > 0.5


def test_freq_mix_style_leaves_most_batches_alone_where_it_is_rare():
    rng = np.random.default_rng(0)
    changed = [freq_mix_style(X, Y, rng, probability=0.25)[0] is not X for _ in range(400)]
    assert 0.18 < np.mean(changed) < 0.32


def test_time_shift_leaves_clip_targets():
    _, y = time_shift(X, Y, np.random.default_rng(0))
    np.testing.assert_array_equal(y, Y)


def test_mixup_mixes_targets_in_the_ratio_of_windows():
    labels = np.arange(8, dtype=np.float32)
    x = labels[:, None, None] * np.ones((1, 5, 3), np.float32)
    mixed, y = mixup(x, np.eye(8, dtype=np.float32), np.random.default_rng(0), alpha=1.0)
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    np.testing.assert_allclose(mixed[:, 0, 0], y @ labels, atol=1e-5)
    assert ((y > 0.05) & (y < 0.95)).any()


def test_mixup_mostly_leaves_windows_with_a_small_alpha():
    x = np.zeros((2000, 1, 1), np.float32)
    _, y = mixup(x, np.eye(2, dtype=np.float32)[np.arange(2000) % 2], np.random.default_rng(0), alpha=0.05)
    assert (y.max(axis=1) > 0.95).mean() > 0.8


def test_spec_augment_hides_whole_frames_and_bands_by_the_mean():
    x, y = spec_augment(X, Y, np.random.default_rng(0), time_masks=1, time_frames=6, band_masks=1, bands=3)
    np.testing.assert_array_equal(y, Y)
    changed = x != X
    for window, hidden, original in zip(x, changed, X, strict=True):
        np.testing.assert_allclose(window[hidden], original.mean(), atol=1e-6)
        frames, bands = hidden.all(axis=1), hidden.all(axis=0)
        np.testing.assert_array_equal(hidden, frames[:, None] | bands[None, :])
        for mask, width in ((frames, 6), (bands, 3)):
            assert mask.sum() <= width
            assert np.count_nonzero(np.diff(np.pad(mask.astype(int), 1))) in (0, 2)  # one stretch


def test_spec_augment_without_masks_changes_nothing():
    x, _ = spec_augment(X, Y, np.random.default_rng(0), time_masks=0, band_masks=0)
    np.testing.assert_array_equal(x, X)


def test_spec_augment_draws_every_width_and_place():
    x, _ = spec_augment(np.tile(X, (200, 1, 1)), np.tile(Y, (200, 1)), np.random.default_rng(0), time_masks=1, time_frames=4, band_masks=0)
    hidden = (x != np.tile(X, (200, 1, 1))).all(axis=2)
    assert set(hidden.sum(axis=1)) == {0, 1, 2, 3, 4}
    assert hidden.any(axis=0).all()


def test_random_crop_keeps_a_stretch_and_its_targets():
    x = np.arange(30, dtype=np.float32)[None, :, None].repeat(8, axis=0)
    cut, y = random_crop(x, x, np.random.default_rng(0), frames=10)
    assert cut.shape == (8, 10, 1)
    np.testing.assert_array_equal(cut, y)
    np.testing.assert_array_equal(np.diff(cut[:, :, 0], axis=1) % 30, 1)
    np.testing.assert_array_equal(random_crop(x, Y, np.random.default_rng(0), frames=10)[1], Y)


def test_frequency_shift_moves_each_window_by_a_few_bands():
    x = np.tile(np.arange(12, dtype=np.float32), (200, 3, 1))
    moved, y = frequency_shift(x, x, np.random.default_rng(0), bands=2)
    np.testing.assert_array_equal(y, x)
    shift = moved[:, :, 5] - 5
    assert set(np.unique(shift)) == {-2, -1, 0, 1, 2}
    expected = np.clip(np.arange(12) + shift[:, :, None], 0, 11)
    np.testing.assert_array_equal(moved, expected)


def test_equalize_adds_one_response_to_all_frames_of_a_window():
    x, _ = equalize(X, Y, np.random.default_rng(0), deviation=5.0, knots=3)
    added = x - X
    np.testing.assert_allclose(added, added[:, :1].repeat(30, axis=1), atol=1e-5)
    bend = np.abs(np.diff(added[:, 0], n=2, axis=1))
    assert (np.count_nonzero(bend > 1e-4, axis=1) <= 2).all()  # straight lines between three knots
    assert 2 < added[:, 0, 0].std() < 10
    np.testing.assert_array_equal(equalize(X, Y, np.random.default_rng(0), deviation=0.0)[0], X)


def test_random_gain_adds_one_number_to_a_window():
    x, _ = random_gain(np.zeros((500, 4, 3), np.float32), Y, np.random.default_rng(0), decibels=6.0)
    np.testing.assert_array_equal(x, x[:, :1, :1].repeat(4, axis=1).repeat(3, axis=2))
    assert -6 <= x.min() < -5.5 < 5.5 < x.max() <= 6


def test_between_class_adds_energies_in_the_ratio_of_its_targets():
    levels = np.array([-20.0, -60.0], np.float32)
    x = levels[np.arange(100) % 2, None, None] * np.ones((1, 5, 3), np.float32)
    mixed, y = between_class(x, np.eye(2, dtype=np.float32)[np.arange(100) % 2], np.random.default_rng(0))
    np.testing.assert_allclose(y.sum(axis=1), 1, atol=1e-6)
    assert -60.1 < mixed.min() <= mixed.max() < -19.9
    same = (y == y.max()).any(axis=1) & (y.max(axis=1) > 0.999)
    np.testing.assert_allclose(mixed[same][:, 0, 0], levels[y[same].argmax(axis=1)], atol=0.1)
    ratio = y[:, 0].astype(np.float64)
    share = ratio**2 / (ratio**2 + (1 - ratio) ** 2)
    expected = 10 * np.log10(share * 10**-2 + (1 - share) * 10**-6)
    np.testing.assert_allclose(mixed[:, 0, 0], expected, atol=0.01)


def test_add_noise_only_adds_energy_and_drowns_what_is_below():
    loud, _ = add_noise(np.full((50, 40, 12), 20.0, np.float32), Y, np.random.default_rng(0))
    np.testing.assert_allclose(loud, 20, atol=0.5)
    quiet, _ = add_noise(np.full((50, 40, 12), -200.0, np.float32), Y, np.random.default_rng(0), low=-60, high=-50, tilt=0)
    assert -62 < quiet.mean() < -48
    x, _ = add_noise(X, Y, np.random.default_rng(0))
    assert (x >= X - 1e-4).all()
