"""Settings of features: plain numbers, contradictions refused where they are set, unknown names met with the nearest one."""

import copy
import inspect
import json
import math
import pickle
import tracemalloc
from dataclasses import dataclass, replace

import numpy as np
import pytest
import typer

from dcasekit import audio
from dcasekit.cli.settings import apply_settings
from dcasekit.core import discover
from dcasekit.errors import FeatureError
from dcasekit.features import (
    MFCC,
    STFT,
    Decibels,
    FeatureExtractor,
    FramesAudio,
    LoopedMel,
    Mel,
    MelSpectrogram,
    NaturalLog,
    OpenL3Embedding,
    RawAudio,
    Spectrogram,
)

FEATURES = pytest.mark.parametrize("kind", [discover.load("features", name) for name in discover.names("features")])


def test_numbers_of_numpy_give_the_fingerprint_of_plain_ones():
    found = MelSpectrogram(
        sequence_time=np.float32(1.0),
        audio_hop=np.int64(512),
        sr=np.int32(16000),
        least_real=np.float16(0.25),
        stft=STFT(n_fft=np.int64(2048), pre_emphasis=np.float32(0.97), center=np.bool_(True)),
        mel=Mel(bands=np.int16(40), fmax=np.float32(7600.5)),
        log=Decibels(amin=np.float32(1e-5), top_db=np.float64(80)),
    )
    plain = MelSpectrogram(
        sequence_time=1.0,
        audio_hop=512,
        sr=16000,
        least_real=0.25,
        stft=STFT(n_fft=2048, pre_emphasis=0.97),
        mel=Mel(bands=40, fmax=7600.5),
        log=Decibels(amin=1e-5, top_db=80.0),
    )
    assert found == plain
    assert found.fingerprint == plain.fingerprint
    assert MelSpectrogram.from_settings(json.loads(json.dumps(found.settings))) == plain
    assert replace(plain, audio_hop=np.int64(256)) == replace(plain, audio_hop=256)
    assert NaturalLog(floor=np.float32(1e-7)) == NaturalLog(floor=1e-7)


@pytest.mark.parametrize(
    ("make", "meant"),
    [
        (lambda: MelSpectrogram(n_mels=64), "mel=Mel(bands=...)"),
        (lambda: MelSpectrogram(bands=64), "mel=Mel(bands=...)"),
        (lambda: MelSpectrogram(fmax=8000), "mel=Mel(fmax=...)"),
        (lambda: MelSpectrogram(f_min=50), "mel=Mel(fmin=...)"),
        (lambda: MelSpectrogram(n_fft=2048), "stft=STFT(n_fft=...)"),
        (lambda: MelSpectrogram(hop_length=512), "audio_hop=..."),
        (lambda: MelSpectrogram(sample_rate=16000), "sr=..."),
        (lambda: MelSpectrogram(top_db=80), "log=Decibels(top_db=...)"),
        (lambda: MelSpectrogram(floor=1e-5), "log=NaturalLog(floor=...)"),
        (lambda: MelSpectrogram(sequence_tme=1.0), "sequence_time=..."),
        (lambda: replace(MelSpectrogram(), n_mels=64), "mel=Mel(bands=...)"),
        (lambda: MelSpectrogram.from_settings({"win_length": 400}), "audio_win=..."),
        (lambda: MFCC(n_mfcc=20), "coefficients=..."),
        (lambda: LoopedMel(n_mels=64), "mel=Mel(bands=...)"),
        (lambda: Spectrogram(pad_mode="reflect"), "stft=STFT(pad=...)"),
        (lambda: RawAudio(hop=512), "audio_hop=..."),
        (lambda: OpenL3Embedding(emb_size=512), "embedding_size=..."),
        (lambda: Mel(n_mels=64), "bands=..."),
        (lambda: STFT(nfft=512), "n_fft=..."),
        (lambda: Decibels(topdb=512), "top_db=..."),
        (lambda: NaturalLog(flor=512), "floor=..."),
    ],
)
def test_an_unknown_setting_is_met_with_the_one_that_was_meant(make, meant):
    with pytest.raises(FeatureError) as caught:
        make()
    assert f"Did you mean {meant}?" in str(caught.value)


@FEATURES
def test_every_feature_refuses_an_unknown_setting_and_one_without_a_name(kind):
    with pytest.raises(FeatureError, match=rf"{kind.__name__}: unknown setting 'wibble'\. Its settings are: sequence_time, "):
        kind(wibble=1)
    with pytest.raises(FeatureError, match=f"{kind.__name__} takes its settings by name; got \\(22050,\\)"):
        kind(22050)


