"""Reading and writing audio: every codec, every way to ask for a part, every way a file can be broken."""

import os
import struct
from itertools import product

import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from dcasekit import audio
from dcasekit.errors import AudioError

SR = 22050


def tone(seconds=1.3, sr=SR, seed=0):
    """A sweep with some noise: no two places sound the same, so a wrong place is noticed."""
    time = np.arange(round(seconds * sr)) / sr
    noise = np.random.default_rng(seed).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.01 * noise).astype(np.float32)


CODINGS = [
    ("wav", "PCM_U8", 2**-6),
    ("wav", "PCM_16", 2**-14),
    ("wav", "PCM_24", 2**-22),
    ("wav", "PCM_32", 2**-22),
    ("wav", "FLOAT", 0),
    ("wav", "DOUBLE", 0),
    ("flac", "PCM_16", 2**-14),
    ("flac", "PCM_24", 2**-22),
    ("ogg", "VORBIS", 0.15),
    ("mp3", "MPEG_LAYER_III", 0.15),
]


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    """One file per coding: 1.3 s, long enough for several ogg pages and mp3 frames."""
    folder = tmp_path_factory.mktemp("recordings")
    return {
        f"{suffix} {subtype}": audio.write(folder / f"{subtype}.{suffix}", tone(), SR, subtype=subtype) for suffix, subtype, _ in CODINGS
    }


CODED = pytest.mark.parametrize("coding", [f"{suffix} {subtype}" for suffix, subtype, _ in CODINGS])


def riff(*chunks, form=b"WAVE"):
    """A RIFF file of chunks (name, content), each padded to even length."""
    body = form + b"".join(name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2) for name, content in chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def pcm_format(channels=1, sr=SR, bits=16, tag=1):
    size = channels * bits // 8
    return b"fmt ", struct.pack("<HHIIHH", tag, channels, sr, sr * size, size, bits)


# what is read


@pytest.mark.parametrize(("suffix", "subtype", "tolerance"), CODINGS)
def test_what_was_written_is_read(recordings, suffix, subtype, tolerance):
    path = recordings[f"{suffix} {subtype}"]
    found, sr = audio.read(path)
    assert (sr, found.dtype, found.shape) == (SR, np.float32, tone().shape)
    np.testing.assert_allclose(found, tone(), rtol=0, atol=tolerance)
    head = audio.info(path)
    assert (head.samples, head.sr, head.channels, head.subtype) == (len(tone()), SR, 1, subtype)
    assert head.duration == len(tone()) / SR


@CODED
def test_mono_is_what_libsndfile_decodes(recordings, coding):
    expected, _ = soundfile.read(recordings[coding], dtype="float32")
    # soundfile.read seeks before it reads, which moves the last bit of some mp3 samples
    np.testing.assert_allclose(audio.read(recordings[coding])[0], expected, rtol=0, atol=1e-7 if "mp3" in coding else 0)


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16")])
def test_several_channels_become_their_mean(tmp_path, channels, suffix, subtype):
    sound = np.stack([tone(0.2, seed=seed) * (seed + 1) / channels for seed in range(channels)], axis=1)
    path = audio.write(tmp_path / f"a.{suffix}", sound, SR, subtype=subtype)
    found, _ = audio.read(path)
    decoded, _ = soundfile.read(path, dtype="float64")
    assert audio.info(path).channels == channels
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, decoded.mean(axis=1), rtol=0, atol=1e-7)
    np.testing.assert_allclose(np.concatenate(list(audio.blocks(path, seconds=0.03))), found, rtol=0, atol=0)


def test_opposite_channels_cancel(tmp_path):
    path = audio.write(tmp_path / "a.wav", np.stack([tone(0.1), -tone(0.1)], axis=1), SR, subtype="FLOAT")
    assert not audio.read(path)[0].any()


@pytest.mark.parametrize("target", [8000, 16000, 44100, SR])
@CODED
def test_resampling_is_soxr_s_of_the_whole_file(recordings, coding, target):
    whole, _ = audio.read(recordings[coding])
    found, sr = audio.read(recordings[coding], sr=target)
    assert (sr, found.dtype) == (target, np.float32)
    expected = whole if target == SR else soxr.resample(whole, SR, target, quality="HQ")
    np.testing.assert_array_equal(found, expected)


# parts


@CODED
@settings(max_examples=25)
@given(data=st.data())
def test_a_part_is_a_slice_of_the_whole(recordings, coding, data):
    whole, _ = audio.read(recordings[coding])
    first = data.draw(st.integers(0, len(whole) - 1))
    last = data.draw(st.integers(first + 1, len(whole) + 100))
    nudge = data.draw(st.floats(-0.4, 0.4))  # the nearest sample is meant
    part, _ = audio.read(recordings[coding], start=max(0, first + nudge) / SR, stop=(last + nudge) / SR)
    np.testing.assert_array_equal(part, whole[first:last])


