"""The one grid of time: windows reach where the clip is, targets and answers lie on the same borders, an oracle is right."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit.annotations import Clip, Event
from dcasekit.errors import FeatureError
from dcasekit.scores.grid import Grid

SR, HOP = 8000, 100


def grid(frames, *, window=None, step=1, duration=None, computed=None, least_real=0.1):
    """Of a clip that lasts so many frames, of which a centred transform computes one more."""
    seconds = frames * HOP / SR if duration is None else duration
    return Grid(frames + 1 if computed is None else computed, seconds, HOP, SR, window, step, least_real)


@pytest.mark.parametrize(("sr", "hop"), [(44100, 882), (22050, 680), (16000, 256), (44100, 8820), (48000, 960), (32000, 320)])
@pytest.mark.parametrize("seconds", [1, 5, 10, 12.8, 30])
@pytest.mark.parametrize("share", [1.0, 0.5, 0.1])
def test_so_many_seconds_in_windows_of_so_many_seconds_are_one_window(sr, hop, seconds, share):
    window, step = (max(1, int(time * sr / hop + 1e-6)) for time in (seconds, seconds * share))
    samples = round(seconds * sr)
    made = Grid(1 + samples // hop, samples / sr, hop, sr, window, step)
    assert list(made.starts) == [0]
    assert made.frames == window
    assert made.edges[-1] == seconds


def test_the_2018_baseline_has_one_window_of_500_frames():
    baseline = Grid(501, 10.0, 882, 44100, 500, 500)
    assert (list(baseline.starts), baseline.frames, len(baseline.edges)) == ([0], 500, 501)
    assert list(replace(baseline, computed=551, duration=11.0).starts) == [0]  # 50 frames of 500 are not more than a tenth
    assert list(replace(baseline, computed=552, duration=11.02).starts) == [0, 500]


@pytest.mark.parametrize(("least_real", "kept"), [(0.0, [1, 2, 5]), (0.1, [2, 5]), (0.4, [5]), (0.5, [])])
def test_a_last_window_needs_more_than_a_share_of_real_frames(least_real, kept):
    for rest in (1, 2, 5):
        made = grid(20 + rest, window=10, step=10, least_real=least_real)
        assert (len(made.starts) == 3) == (rest in kept)
        assert made.frames == (20 + rest if rest in kept else 20)
        assert made.edges[-1] == pytest.approx((20 + rest) * HOP / SR)  # the last frame answers for what is left


@given(
    frames=st.integers(1, 200),
    window=st.integers(1, 40),
    step=st.integers(1, 60),
    least_real=st.sampled_from([0.0, 0.1, 0.29, 0.5, 0.9]),
    extra=st.integers(0, HOP - 1),
)
def test_windows_hold_what_is_real(frames, window, step, least_real, extra):
    samples = frames * HOP + extra
    made = Grid(1 + samples // HOP, samples / SR, HOP, SR, window, step, least_real)
    assert made.starts[0] == 0
    assert all(start < frames for start in made.starts)
    assert all(frames - start > least_real * window for start in made.starts[1:])
    if len(made.starts) > 1:
        assert made.starts[-2] + window < frames  # the one before it does not reach the end
    following = len(made.starts) * step
    covered = made.starts[-1] + window >= frames
    assert covered or frames - following <= least_real * window or following >= frames
    assert all(1 <= made.real(start) <= window for start in made.starts)
    assert made.cut(np.arange(made.computed, dtype=np.float32)[:, None]).shape == (len(made.starts), window, 1)
    assert made.edges[0] == made.spans[0] == 0
    assert made.edges[-1] == made.spans[-1] == pytest.approx(samples / SR)
    assert (np.diff(made.edges) > 0).all()
    assert (np.diff(made.spans) > 0).all()


def test_a_frame_behind_the_end_is_not_read():
    whole = grid(10)
    assert whole.frames == 10
    assert whole.cut(np.arange(11, dtype=np.float32)[:, None])[0, :, 0].tolist() == list(range(10))
    assert grid(10, duration=10.5 * HOP / SR).frames == 11  # half a frame is real
    assert grid(10, computed=7).frames == 7  # not centred: the last frame stretches to the end
    assert grid(10, computed=7).edges[-1] == 10 * HOP / SR


@given(frames=st.integers(1, 60), extra=st.integers(0, HOP - 1), window=st.integers(1, 12), data=st.data())
def test_answers_of_windows_partition_the_clip(frames, extra, window, data):
    step = data.draw(st.integers(1, window))
    made = grid(frames, window=window, step=step, duration=(frames * HOP + extra) / SR)
    answers = np.random.default_rng(0).random((len(made.starts), 2)).astype(np.float32)
    scores = made.join(answers, ("a", "b"))
    assert scores.edges[0] == 0
    assert scores.edges[-1] == pytest.approx((frames * HOP + extra) / SR)
    np.testing.assert_array_equal(scores.values, answers)
    centres = (np.asarray(made.starts) + window / 2) * HOP / SR
    np.testing.assert_allclose(scores.edges[1:-1], (centres[1:] + centres[:-1]) / 2)


@given(frames=st.integers(1, 60), window=st.integers(1, 12), per=st.sampled_from([1, 2, 3]), data=st.data())
def test_answers_of_frames_are_averaged_where_windows_overlap(frames, window, per, data):
    made = grid(frames, window=window, step=data.draw(st.integers(1, window)))
    steps = -(-window // per)
    answers = np.random.default_rng(0).random((len(made.starts), steps, 1)).astype(np.float32)
    scores = made.join(answers, ("a",))
    for frame in range(made.frames):
        covering = [
            answers[n, (frame - start) * steps // window, 0] for n, start in enumerate(made.starts) if start <= frame < start + window
        ]
        assert scores.values[frame, 0] == pytest.approx(np.mean(covering), abs=1e-6)


def test_windows_with_gaps_cannot_answer_frames():
    with pytest.raises(FeatureError, match="sequence_hop_time <= sequence_time"):
        grid(25, window=4, step=16).join(np.zeros((2, 4, 1)), labels=("a",))


events = st.lists(
    st.builds(lambda onset, length, label: Event(onset, onset + length, label), st.floats(0, 3), st.floats(0, 1), st.sampled_from("ab")),
    max_size=5,
)


@given(drawn=events, samples=st.integers(HOP, 3 * SR), window=st.sampled_from([None, 7, 40, 80]), kind=st.sampled_from(["window", "frame"]))
def test_an_oracle_that_answers_the_targets_says_what_is_true(drawn, samples, window, kind):
    """Joined again, the targets are the events drawn on the scores' own borders, whatever windows they went through."""
    made = Grid(1 + samples // HOP, samples / SR, HOP, SR, window, window or 1)
    clip = Clip("clip", "clip.wav", events=tuple(drawn))
    target = made.target(clip, ("a", "b"), kind)
    if kind == "frame":
        target = np.stack([np.pad(target[s : s + made.real(s)], ((0, made.length - made.real(s)), (0, 0))) for s in made.starts])
    scores = made.join(target, ("a", "b"))
    np.testing.assert_array_equal(scores.values, made.target(clip, ("a", "b"), kind))
    sounding = {event.label for event in drawn if event.onset < samples / SR - 1e-6}
    assert {label for label, column in zip("ab", scores.values.T, strict=True) if column.any()} == sounding


@given(samples=st.integers(2 * HOP, 3 * SR), window=st.integers(2, 40), data=st.data())
def test_behind_overlapping_windows_lies_less_than_a_frame(samples, window, data):
    """That part of a frame has no window: one more would make two of N seconds in windows of N seconds, a little less in frames."""
    step = data.draw(st.integers(1, window - int(0.1 * window + 1e-6) - 1))
    made = Grid(1 + samples // HOP, samples / SR, HOP, SR, window, step)
    behind = samples - (made.starts[-1] + window) * HOP
    assert behind < HOP
    assert (made.frames * HOP >= samples) == (behind <= 0)
    assert made.edges[-1] - made.edges[-2] < 2 * HOP / SR


def test_a_point_event_lies_in_the_one_frame_that_holds_it():
    made = grid(10)
    for instant, frame in ((0.0, 0), (HOP / SR, 1), (1.5 * HOP / SR, 1), (9.99 * HOP / SR, 9)):
        drawn = made.target(Clip("clip", "clip.wav", events=(Event(instant, instant, "a"),)), ("a",), "frame")
        assert np.flatnonzero(drawn[:, 0]).tolist() == [frame]
    behind = made.target(Clip("clip", "clip.wav", events=(Event(0.2, 0.2, "a"), Event(0.1, 9.0, "a"))), ("a",), "frame")
    assert np.flatnonzero(behind[:, 0]).tolist() == [8, 9]  # what is behind the end is cut