@FEATURES
def test_the_signature_still_tells_the_settings(kind):
    assert {"sequence_time", "least_real", "resampler"} <= set(inspect.signature(kind).parameters)
    assert list(inspect.signature(Mel).parameters)[:2] == ["bands", "scale"]


@FEATURES
def test_features_are_copied_and_pickled(kind):
    for again in (copy.deepcopy(kind()), copy.copy(kind()), pickle.loads(pickle.dumps(kind())), replace(kind())):
        assert again == kind()


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda: MelSpectrogram(sr=16000, mel=Mel(fmax=20000.0)), "fmax <= sr / 2 = 8000.0 Hz .* got fmin=0.0, fmax=20000.0"),
        (lambda: MFCC(sr=16000, mel=Mel(bands=40, fmax=20000.0)), "fmax <= sr / 2"),
        (lambda: LoopedMel(sr=16000, mel=Mel(fmax=20000.0)), "fmax <= sr / 2"),
        (lambda: replace(MelSpectrogram(mel=Mel(fmax=8001)), sr=16000), "fmax <= sr / 2"),
        (lambda: MelSpectrogram(mel=Mel(fmin=500.0, fmax=500.0)), "fmin < fmax"),
        (lambda: MelSpectrogram(mel=Mel(fmin=-1.0)), "0 <= fmin"),
        (
            lambda: MelSpectrogram(audio_win=512, mel=Mel(bands=200)),
            r"of 200 mel bands are empty: narrower than a bin of 43\.1 Hz.*n_fft=1024",
        ),
        (lambda: MelSpectrogram(audio_win=2048, stft=STFT(n_fft=1024)), "n_fft must be at least audio_win = 2048 samples; got 1024"),
        (lambda: Spectrogram(audio_win=2048, stft=STFT(n_fft=1024)), "n_fft must be at least audio_win"),
        (lambda: STFT(n_fft=0), "n_fft must be at least 1 sample"),
        (lambda: STFT(n_fft=512.0), "n_fft of STFT must be an int; got 512.0"),
        (lambda: STFT(pre_emphasis=math.nan), "pre_emphasis of STFT must be a finite number"),
        (lambda: Mel(bands=40.5), "bands of Mel must be an int; got 40.5"),
        (lambda: Mel(bands="64"), "bands of Mel must be an int; got '64'"),
        (lambda: Mel(fmax=math.inf), "fmax of Mel must be a finite number"),
        (lambda: MelSpectrogram(mel=64), r"mel of MelSpectrogram must be Mel\(\.\.\.\); got 64"),
        (lambda: MelSpectrogram(stft=None), r"stft of MelSpectrogram must be STFT\(\.\.\.\)"),
        (lambda: MelSpectrogram(log=True), r"log of MelSpectrogram must be Decibels\(\.\.\.\) or NaturalLog\(\.\.\.\); got True"),
        (lambda: MelSpectrogram(sequence_time=math.nan), "sequence_time of MelSpectrogram must be a finite number; got nan"),
        (lambda: MelSpectrogram(sequence_hop_time="0.5"), "sequence_hop_time of MelSpectrogram must be a finite number; got '0.5'"),
        (lambda: MelSpectrogram(resampler="sox"), "resampler must be 'soxr' or 'sinc'; got 'sox'"),
    ],
)
def test_settings_that_contradict_each_other_are_refused_where_they_are_set(make, complaint):
    with pytest.raises(FeatureError, match=complaint):
        make()


def test_the_command_line_says_so_before_it_reads_a_recording():
    with pytest.raises((FeatureError, typer.BadParameter), match="fmax <= sr / 2 = 8000.0 Hz"):
        apply_settings(MelSpectrogram(), {"sr": "16000", "mel.fmax": "20000"}, option="-F")
    together = apply_settings(
        MelSpectrogram(), {"mel.bands": "200", "stft.n_fft": "4096", "resampler": "sinc", "least_real": "0.5"}, option="-F"
    )
    assert (together.mel.bands, together.resampler, together.least_real) == (200, "sinc", 0.5)


def test_the_transform_is_as_long_as_the_window_unless_told_otherwise():
    assert STFT().length(17_640) == 17_640
    assert Spectrogram(audio_win=882).dims == 442
    assert Spectrogram(audio_win=882, stft=STFT(n_fft=1024)).dims == 513
    sound = np.random.default_rng(0).normal(0, 0.1, 4000).astype(np.float32)
    given, default = (Spectrogram(audio_win=882, audio_hop=441, stft=STFT(n_fft=n)).compute(sound) for n in (882, None))
    np.testing.assert_array_equal(given, default)