@pytest.mark.parametrize("suffix", ["ogg", "mp3", "flac"])
def test_the_end_of_a_compressed_file_is_in_its_place(tmp_path, suffix):
    """libsndfile 1.2.2 seeks to a place 100 samples off in the last page of an ogg file."""
    path = audio.write(tmp_path / f"a.{suffix}", tone(3), SR)
    whole, _ = audio.read(path)
    for first in range(len(whole) - 16000, len(whole), 1999):
        np.testing.assert_array_equal(audio.read(path, start=first / SR)[0], whole[first:])


@pytest.mark.parametrize(("start", "stop"), [(1.3, None), (2, None), (0.5, 0.5), (0.6, 0.5), (-0.1, 0.5), (0, 0), (0, -1)])
def test_a_part_where_nothing_is_is_refused(recordings, start, stop):
    with pytest.raises(AudioError, match="PCM_16.wav lasts 1.300 s; there is nothing between"):
        audio.read(recordings["wav PCM_16"], start=start, stop=stop)


@pytest.mark.parametrize("target", [None, 16000, 44100])
@CODED
@settings(max_examples=6)
@given(seconds=st.floats(0.02, 1.5))
def test_joined_blocks_are_the_whole_file(recordings, coding, target, seconds):
    whole, _ = audio.read(recordings[coding], sr=target)
    joined = np.concatenate(list(audio.blocks(recordings[coding], sr=target, seconds=seconds)))
    assert joined.shape == whole.shape
    np.testing.assert_allclose(joined, whole, rtol=0, atol=1e-6 if target else 0)


@CODED
def test_a_block_lasts_as_long_as_asked(recordings, coding):
    lengths = [len(block) for block in audio.blocks(recordings[coding], seconds=0.5)]
    assert lengths == [SR // 2, SR // 2, len(tone()) - 2 * (SR // 2)]


def test_blocks_shorter_than_a_sample_are_one_sample(tmp_path):
    path = audio.write(tmp_path / "a.wav", tone()[:50], SR)
    assert [len(block) for block in audio.blocks(path, seconds=1e-9)] == [1] * 50


def test_a_reader_may_stop_between_blocks(recordings):
    for path in recordings.values():
        blocks = audio.blocks(path, seconds=0.1)
        next(blocks)
        blocks.close()


# 16-bit wav: read without a decoder

SAMPLES = np.random.default_rng(1).integers(-32768, 32768, 1001, dtype=np.int16)
SAMPLES[:4] = [-32768, 32767, 0, -1]
DATA = (b"data", SAMPLES.astype("<i2").tobytes())


def check_against_soundfile(path, channels=1):
    decoded, sr = soundfile.read(path, dtype="float32", always_2d=True)
    found, found_sr = audio.read(path)
    assert sr == found_sr
    assert audio.info(path).samples == len(decoded)
    expected = decoded[:, 0] if channels == 1 else decoded.mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(found.view(np.int32), expected.view(np.int32))


@pytest.mark.parametrize(
    "chunks",
    [
        [pcm_format(), DATA],
        [pcm_format(), (b"LIST", b"INFOISFT\x05\0\0\0dcase\0"), DATA],
        [(b"JUNK", b"x" * 27), pcm_format(), (b"bext", b"y" * 603), DATA],  # odd sizes, one pad byte each
        [(b"LIST", b"INFO"), (b"fact", struct.pack("<I", 1001)), pcm_format(), DATA, (b"LIST", b"INFOafter")],
        [(pcm_format()[0], pcm_format()[1] + b"\0\0"), DATA],  # an 18-byte format, its extension empty
        [(pcm_format()[0], pcm_format()[1] + b"\1\0\7"), DATA],  # of odd size
        [pcm_format(sr=192000), DATA],
        [pcm_format(sr=8000), (b"abcd", b""), DATA],
    ],
    ids=["plain", "LIST before", "odd chunks", "LIST around", "long fmt", "odd fmt", "192 kHz", "empty chunk"],
)
def test_a_plain_wav_is_read_bit_for_bit_whatever_its_chunks(tmp_path, chunks):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(*chunks))
    assert audio.info(path).data_start is not None, "this is the fast path"
    check_against_soundfile(path)
    np.testing.assert_array_equal(audio.read(path)[0], SAMPLES / np.float32(32768))


