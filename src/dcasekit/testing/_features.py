"""Check that a feature keeps its contract."""

import json
import re
from contextlib import suppress
from dataclasses import replace

import numpy as np

from dcasekit.errors import FeatureError
from dcasekit.features.base import FeatureExtractor
from dcasekit.testing._contract import expect_refusal, need


def check_feature(feature: FeatureExtractor) -> None:
    """Check that a feature keeps the contract of all features: values, grid of frames, and settings.

    Parameters
    ----------
    feature : a feature with the settings to check.

    Raises
    ------
    ContractError : something does not hold.
    """
    for check in (_check_values, _check_frame_grid, _check_settings):
        check(feature)


def _check_values(feature: FeatureExtractor) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, 2 * feature.sr).astype(np.float32)
    sounds = {"noise": noise, "silence": np.zeros_like(noise), "full scale": np.sign(noise)}
    for name, sound in sounds.items():
        before = sound.copy()
        frames = feature.compute(sound)
        need(frames.ndim == 2 and frames.shape[1] == feature.dims, f"{name} gives (frames, dims = {feature.dims}); got {frames.shape}")
        need(frames.dtype == np.float32 and bool(np.isfinite(frames).all()), f"{name} gives finite float32; got {frames.dtype}")
        need((sound == before).all(), "compute() leaves its argument as it was")
    need((feature.compute(noise) == feature.compute(noise)).all(), "the same audio gives the same numbers")
    for name, wrong in {"two channels": np.zeros((len(noise), 2)), "NaN": np.full(len(noise), np.nan), "no samples": noise[:0]}.items():
        with expect_refusal(FeatureError, f"audio with {name}"):
            feature.compute(wrong)
    for samples in (1, feature.audio_win // 2 + 1, feature.audio_win - 1):
        with suppress(FeatureError):
            short = feature.compute(noise[:samples])
            need(len(short) and np.isfinite(short).all(), f"{samples} samples are refused with FeatureError or give frames")


def _check_frame_grid(feature: FeatureExtractor) -> None:
    noise = np.random.default_rng(0).normal(0, 0.1, max(3 * feature.sr, 8 * feature.audio_hop)).astype(np.float32)
    seconds = len(noise) / feature.sr
    whole = feature.compute(noise)
    for size in (997, feature.audio_hop, 4 * feature.audio_win + 1):
        pieces = [noise[first : first + size] for first in range(0, len(noise), size)]
        blocks = np.concatenate(list(feature.compute_blocks(pieces)))
        same = blocks.shape == whole.shape and np.allclose(blocks, whole, rtol=1e-4, atol=1e-4 * np.abs(whole).max())
        need(same, f"it does not matter where audio is cut into blocks (here each {size} samples)")
    base = len(noise) // 2
    counts = {len(feature.compute(noise[: base + more * feature.audio_hop])) - more for more in range(5)}
    need(len(counts) == 1, f"each audio_hop more samples give one frame more; frames less what was added: {counts}")
    grid = feature.grid(len(whole), seconds)
    shape = (len(grid.starts), grid.length, feature.dims)
    told = feature.get_shape(seconds)
    need(told == shape, f"get_shape({seconds}) is (windows, frames, dims) = {shape}; got {told}")
    need(grid.edges[0] == 0 and np.isclose(grid.edges[-1], seconds), "the frames reach from the clip's beginning to its end")
    window = replace(feature, sequence_time=seconds, sequence_hop_time=seconds / 2)
    need(len(window.grid(len(whole), seconds).starts) == 1, "a clip as long as its window is one window")


def _check_settings(feature: FeatureExtractor) -> None:
    kind = type(feature)
    settings = json.loads(json.dumps(feature.settings, allow_nan=False))
    again = kind.from_settings(settings)
    need(again == feature and again.fingerprint == feature.fingerprint, "its settings survive JSON")
    fingerprints = {feature.fingerprint, replace(feature, audio_hop=feature.audio_hop + 1).fingerprint}
    wanted = 2
    with suppress(FeatureError):  # where a network knows one rate alone
        fingerprints.add(replace(feature, sr=feature.sr * 2).fingerprint)
        wanted = 3
    need(len(fingerprints) == wanted, "another setting gives another fingerprint")
    need(replace(feature, sequence_time=2.0).fingerprint == feature.fingerprint, "how windows are cut does not change the fingerprint")
    need(re.fullmatch(r"[\w.-]+", feature.fingerprint) is not None, f"the fingerprint is a file name; got {feature.fingerprint!r}")
    for name, wrong in {"no_such_setting": 1, "audio_hop": 0.01, "sr": -1, "sequence_time": 0.0}.items():
        with expect_refusal(FeatureError, f"{name}={wrong}", says=name):
            kind.from_settings({**settings, name: wrong})
