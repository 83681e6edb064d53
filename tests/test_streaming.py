"""Scores while a recording is still being read: of files part by part, of chunks of any size, and the events found in them."""

import gc
import itertools
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dcasekit import audio
from dcasekit.containers.streaming import Stream, restart_at, score_files
from dcasekit.core import discover
from dcasekit.errors import AnnotationError, AudioError, ModelError
from dcasekit.features import (
    MFCC,
    STFT,
    Decibels,
    FramesAudio,
    LoopedMel,
    MelSpectrogram,
    NaturalLog,
    OpenL3Embedding,
    RawAudio,
    SideBySide,
    Spectrogram,
    VGGishEmbedding,
    YAMNetEmbedding,
)
from dcasekit.features._embedding import EmbeddingFeature
from dcasekit.models import CRNN2023, MLP, SceneCNN
from dcasekit.scores import Scores, median_filter, to_events
from dcasekit.scores.postprocessing import csebbs, drop_short
from dcasekit.scores.running import Finding, RunningPool, running_median

pytestmark = pytest.mark.usefixtures("one_thread")
SR = 8000
SMALL = {"sr": SR, "audio_win": 256, "audio_hop": 128, "sequence_time": 0.5, "sequence_hop_time": 0.2}


def noise(seconds, sr=SR, seed=0):
    """A noise whose level changes."""
    rng = np.random.default_rng(seed)
    level = np.interp(np.arange(round(seconds * sr)), np.linspace(0, seconds * sr, 9), rng.uniform(0, 0.3, 9))
    return (level * rng.standard_normal(len(level))).astype(np.float32)


def ready(model, features, task="detection"):
    model.build((features.sequence_frames, features.dims), ("dog", "cat"), task=task)
    model.features = features
    return model


def joined(parts):
    edges = [parts[0].edges[:1], *(part.edges[1:] for part in parts)]
    assert all(before.edges[-1] == after.edges[0] for before, after in itertools.pairwise(parts))
    return Scores(np.concatenate([part.values for part in parts]), np.concatenate(edges), parts[0].labels)


def streamed(model, sound, sizes, sr=None):
    """Send a sound in chunks of these sizes, again and again."""
    stream, parts, first = Stream(model, sr=sr), [], 0
    for size in itertools.cycle(sizes):
        if first >= len(sound):
            break
        parts += stream.add(sound[first : first + size])
        first += size
    return joined([*parts, *stream.finish()])


def check_stream(model, sound, sizes, folder, sr=None):
    path = audio.write(folder / "sound.wav", sound, sr or model.features.sr, subtype="FLOAT")
    (whole,) = model.predict([path])
    found = streamed(model, sound, sizes, sr)
    assert found.values.shape == whole.values.shape
    np.testing.assert_allclose(found.values, whole.values, atol=1e-5)
    np.testing.assert_array_equal(found.edges, whole.edges)


FEATURES = {
    "mel": MelSpectrogram(**SMALL),
    "mel, not centred": MelSpectrogram(**SMALL, stft=STFT(center=False)),
    "mel, emphasised": MelSpectrogram(**SMALL, stft=STFT(pre_emphasis=0.97, pad="constant"), log=NaturalLog()),
    "mel, windows with gaps": MelSpectrogram(**{**SMALL, "sequence_hop_time": 0.7}),
    "mel, hop beyond the window": MelSpectrogram(**{**SMALL, "audio_hop": 300}),
    "mel, one frame": MelSpectrogram(**{**SMALL, "sequence_time": 0.016, "sequence_hop_time": 0.016}),
    "mel, by sinc": MelSpectrogram(**SMALL, resampler="sinc"),
    "spectrogram": Spectrogram(**SMALL),
    "mfcc": MFCC(**SMALL),
    "frames": FramesAudio(**SMALL),
    "raw": RawAudio(**SMALL),
    "side by side": SideBySide(**SMALL, parts={"mel": MelSpectrogram(**SMALL), "raw": RawAudio(**SMALL)}),
    "VGGish": VGGishEmbedding(sequence_time=2.0, sequence_hop_time=1.0, audio_hop=8000),
    "YAMNet": YAMNetEmbedding(sequence_time=1.92, sequence_hop_time=0.96),
    "OpenL3": OpenL3Embedding(sequence_time=2.0, sequence_hop_time=1.0, audio_hop=24000),
}