@pytest.mark.parametrize("channels", [1, 2, 7])
def test_a_plain_wav_of_several_channels_is_read_bit_for_bit(tmp_path, channels):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(pcm_format(channels), (b"data", DATA[1][: 2 * channels * (1001 // channels)])))
    check_against_soundfile(path, channels)


def test_an_extensible_16_bit_wav_is_read_bit_for_bit(tmp_path):
    tag, content = pcm_format(tag=0xFFFE)
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    path = tmp_path / "a.wav"
    path.write_bytes(riff((tag, content + struct.pack("<HHI", 22, 16, 4) + guid), DATA))
    assert audio.info(path).data_start is not None
    check_against_soundfile(path)


FORMATS = ("WAV", "WAVEX", "RF64", "W64", "AIFF", "AU", "CAF", "NIST")
NUMBERS = ("PCM_S8", "PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE")
WRITTEN = [one for one in product(FORMATS, NUMBERS, ("LITTLE", "BIG")) if soundfile.check_format(*one)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(("format", "subtype", "endian"), WRITTEN)
def test_plain_numbers_are_read_bit_for_bit(tmp_path, format, subtype, endian, channels):
    sound = np.stack([tone(0.2, seed=seed) for seed in range(channels)], axis=1).squeeze()
    path = tmp_path / "a.sound"
    soundfile.write(path, sound, SR, format=format, subtype=subtype, endian=endian)
    head = audio.info(path)
    assert head.data_start is not None
    assert head.subtype == soundfile.info(path).subtype
    check_against_soundfile(path, channels)


@pytest.mark.parametrize(
    ("format", "subtype"),
    [
        ("WAV", "ULAW"),
        ("WAV", "ALAW"),
        ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"),
        ("AU", "ULAW"),
        ("CAF", "ALAC_16"),
        ("AIFF", "ALAW"),
        ("NIST", "ULAW"),
    ],
)
def test_compressed_numbers_are_left_to_libsndfile_and_agree(tmp_path, format, subtype):
    soundfile.write(tmp_path / "a.sound", tone(0.2), SR, format=format, subtype=subtype)
    assert audio.info(tmp_path / "a.sound").data_start is None
    check_against_soundfile(tmp_path / "a.sound")


def test_a_wav_from_a_pipe_ends_where_the_file_does(tmp_path):
    path = tmp_path / "a.wav"
    content = bytearray(riff(pcm_format(), DATA))
    content[4:8] = content[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(content)
    np.testing.assert_array_equal(audio.read(path)[0], SAMPLES / np.float32(32768))


@pytest.mark.parametrize("format", ["AIFF", "RF64", "W64", "CAF"])
def test_formats_not_promised_open_as_well(tmp_path, format):
    soundfile.write(tmp_path / "a.sound", tone(0.1), SR, format=format, subtype="PCM_16")
    check_against_soundfile(tmp_path / "a.sound")


@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_one_sample_is_a_recording(tmp_path, suffix):
    path = audio.write(tmp_path / f"a.{suffix}", np.float32([0.5]), SR)
    assert audio.read(path)[0].tolist() == [0.5]
    assert [block.tolist() for block in audio.blocks(path)] == [[0.5]]


# writing


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32"])
def test_samples_beyond_full_scale_are_cut_not_wrapped(tmp_path, subtype):
    found, _ = audio.read(audio.write(tmp_path / "a.wav", np.float32([-5, -1, 0, 1, 5]), SR, subtype=subtype))
    np.testing.assert_allclose(found, [-1, -1, 0, 1, 1], atol=2**-6)


def test_float_files_keep_samples_beyond_full_scale(tmp_path):
    found, _ = audio.read(audio.write(tmp_path / "a.wav", np.float32([-5, 5]), SR, subtype="FLOAT"))
    assert found.tolist() == [-5, 5]


def test_16_bits_written_again_are_the_same_16_bits(tmp_path):
    first = audio.write(tmp_path / "a.wav", SAMPLES / np.float32(32768), SR)
    second = audio.write(tmp_path / "b.wav", audio.read(first)[0], SR)
    assert first.read_bytes() == second.read_bytes()
    np.testing.assert_array_equal(soundfile.read(first, dtype="int16")[0], SAMPLES)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_is_not_written(tmp_path, value):
    old = audio.write(tmp_path / "a.wav", tone(0.1), SR).read_bytes()
    with pytest.raises(AudioError, match="a.wav: 1 samples are not finite"):
        audio.write(tmp_path / "a.wav", np.float32([0, value]), SR)
    assert (tmp_path / "a.wav").read_bytes() == old
    assert os.listdir(tmp_path) == ["a.wav"]


@pytest.mark.parametrize(
    ("name", "sr", "subtype"),
    [("a.wav", SR, "VORBIS"), ("a.wav", SR, "NONSENSE"), ("a.xyz", SR, None), ("a", SR, None), ("a.mp3", 12345, None)],
)
def test_a_format_that_cannot_be_written_leaves_the_folder_as_it_was(tmp_path, name, sr, subtype):
    (tmp_path / name).write_bytes(b"old")
    with pytest.raises(AudioError, match=f"cannot write .*{name}.*known suffixes: .wav, .flac, .ogg, .mp3"):
        audio.write(tmp_path / name, tone(0.1), sr, subtype=subtype)
    assert (tmp_path / name).read_bytes() == b"old"
    assert os.listdir(tmp_path) == [name]


def test_folders_on_the_way_are_made(tmp_path):
    assert audio.read(audio.write(tmp_path / "new" / "folder" / "a.wav", tone(0.1), SR))[1] == SR
