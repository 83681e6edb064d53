"""What a page draws of a recording: its peaks, its spectrogram as bytes, and the looks of labels."""

import io
import tracemalloc

import numpy as np
import pytest

from dcasekit import audio
from dcasekit.errors import AudioError, FeatureError
from dcasekit.plots import looks, picture
from dcasekit.plots.looks import COLORS


def sine(path, hz, *, seconds=2.0, sr=16000, level=1.0):
    return audio.write(path, (level * np.sin(2 * np.pi * hz * np.arange(round(seconds * sr)) / sr)).astype(np.float32), sr, subtype="FLOAT")


@pytest.mark.parametrize("bins", [1, 7, 300, 999, 1000, 5000])
def test_peaks_are_the_extremes_of_equal_parts(tmp_path, bins):
    samples = np.random.default_rng(0).uniform(-1, 1, 1000).astype(np.float32)
    found = audio.peaks(audio.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT"), bins)
    part = np.arange(1000) * min(bins, 1000) // 1000
    assert found.tolist() == [[samples[part == k].min(), samples[part == k].max()] for k in range(min(bins, 1000))]


def test_peaks_do_not_depend_on_blocks_and_are_flat_in_memory(tmp_path):
    samples = np.random.default_rng(0).uniform(-1, 1, 8000 * 300).astype(np.float32)  # five blocks
    path = audio.write(tmp_path / "a.wav", samples, 8000, subtype="FLOAT")
    tracemalloc.start()
    found = audio.peaks(path, 777)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    part = np.arange(len(samples)) * 777 // len(samples)
    assert found[:, 0].tolist() == [samples[part == k].min() for k in range(777)]
    assert peak < samples.nbytes / 2


def test_no_bins_are_refused(tmp_path):
    with pytest.raises(AudioError, match="at least 1 bin; got 0"):
        audio.peaks(sine(tmp_path / "a.wav", 440), 0)


@pytest.mark.parametrize("scale", ["mel", "linear"])
@pytest.mark.parametrize("hz", [560, 3060])
def test_a_tone_lies_in_its_row_at_its_level(tmp_path, scale, hz):
    found = picture(sine(tmp_path / "a.wav", hz, level=0.1), scale=scale)
    assert (found.levels.shape, found.levels.dtype) == ((64, 400), np.uint8)
    row = found.levels[:, 200].argmax()
    assert row == np.abs(found.frequencies - hz).argmin()
    assert found.levels[row, 200] == pytest.approx(255 * 0.8, abs=6)  # -20 dB, up to 2 dB
    assert (found.start, found.stop) == (0, 2)


def test_columns_are_times(tmp_path):
    samples = np.zeros(16000 * 4, np.float32)
    samples[16000 * 3 : 16000 * 3 + 1600] = np.random.default_rng(0).uniform(-1, 1, 1600)
    path = audio.write(tmp_path / "a.wav", samples, 16000)
    for part, columns, at in (({}, 400, 305), ({}, 37, 28), ({}, 4000, 3050), ({"start": 2.5, "stop": 3.5}, 100, 55)):
        level = picture(path, columns=columns, **part).levels.mean(axis=0)
        assert level @ np.arange(columns) / level.sum() == pytest.approx(at, abs=1 + columns / 200)


def test_a_long_recording_has_few_columns_and_little_memory(tmp_path):
    path = sine(tmp_path / "a.wav", 440, seconds=300, sr=8000)
    tracemalloc.start()
    found = picture(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.levels.shape == (64, 20_000)
    assert found.levels.nbytes < 1.3e6
    assert peak < 64e6
    loudest = found.levels[:, 10_000].argmax()
    assert np.ptp(found.levels[loudest, 100:-100].astype(int)) <= 1  # the tone is steady


def test_shorter_than_a_window_and_silence_are_pictures(tmp_path):
    assert picture(audio.write(tmp_path / "a.wav", np.ones(3, np.float32) / 2, 8000)).levels.shape == (64, 1)
    assert picture(audio.write(tmp_path / "b.wav", np.zeros(8000, np.float32), 8000)).levels.max() == 0


def test_more_rows_than_the_spectrum_has_are_refused(tmp_path):
    for scale, told in (("mel", "bands"), ("linear", "1 to 512 rows; got 600")):
        with pytest.raises(FeatureError, match=told):
            picture(sine(tmp_path / "a.wav", 440), rows=600, scale=scale)


def test_a_png_shows_high_above_low(tmp_path):
    from PIL import Image

    image = Image.open(io.BytesIO(picture(sine(tmp_path / "a.wav", 200)).png()))
    assert image.size == (400, 64)
    light = np.asarray(image.convert("L"))
    assert light[:, 200].argmax() > 48


def test_labels_have_looks_of_their_own():
    found = looks([str(n) for n in range(56)])
    assert len(set(found.values())) == 56
    assert looks(["a", "b", "c"])["b"] == looks(["x", "b"])["b"]


def test_colours_stand_out_on_light_and_dark_pages():
    def luminance(color):
        shares = np.array([int(color[k : k + 2], 16) for k in (1, 3, 5)]) / 255
        return np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722]

    for color in COLORS:
        assert 1.05 / (luminance(color) + 0.05) >= 3
        assert (luminance(color) + 0.05) / (luminance("#171c23") + 0.05) >= 3