@pytest.fixture
def no_network(monkeypatch):
    """In place of a network that turns a window into an embedding, a sum."""
    monkeypatch.setattr(EmbeddingFeature, "_embed", lambda self, windows: np.resize(windows.mean(axis=(1, 2)), (self.dims, len(windows))).T)
    for kind in (VGGishEmbedding, OpenL3Embedding):
        if "finish" in vars(kind):
            monkeypatch.setattr(kind, "finish", lambda self, embedding: embedding)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", FEATURES)
@settings(max_examples=6)
@given(
    sizes=st.lists(st.integers(1, 20000), min_size=1, max_size=5).filter(lambda sizes: sum(sizes) > 500 * len(sizes)),
    seconds=st.floats(0.1, 3),
)
def test_chunks_of_any_size_give_the_scores_of_the_whole_file(name, sizes, seconds, tmp_path):
    features = FEATURES[name]
    model = ready(MLP(hidden_layers_size=[8], dropout_rates=[0]), features)
    scale = 4 if features.sr > SR else 1
    check_stream(model, noise(scale * seconds, features.sr), sizes, tmp_path)


def test_every_feature_is_streamed_or_says_why_not():
    """Embeddings share what cuts their windows, of which three are streamed here."""
    kinds = {type(features) for features in FEATURES.values()} | {LoopedMel}
    found = {discover.load("features", name) for name in discover.names("features")}
    assert {kind for kind in found if not issubclass(kind, EmbeddingFeature)} <= kinds


@pytest.mark.parametrize("sr", [11025, 44100])
@pytest.mark.parametrize("resampler", ["soxr", "sinc"])
@settings(max_examples=5)
@given(sizes=st.lists(st.integers(200, 30000), min_size=1, max_size=4), seconds=st.floats(0.2, 4))
def test_chunks_of_another_rate_are_resampled_as_files_are(sr, resampler, sizes, seconds, tmp_path):
    check_stream(ready(SceneCNN(), MelSpectrogram(**SMALL, resampler=resampler)), noise(seconds, sr), sizes, tmp_path, sr)


@cache
def model_of(name):
    model = discover.load("models", name)
    if name == "concatenated":
        model = model(first=discover.load("models", "smel")(), second=discover.load("models", "sb_cnn_sed")())
    elif name == "open_l3":
        model = model(embedding_size=512)
    else:
        model = model()
    shapes = {
        "crnn2023a": (64, 128),
        "vggish": (96, 64),
        "open_l3": (199, 256),
        "smel": (64, 1024),
        "concatenated": (64, 1024),
        "mst": (1, 22050),
    }
    frames, dims = shapes.get(name, (64, 64))
    seconds = frames * dims / SR
    features = RawAudio(sr=SR, audio_hop=dims, sequence_time=seconds, sequence_hop_time=seconds / 2)
    return ready(model, features)