@dataclass(frozen=True, kw_only=True)
class Broken(FeatureExtractor):
    """One frame per block; every tenth is what it is told to be."""

    value: float = math.nan
    tenth: int = 9

    def compute_blocks(self, blocks):
        del blocks
        for first in range(0, 30, 10):
            frames = np.zeros((10, 3), np.float32)
            frames[self.tenth, 1] = self.value if first else 0
            yield frames


class OneDimensional(Broken):
    """Frames without dims."""

    def compute_blocks(self, blocks):
        yield np.zeros(sum(map(len, blocks)), np.float32)


class Nothing(Broken):
    """No frames."""

    def compute_blocks(self, blocks):
        yield from (np.zeros((0, 3), np.float32) for _ in blocks)


SOUND = np.zeros(22050, np.float32)
SOUND_AT_8000 = np.random.default_rng(0).normal(0, 0.1, 80_000).astype(np.float32)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_frame_that_is_no_number_is_named_with_the_remedy(value, tmp_path):
    with pytest.raises(
        FeatureError, match=r"Broken is not finite at frame 19 \(0\.59 s\); look whether the samples there are far beyond full scale"
    ):
        Broken(value=value).compute(SOUND)
    path = audio.write(tmp_path / "a.wav", SOUND, 22050)
    with pytest.raises(FeatureError, match=r"a\.wav: Broken is not finite at frame 19"):
        list(Broken(value=value).compute_file(path))


def test_a_feature_that_gives_no_frames_is_named():
    with pytest.raises(FeatureError, match=r"OneDimensional must give \(frames, dims\); got shape \(22050,\)"):
        OneDimensional().compute(SOUND)
    with pytest.raises(FeatureError, match="Nothing gives no frames"):
        Nothing().compute(SOUND)


def test_samples_as_integers_are_refused():
    with pytest.raises(FeatureError, match="floats with full scale at 1; got integers: divide 16-bit samples by 32768"):
        MelSpectrogram().compute(np.zeros(22050, np.int16))


def of_length(feature, samples):
    return feature.compute(np.random.default_rng(samples).normal(0, 0.1, samples).astype(np.float32))


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("pad", ["reflect", "constant"])
@pytest.mark.parametrize("kind", [Spectrogram, MelSpectrogram, MFCC, LoopedMel, FramesAudio])
def test_a_clip_of_one_window_is_enough_and_one_sample_less_is_refused_by_name(kind, center, pad):
    feature = kind(
        audio_win=1000,
        audio_hop=300,
        stft=STFT(center=center, pad=pad),
        **({"mel": Mel(bands=20)} if kind in (MelSpectrogram, MFCC, LoopedMel) else {}),
    )
    one = 1 if not center else 1 + 1000 // 300
    with pytest.raises(FeatureError, match="999 samples, fewer than the 1000 of one window"):
        of_length(feature, 999)
    assert of_length(feature, 1000).shape == (one, feature.dims)
    assert of_length(feature, 1001).shape == (one, feature.dims)


@pytest.mark.parametrize("resampler", ["soxr", "sinc"])
@pytest.mark.parametrize("kind", [MelSpectrogram, MFCC, Spectrogram, RawAudio, FramesAudio])
def test_a_long_recording_takes_no_more_memory_than_a_short_one(kind, resampler, tmp_path):
    feature = kind(
        sr=4000, audio_win=512, audio_hop=512, resampler=resampler, **({"mel": Mel(bands=20)} if kind in (MelSpectrogram, MFCC) else {})
    )
    peaks = []
    for minutes in (1, 2, 8):  # the first also imports and caches
        path = audio.write(tmp_path / f"{minutes}.wav", np.tile(SOUND_AT_8000, 6 * minutes), 8000)
        tracemalloc.start()
        frames = sum(len(block) for block in feature.compute_file(path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert frames in (minutes * 60 * 4000 // 512, minutes * 60 * 4000 // 512 + 1)
    assert peaks[2] < 1.2 * peaks[1]


def test_a_logarithm_that_needs_the_clip_s_maximum_keeps_its_frames_once(tmp_path):
    path = audio.write(tmp_path / "a.wav", np.tile(SOUND_AT_8000, 48), 8000)
    peaks, size = [], 0
    for log in (Decibels(), Decibels(), Decibels(top_db=80.0), Decibels(ref="max")):  # the first also imports and caches
        feature = Spectrogram(sr=8000, audio_win=512, audio_hop=256, log=log)
        tracemalloc.start()
        size = sum(block.nbytes for block in feature.compute_file(path))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert size > 10_000_000
    assert max(peaks[2:]) - peaks[1] < 1.2 * size
