"""The scaler: learned the same however the data arrive, undone without loss, and refusing what it was not fitted for."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dcasekit import Scaler
from dcasekit.errors import ModelError

DIMS = 3
tables = st.integers(1, 40).flatmap(lambda rows: arrays(np.float32, (rows, DIMS), elements=st.floats(-1000, 1000, width=32)))
kinds = st.sampled_from(["standard", "minmax"])


@given(tables, kinds)
def test_inverse_undoes_transform(data, kind):
    scaler = Scaler(kind).fit(data)
    np.testing.assert_allclose(scaler.inverse_transform(scaler.transform(data)), data, rtol=1e-4, atol=1e-2)


@given(tables, kinds, st.lists(st.integers(1, 39), max_size=5), st.randoms(use_true_random=False))
def test_streaming_equals_one_fit_for_any_cut_and_order(data, kind, cuts, random):
    whole = Scaler(kind).fit(data)
    parts = np.split(data, sorted(cuts))
    random.shuffle(parts)
    streamed = Scaler(kind)
    for part in parts:
        streamed.partial_fit(part)
    np.testing.assert_allclose(streamed.transform(data), whole.transform(data), rtol=1e-4, atol=1e-4)
    of_list = Scaler(kind).fit(parts)
    np.testing.assert_array_equal(of_list.transform(data), streamed.transform(data))


@given(tables)
def test_standard_gives_mean_zero_and_deviation_one_or_zero(data):
    scaled = Scaler("standard").fit(data).transform(data).astype(np.float64)
    spread = np.ptp(data, axis=0)
    wide = spread > 1e-2
    np.testing.assert_allclose(scaled.mean(axis=0)[wide], 0, atol=1e-3)
    np.testing.assert_allclose(scaled.std(axis=0)[wide], 1, atol=1e-3)
    np.testing.assert_allclose(scaled[:, spread == 0], 0, atol=1e-3)


@given(tables)
def test_minmax_maps_all_values_by_one_minimum_and_one_maximum(data):
    scaled = Scaler("minmax").fit(data).transform(data)
    low, high = float(data.min()), float(data.max())
    if high - low > 1e-2:
        assert scaled.min() == pytest.approx(-1, abs=1e-4)
        assert scaled.max() == pytest.approx(1, abs=1e-4)
        expected = (data.astype(np.float64) - low) / (high - low) * 2 - 1
        np.testing.assert_allclose(scaled, expected, atol=1e-3)
    elif high == low:
        np.testing.assert_array_equal(scaled, 0)


@given(tables, kinds)
def test_json_round_trip_is_exact(data, kind):
    scaler = Scaler(kind).fit(data)
    again = Scaler.from_dict(json.loads(json.dumps(scaler.to_dict(), allow_nan=False)))
    np.testing.assert_array_equal(again.transform(data), scaler.transform(data))
    extended = np.concatenate([data, data + 1])
    np.testing.assert_array_equal(again.partial_fit(extended).transform(data), scaler.partial_fit(extended).transform(data))


def test_agrees_with_the_textbook_where_cancellation_would_hurt():
    data = 1e6 + np.random.default_rng(0).normal(size=(1000, 2))
    scaler = Scaler().fit(np.split(data, 50))
    np.testing.assert_allclose(scaler.transform(data), (data - data.mean(axis=0)) / data.std(axis=0), atol=1e-4)


@pytest.mark.parametrize("kind", ["standard", "minmax"])
@pytest.mark.parametrize("value", [0.0, -80.0, 1e-12, 0.1, 1e7])
def test_a_constant_becomes_zero_and_comes_back(kind, value):
    data = np.full((500, 4, 2), value, np.float32)
    scaler = Scaler(kind).fit(data)
    np.testing.assert_allclose(scaler.transform(data), 0, atol=1e-6)
    np.testing.assert_allclose(scaler.inverse_transform(np.zeros_like(data)), data, rtol=1e-6)


def test_a_list_gives_a_list_and_every_array_is_scaled():
    data = [np.full((2, 3, 1), value, np.float32) for value in (0, 10)]
    scaler = Scaler("minmax").fit(data)
    scaled = scaler.transform(data)
    assert [array.shape for array in scaled] == [(2, 3, 1)] * 2
    assert [float(array.mean()) for array in scaled] == [-1.0, 1.0]
    assert [float(array.mean()) for array in scaler.inverse_transform(scaled)] == [0.0, 10.0]


@pytest.mark.parametrize("kind", ["standard", "minmax"])
def test_transform_is_a_copy_in_float32(kind):
    data = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
    before = data.copy()
    scaled = Scaler(kind).fit(data).transform(data)
    assert scaled.dtype == np.float32
    assert not np.shares_memory(scaled, data)
    np.testing.assert_array_equal(data, before)


def test_fitting_again_forgets():
    scaler = Scaler("minmax").fit(np.array([[1000.0]]))
    scaler.fit(np.array([[0.0], [2.0]]))
    assert scaler.transform(np.array([[2.0]])).tolist() == [[1.0]]


def test_file_round_trip(tmp_path):
    data = np.random.default_rng(0).normal(size=(10, 4)).astype(np.float32)
    scaler = Scaler().fit(data)
    path = scaler.save(tmp_path / "scaler.json")
    np.testing.assert_array_equal(Scaler.load(path).transform(data), scaler.transform(data))


def test_what_cannot_be_is_refused(tmp_path):
    with pytest.raises(ModelError, match="'standard', 'minmax', 'window', 'window_minmax'; got 'robust'"):
        Scaler("robust")
    with pytest.raises(ModelError, match="has not been fitted"):
        Scaler().transform(np.zeros((1, 2)))
    with pytest.raises(ModelError, match="has not been fitted"):
        Scaler().save(tmp_path / "scaler.json")
    for empty in ([], np.zeros((0, 3)), [np.zeros((0, 3))]):
        with pytest.raises(ModelError, match="nothing to fit"):
            Scaler().fit(empty)
    fitted = Scaler().fit(np.zeros((4, 2)))
    for call in (fitted.transform, fitted.inverse_transform, fitted.partial_fit):
        with pytest.raises(ModelError, match="fitted on 2 dims"):
            call(np.zeros((4, 3)))


@pytest.mark.parametrize("text", ["{}", "[]", "null", '{"normalizer": "standard"}', '{"normalizer": "pickle"}', "not json"])
def test_a_damaged_file_is_refused(tmp_path, text):
    (tmp_path / "scaler.json").write_text(text)
    with pytest.raises(ModelError):
        Scaler.load(tmp_path / "scaler.json")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(bad):
    with pytest.raises(ModelError, match="finite"):
        Scaler().fit(np.array([[1.0], [bad]]))


windows = st.tuples(st.integers(1, 4), st.integers(1, 9)).flatmap(
    lambda shape: arrays(np.float32, (*shape, DIMS), elements=st.floats(-100, 100, width=32))
)


@given(windows)
def test_each_window_is_brought_to_mean_zero_and_unbiased_deviation_one_per_dimension(data):
    scaled = Scaler("window").transform(data)
    assert scaled.dtype == np.float32
    for window, found in zip(data.astype(np.float64), scaled, strict=True):
        for band in range(DIMS):
            values = [float(value) for value in window[:, band]]
            mean = sum(values) / len(values)
            deviation = (sum((value - mean) ** 2 for value in values) / max(len(values) - 1, 1)) ** 0.5
            expected = [(value - mean) / max(deviation, 0.001) for value in values]
            np.testing.assert_allclose(found[:, band], expected, atol=1e-4)


@given(windows)
def test_each_window_is_brought_to_its_own_range(data):
    scaled = Scaler("window_minmax").transform(data)
    for window, found in zip(data.astype(np.float64), scaled, strict=True):
        low, high = window.min(), window.max()
        np.testing.assert_allclose(found, (window - low) / (high - low + 1e-8), atol=1e-6)


@pytest.mark.parametrize("kind", ["window", "window_minmax"])
def test_a_scaler_of_windows_needs_no_fit_travels_as_json_and_cannot_be_undone(kind, tmp_path):
    data = np.random.default_rng(0).normal(3, 2, (5, 7, DIMS))
    scaler = Scaler(kind)
    expected = scaler.transform(data)
    np.testing.assert_array_equal(scaler.fit(data).partial_fit(data).transform(data), expected)
    again = Scaler.load(scaler.save(tmp_path / "scaler.json"))
    assert again.to_dict() == {"normalizer": kind} == Scaler(kind).fit(data).to_dict()
    np.testing.assert_array_equal(again.transform(data), expected)
    np.testing.assert_array_equal(scaler.transform([data[0], data[1:]])[0], expected[0])
    with pytest.raises(ModelError, match=f"Scaler\\('{kind}'\\) cannot be inverted"):
        scaler.inverse_transform(data)
    with pytest.raises(ModelError, match=r"takes windows \(\.\.\., frames, dims\); got an array of shape \(3,\)"):
        scaler.transform(data[0, 0])


def test_a_scaler_shows_what_it_learned():
    assert repr(Scaler("minmax")) == "Scaler('minmax', not fitted)"
    assert repr(Scaler("standard").fit(np.arange(6.0).reshape(3, 2))) == "Scaler('standard', fitted on 3 x 2 values)"
    assert repr(Scaler("window")) == "Scaler('window')"