@pytest.mark.parametrize("name", [name for name in discover.names("models") if "." not in name])
def test_every_network_streams(name, tmp_path):
    model = model_of(name)
    sound = noise(3.3 * model.features.sequence_time, SR)
    for sizes in ([len(sound) // 7, 1003], [len(sound)]):
        check_stream(model, sound, sizes, tmp_path)


@pytest.mark.parametrize("hop", [0.2, 0.5])
@pytest.mark.parametrize("kind", [SceneCNN, CRNN2023])
def test_parts_of_a_file_are_the_whole(kind, hop, tmp_path):
    model = ready(kind(), MelSpectrogram(**{**SMALL, "sequence_hop_time": hop}))
    paths = [audio.write(tmp_path / f"{n}.wav", noise(seconds), SR) for n, seconds in enumerate((0.2, 0.5, 5.3, 100.0))]
    for together in (False, True):
        parts = {}
        for number, scores in score_files(model, paths, together=together):
            parts.setdefault(number, []).append(scores)
        for number, whole in enumerate(model.predict(paths)):
            assert parts[number].pop() is None
            found = joined(parts[number])
            np.testing.assert_allclose(found.values, whole.values, atol=1e-6)
            np.testing.assert_array_equal(found.edges, whole.edges)
        assert len(parts[3]) > 1


def test_a_bad_file_costs_itself_alone(tmp_path):
    model = ready(SceneCNN(), MelSpectrogram(**SMALL))
    good = audio.write(tmp_path / "good.wav", noise(1), SR)
    (tmp_path / "bad.wav").write_text("no sound")
    found = list(score_files(model, [tmp_path / "bad.wav", good]))
    assert [(number, type(one).__name__) for number, one in found] == [
        (0, "AudioError"),
        *[(1, "Scores")] * (len(found) - 2),
        (1, "NoneType"),
    ]


def test_what_needs_the_whole_recording_says_so():
    whole = MelSpectrogram(**{**SMALL, "sequence_time": None})
    model = SceneCNN().build((60, 40), ("dog", "cat"))
    for features, said in (
        (whole, "takes a recording as a whole"),
        (LoopedMel(**SMALL), "a frame of this LoopedMel depends on the whole recording"),
        (MelSpectrogram(**SMALL, log=Decibels(top_db=80)), "a frame of this MelSpectrogram depends on the whole"),
        (None, "has no front end"),
    ):
        model.features = features
        with pytest.raises(ModelError, match=said):
            Stream(model)


def test_a_stream_refuses_what_is_no_audio():
    model = ready(SceneCNN(), MelSpectrogram(**SMALL))
    stream = Stream(model)
    with pytest.raises(AudioError, match="divide 16-bit samples"):
        stream.add(np.zeros(100, np.int16))
    with pytest.raises(AudioError, match=r"1 samples at 0\.000 s are NaN"):
        stream.add(np.array([0, np.nan], np.float32))
    stream.add(np.zeros((8000, 2), np.float32))
    stream.finish()
    with pytest.raises(ModelError, match="this stream has ended"):
        stream.add(np.zeros(10, np.float32))


@st.composite
def scores_in_parts(draw):
    """Scores in [0, 1], and where they are cut."""
    frames, labels = draw(st.integers(1, 300)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(st.integers(0, 99)))
    values = np.clip(np.cumsum(rng.normal(0, 0.2, (frames, labels)), axis=0) % 2 - 0.5, 0, 1)
    edges = np.arange(frames + 1) * 0.1
    edges[-1] -= draw(st.sampled_from([0, 0.03]))
    cuts = sorted({0, frames, *draw(st.lists(st.integers(1, frames), max_size=8))})
    whole = Scores(values, edges, [f"label{n}" for n in range(labels)])
    return whole, [Scores(values[a:b], edges[a : b + 1], whole.labels) for a, b in itertools.pairwise(cuts)]


def same_events(found, expected):
    assert [(event.onset, event.offset, event.label) for event in found] == [(e.onset, e.offset, e.label) for e in expected]
    np.testing.assert_allclose([event.weight for event in found], [event.weight for event in expected], atol=1e-6)


@given(given_parts=scores_in_parts(), threshold=st.sampled_from([0.0, 0.3, 0.5, {"label0": 0.2, "label1": 0.7, "label2": 0.9}]))
def test_events_of_parts_are_those_of_the_whole(given_parts, threshold):
    whole, parts = given_parts
    same_events(list(Finding(threshold=threshold).find(parts)), to_events(whole, threshold=threshold))
    shortest = drop_short(to_events(whole, threshold=threshold), seconds=0.35)
    same_events(list(Finding(threshold=threshold, min_duration=0.35).find(parts)), shortest)
    smooth = median_filter(whole, seconds=0.7)
    same_events(list(Finding(threshold=threshold, post="median", seconds=0.7).find(parts)), to_events(smooth, threshold=threshold))
    np.testing.assert_array_equal(joined(list(running_median(parts, seconds=0.7))).values, smooth.values)
    boxes = [box for box in csebbs(whole) if box.weight > 0.3]
    same_events(list(Finding(threshold=0.3, post="csebbs").find(parts)), boxes)


@given(given_parts=scores_in_parts())
def test_the_best_labels_of_parts_are_those_of_the_whole(given_parts):
    whole, parts = given_parts
    for how in ("mean", "max"):
        pool = RunningPool(how)
        for part in parts:
            pool.add(part)
        np.testing.assert_allclose([s for _, s in pool.top(3)], [s for _, s in whole.top(3, how=how)], atol=1e-6)


def test_boxes_of_a_long_recording_are_found_in_stretches_cut_where_it_is_quiet():
    values = np.tile(np.repeat([0.0, 0.9, 0.0], [200, 100, 700]), 2500)[:, None]
    edges = np.arange(len(values) + 1) / 50
    parts = [Scores(values[a : a + 5000], edges[a : a + 5001], ("dog",)) for a in range(0, len(values), 5000)]
    found = list(Finding(post="csebbs").find(parts))
    assert len(found) == 2500
    assert {round(event.onset % 20, 6) for event in found} == {4.0}


def test_events_are_given_when_nothing_earlier_can_come():
    taken = []

    def parts():
        for second in range(4):
            taken.append(second)
            yield Scores([[second % 2, second > 0]], [second, second + 1], ("dog", "cat"))

    events = Finding().find(parts())
    first = next(events)
    assert (first.label, first.onset, taken) == ("dog", 1, [0, 1, 2])  # the cat began at 1, too, and goes on
    assert [event.label for event in events] == ["cat", "dog"]


def test_findings_are_checked():
    for wrong in ({"post": "mean"}, {"seconds": 0}, {"min_duration": -1}):
        with pytest.raises(AnnotationError):
            Finding(**wrong)


@pytest.mark.parametrize("kind", [SceneCNN, CRNN2023])
@pytest.mark.parametrize("sr", [SR, 11025])
def test_a_recording_in_pieces_has_the_scores_of_the_whole(kind, sr, tmp_path):
    """Pieces overlap by what `restart_at` says must come again; of each, the scores count from where the one before ended."""
    model = ready(kind(), MelSpectrogram(**SMALL))
    sound = noise(60, sr)
    (whole,) = model.predict([audio.write(tmp_path / "whole.wav", sound, sr, subtype="FLOAT")])
    found, until = [], 0.0
    for end in (20.0, 41.7, 60.0):
        first = restart_at(model, sr, until)
        stream = Stream(model, sr=sr, first=first)
        parts = stream.add(sound[first : round(end * sr)])
        parts += stream.finish() if end == 60 else []
        piece = joined(parts)
        begin = int(np.searchsorted(piece.edges, until - 1e-6)) if until else 0
        found.append(Scores(piece.values[begin:], piece.edges[begin:], piece.labels))
        until = float(piece.edges[-1])
        assert not first or first > (until - 30) * sr
    np.testing.assert_allclose(np.concatenate([one.values for one in found]), whole.values, atol=1e-5)
    np.testing.assert_allclose(np.concatenate([one.edges[:-1] for one in found]), whole.edges[:-1], atol=1e-9)
    same_events(
        to_events(Scores(np.concatenate([one.values for one in found]), whole.edges, whole.labels), threshold=0.45),
        to_events(whole, threshold=0.45),
    )


def test_a_stream_that_nobody_ends_leaves_no_thread():
    model = ready(SceneCNN(), MelSpectrogram(**SMALL))
    streams = [Stream(model, sr=11025) for _ in range(3)]
    for stream in streams:
        stream.add(noise(1, 11025))
    threads = [stream._frames._thread for stream in streams]
    assert all(thread.is_alive() for thread in threads)
    del streams, stream
    gc.collect()
    for thread in threads:
        thread.join(10)
        assert not thread.is_alive()
