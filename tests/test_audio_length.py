"""What a header estimates is not what a file holds: files from pipes, joined, chained, cut, and larger than their headers can say."""

import io
import struct
from itertools import pairwise

import numpy as np
import pytest
import soundfile

from dcasekit import audio
from dcasekit.audio import _flac, _mpeg
from dcasekit.errors import AudioError
from dcasekit.features import MelSpectrogram

SR = 22050


def tone(seconds=2.0, sr=SR, seed=0):
    """A sweep, with noise in its second half: a variable bit rate differs between them."""
    time = np.arange(round(seconds * sr)) / sr
    noise = np.random.default_rng(seed).standard_normal(len(time)) * (time > seconds / 2)
    return (0.3 * np.sin(2 * np.pi * (200 + 90 * time) * time) + 0.1 * noise).astype(np.float32)


def encode(sound, format, subtype=None, sr=SR, **settings):
    memory = io.BytesIO()
    channels = 1 if sound.ndim == 1 else sound.shape[1]
    with soundfile.SoundFile(memory, "w", samplerate=sr, channels=channels, format=format, subtype=subtype, **settings) as file:
        file.write(sound)
    return memory.getvalue()


def put(path, content):
    path.write_bytes(content)
    return path


def frames(mp3):
    """Where each frame of an mp3 begins, and where the last one ends."""
    places = [0]
    while places[-1] < len(mp3):
        places.append(places[-1] + _mpeg._parse(mp3[places[-1] :][:4]).size)
    return places


def without_header(mp3):
    """An mp3 as old encoders and stream recorders write it: sound alone."""
    assert b"Xing" in mp3[:64] or b"Info" in mp3[:64]
    return mp3[frames(mp3)[1] :]


def check(path, samples, sr=SR):
    """Every way to read gives so many samples, the same ones."""
    head = audio.info(path)
    assert (head.samples, head.sr, head.duration) == (samples, sr, samples / sr)
    whole, _ = audio.read(path)
    assert len(whole) == samples
    np.testing.assert_array_equal(np.concatenate(list(audio.blocks(path, seconds=0.3))), whole)
    np.testing.assert_array_equal(audio.read(path, start=head.duration * 0.7)[0], whole[round(head.duration * 0.7 * sr) :])
    np.testing.assert_array_equal(audio.read(path, start=head.duration * 0.4, stop=head.duration * 0.6)[0][-9:],
                                  whole[: round(head.duration * 0.6 * sr)][-9:])  # fmt: skip
    return whole


def refused(path, *words):
    for attempt in (lambda: audio.read(path), lambda: list(audio.blocks(path, seconds=0.3))):
        with pytest.raises(AudioError) as caught:
            attempt()
        assert all(word in str(caught.value) for word in (str(path), *words)), caught.value


# mp3

MODES = pytest.mark.parametrize("mode", ["CONSTANT", "VARIABLE"])
KINDS = pytest.mark.parametrize(("sr", "channels"), [(44100, 1), (44100, 2), (22050, 1), (16000, 2), (8000, 1)])


def mp3(seconds=2.0, mode="VARIABLE", sr=SR, channels=1, seed=0):
    sound = tone(seconds, sr, seed)
    return encode(
        sound if channels == 1 else np.stack([sound, sound[::-1]], axis=1), "MP3", sr=sr, bitrate_mode=mode, compression_level=0.5
    )


@MODES
@KINDS
def test_an_mp3_without_a_header_is_read_to_its_end(tmp_path, mode, sr, channels):
    whole = mp3(8, mode, sr, channels)
    content = without_header(whole)
    found = check(put(tmp_path / "a.mp3", content), (len(frames(content)) - 1) * (1152 if sr > 24000 else 576), sr)
    known, _ = audio.read(put(tmp_path / "b.mp3", whole))  # libsndfile cuts the encoder's delay off where it is told
    delay = np.argmax(np.correlate(found[:20000], known[:10000], "valid"))
    np.testing.assert_allclose(found[delay:][: len(known)], known, atol=1e-3)


@MODES
def test_joined_mp3s_are_read_one_after_the_other(tmp_path, mode):
    first, second = mp3(2, mode), mp3(3, mode, seed=1)
    parts = [audio.read(put(tmp_path / f"{n}.mp3", one))[0] for n, one in enumerate((first, second))]
    found = check(put(tmp_path / "a.mp3", first + second), 5 * SR)
    np.testing.assert_allclose(found, np.concatenate(parts), atol=1e-6)


@MODES
@pytest.mark.parametrize("between", [b"", b"ID3\4\0\0\0\4\0\0" + bytes(1 << 16), b"TAG" + bytes(125)], ids=["", "ID3", "v1"])
def test_joined_mp3s_without_headers_are_read_to_their_end(tmp_path, mode, between):
    first, second = without_header(mp3(2, mode)), without_header(mp3(3, mode, seed=1))
    check(put(tmp_path / "a.mp3", first + between + second), (len(frames(first)) + len(frames(second)) - 2) * 576)


@pytest.mark.parametrize("tags", [b"ID3\3\0\0\0\0\2\1" + bytes(257), b"ID3\4\0\0\0\0\0\0" * 2])
def test_tags_around_an_mp3_are_passed_over(tmp_path, tags):
    for name, content, samples in (("a", mp3(), 2 * SR), ("b", without_header(mp3()), (len(frames(mp3())) - 2) * 576)):
        check(put(tmp_path / f"{name}.mp3", tags + content + b"TAG" + bytes(125)), samples)


def test_an_mp3_that_begins_within_a_frame_is_read_from_the_next_one_on(tmp_path):
    content = without_header(mp3())
    check(put(tmp_path / "a.mp3", content[7:]), (len(frames(content)) - 2) * 576)


@pytest.mark.parametrize("cut", [0.3, 0.5, 0.9])
@pytest.mark.parametrize("strip", [bytes, without_header], ids=["header", "no header"])
@MODES
def test_a_cut_mp3_is_refused(tmp_path, mode, strip, cut):
    content = strip(mp3(4, mode))
    refused(put(tmp_path / "a.mp3", content[: int(cut * len(content)) | 1]), "truncated")


def test_an_mp3_cut_between_frames_is_refused_where_its_header_knows(tmp_path):
    content = mp3()
    refused(put(tmp_path / "a.mp3", content[: frames(content)[20]]), "truncated", "promises 79 frames, 19 are there")
    refused(put(tmp_path / "b.mp3", content[: frames(content)[20]] + content), "truncated", "promises 79 frames, 19 are there")


def test_joined_mp3s_that_do_not_fit_are_refused(tmp_path):
    refused(put(tmp_path / "a.mp3", without_header(mp3()) + without_header(mp3(sr=44100))), "sampling rates or channels differ", "split it")
    refused(put(tmp_path / "b.mp3", without_header(mp3()) + without_header(mp3(channels=2))), "sampling rates or channels differ")


@pytest.mark.parametrize("damage", [b"x" * 2000, bytes(2000)])
@pytest.mark.parametrize("place", [0, 4000, -2000])
def test_damage_within_an_mp3_without_a_header_is_refused(tmp_path, damage, place):
    content = bytearray(without_header(mp3()))
    content[place : place + 2000 or None] = damage
    refused(put(tmp_path / "a.mp3", content), "a.mp3", "convert it" if place == 0 else "download it again")


def test_a_header_of_another_encoder_is_not_played(tmp_path):
    """Fraunhofer's VBRI, and a Xing header without counts: silent frames, which tell libsndfile nothing."""
    content = mp3()
    second, end = frames(content)[1], frames(content)[-1]
    vbri = content[:4] + bytes(32) + b"VBRI" + struct.pack(">HHHII", 1, 0, 0, end, len(frames(content)) - 2)
    bare = content.replace(b"Xing\0\0\0\x0f", b"Xing\0\0\0\0")
    for first in (vbri.ljust(second, b"\0"), bare[:second]):
        check(put(tmp_path / "a.mp3", first + content[second:]), (len(frames(content)) - 2) * 576)


def test_layer_two_is_counted_too(tmp_path):
    frame = b"\xff\xfd\x80\xc0" + bytes(413)  # 128 kbit/s, 44.1 kHz, mono, nothing in it
    check(put(tmp_path / "a.mp2", frame * 200), 200 * 1152, 44100)


# ogg


@pytest.mark.parametrize(("subtype", "sr"), [("VORBIS", SR), ("OPUS", 48000)])
def test_chained_oggs_are_read_one_after_the_other(tmp_path, subtype, sr):
    one, other = encode(tone(2, sr), "OGG", subtype, sr), encode(tone(3, sr, seed=1), "OGG", subtype, sr)
    for name, links in (("a", [one, other]), ("b", [one, one]), ("c", [one, other, one])):
        parts = [audio.read(put(tmp_path / "one.ogg", link))[0] for link in links]
        found = check(put(tmp_path / f"{name}.ogg", b"".join(links)), sum(map(len, parts)), sr)
        np.testing.assert_array_equal(found, np.concatenate(parts))
    refused(put(tmp_path / "d.ogg", one + other[: len(other) // 2]), "is truncated")
    refused(put(tmp_path / "e.ogg", one[: len(one) * 2 // 3] + other), "is truncated")
    refused(
        put(tmp_path / "f.ogg", one + encode(tone(2, 24000), "OGG", subtype, 24000 if subtype == "OPUS" else 16000)), "differ", "split it"
    )


def test_an_ogg_recorded_from_the_middle_of_a_stream_is_read(tmp_path):
    """A stream's time goes on from where the station began, not the recording."""
    content = encode(tone(20), "OGG")
    pages = [place for place in range(len(content)) if content.startswith(b"OggS", place)]
    path = put(tmp_path / "a.ogg", content[: pages[2]] + content[pages[6] :])
    assert 0 < check(path, audio.info(path).samples).size < 20 * SR


# flac


def without_length(flac):
    return flac[:21] + bytes([flac[21] & 0xF0, 0, 0, 0, 0]) + flac[26:]


def with_length(flac, samples):
    return flac[:21] + bytes([(flac[21] & 0xF0) | samples >> 32]) + struct.pack(">I", samples & 0xFFFFFFFF) + flac[26:]


@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_flac_from_a_pipe_is_read_to_its_end(tmp_path, subtype, channels):
    sound = np.stack([tone()] * channels, axis=1)
    content = encode(sound, "FLAC", subtype)
    assert (
        check(put(tmp_path / "b.flac", without_length(content)), 2 * SR).tolist()
        == check(put(tmp_path / "a.flac", content), 2 * SR).tolist()
    )


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("subtype", ["PCM_S8", "PCM_16", "PCM_24"])
@pytest.mark.parametrize("seconds", [0.001, 0.1, 2.0, 3.777])
def test_the_length_of_a_whole_flac_is_believed(tmp_path, monkeypatch, seconds, subtype, channels):
    """Without decoding, whatever it sounds like: a frame of silence is a few bytes, a loud one has many that look like a head."""
    monkeypatch.setattr("dcasekit.audio._inspect.count_samples", None)
    sound = np.stack([tone(seconds)] * channels, axis=1)
    for scale in (0, 1e-4, 1, 30):
        path = put(tmp_path / "a.flac", encode((sound * scale).clip(-1, 1), "FLAC", subtype) + b"TAG" + bytes(125))
        assert audio.info(path).samples == round(seconds * SR)


def test_a_flac_that_goes_on_after_its_promised_end_is_refused(tmp_path):
    refused(put(tmp_path / "a.flac", with_length(encode(tone(), "FLAC"), 12345)), "goes on after the 12345 samples")


def test_joined_flacs_are_refused(tmp_path):
    one, other = encode(tone(), "FLAC"), encode(tone(3), "FLAC")
    for name, content in (("a", one + other), ("b", other + one), ("c", without_length(one) + one)):
        refused(put(tmp_path / f"{name}.flac", content), "second flac file from byte", "split it")
    # The last frame ends where the first header says, in the second recording.
    refused(put(tmp_path / "d.flac", one + one), f"head -c {len(one)} gives the first, tail -c +{len(one) + 1} the second")


@pytest.mark.parametrize("length", [0, 1])
@pytest.mark.parametrize("cut", [0.2, 0.5, 0.95])
def test_a_cut_flac_is_refused(tmp_path, cut, length):
    content = encode(tone(), "FLAC")
    content = content if length else without_length(content)
    path = put(tmp_path / "a.flac", content[: int(cut * len(content))])
    refused(path, "truncated" if cut < 0.9 or not length else "cannot be decoded")  # all but the end of the last frame is there


def test_a_flac_that_promises_what_is_not_there_takes_no_memory(tmp_path):
    path = put(tmp_path / "a.flac", with_length(encode(tone(), "FLAC"), 10**10))
    refused(path, "truncated: 44100 of 10000000000 samples")


# containers


def size_at(content, name, form, size):
    """Write another size of a chunk."""
    place = content.index(name) + len(name)
    return content[:place] + struct.pack(form, size) + content[place + struct.calcsize(form) :]


UNKNOWN = [0, 0xFFFFFFFF, 0xFFFFFFFE, 0x7FFFFFFF, 0x7FFFF000, 0x80000000, 0xFFFFFFFF - 36, 0x7FFFFFFF - 36]


@pytest.mark.parametrize("size", UNKNOWN)
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_a_wav_from_a_pipe_is_read_to_its_end(tmp_path, subtype, size):
    content = encode(tone(), "WAV", subtype)
    found = check(put(tmp_path / "a.wav", size_at(content, b"data", "<I", size)), 2 * SR)
    np.testing.assert_array_equal(found, check(put(tmp_path / "b.wav", content), 2 * SR))


@pytest.mark.parametrize(
    ("format", "name", "form", "sizes"),
    [
        ("AIFF", b"SSND", ">I", UNKNOWN),
        ("CAF", b"data", ">Q", [2**64 - 1, 0]),
        ("W64", b"data\xf3\xac\xd3\x11\x8c\xd1\x00\xc0O\x8e\xdb\x8a", "<Q", [0, 24, 2**64 - 1, 2**63 - 1]),
        ("RF64", b"ds64\x1c\0\0\0" + struct.pack("<Q", 88296), "<Q", [0, 2**64 - 1]),
        ("AU", b"\0\0\0\x18", ">I", UNKNOWN),
    ],
)
def test_other_containers_from_a_pipe_are_read_to_their_end(tmp_path, format, name, form, sizes):
    content = encode(tone(), format, "PCM_16")
    for size in sizes:
        check(put(tmp_path / "a.sound", size_at(content, name, form, size)), 2 * SR)


PLAIN = pytest.mark.parametrize("format", ["WAV", "WAVEX", "AIFF", "AU", "CAF", "W64", "RF64", "NIST"])


@PLAIN
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "ULAW"])
def test_a_container_that_is_cut_is_refused(tmp_path, format, subtype):
    if subtype == "ULAW" and format == "RF64":
        pytest.skip("libsndfile writes none")
    content = encode(tone(), format, subtype)
    for share in (0.3, 0.5, 0.99):
        refused(put(tmp_path / "a.sound", content[: int(share * len(content))]), "truncated")


@PLAIN
def test_joined_containers_are_refused(tmp_path, format):
    content = encode(tone(), format, "PCM_16")
    check(put(tmp_path / "a.sound", content), 2 * SR)
    for name, second in (("b", content), ("c", encode(tone(0.01), "WAV")), ("d", encode(tone(), "FLAC"))):
        refused(put(tmp_path / f"{name}.sound", content + second), "continues after its samples", "split it")


@PLAIN
def test_a_header_older_than_its_file_is_refused(tmp_path, format):
    """A recorder that writes sizes now and then, and was switched off."""
    content = encode(tone(), format, "PCM_16")
    refused(put(tmp_path / "a.sound", content + encode(tone(seed=1), "RAW", "PCM_16")[:30001]), "older than the file")


APE_EDGE = b"APETAGEX" + struct.pack("<IIII", 2000, 500 + 32, 3, 1 << 31) + bytes(8)
APE = APE_EDGE + bytes(500) + APE_EDGE


@pytest.mark.parametrize(
    "behind", [b"ID3\4\0\0\0\0\x10\0" + bytes(2048), b"TAG" + b"x" * 125, APE, bytes(100000), b"\xfe" * 500, b"LIST\4\0\0\0INFO" * 900]
)
def test_tags_and_fill_behind_a_wav_are_passed_over(tmp_path, behind):
    check(put(tmp_path / "a.wav", encode(tone(), "WAV") + behind), 2 * SR)


def test_a_chunk_behind_samples_of_odd_size_may_follow_at_once(tmp_path):
    content = encode(tone()[:1001], "WAV", "PCM_U8")
    content = content[: content.index(b"data") + 8 + 1001]
    for fill in (b"", b"\0"):
        check(put(tmp_path / "a.wav", content + fill + b"LIST" + struct.pack("<I", 6000) + b"y" * 6000), 1001)


def test_half_a_sample_at_the_end_is_left_out(tmp_path):
    content = encode(tone(), "WAV", "PCM_16")
    check(put(tmp_path / "a.wav", size_at(content, b"data", "<I", 2 * 2 * SR - 1)), 2 * SR - 1)


@pytest.mark.parametrize("magic", [b"RIFF", b"RF64"])
def test_a_wav_of_more_than_4_gb_is_read_to_its_end(tmp_path, magic):
    """RIFF's 32 bits keep the size's rest alone."""
    samples = (1 << 31) + 5 * SR
    content = encode(np.zeros(1, np.float32), "WAV" if magic == b"RIFF" else "RF64", "PCM_16")
    start = content.index(b"data") + 8
    if magic == b"RIFF":
        content = size_at(content, b"data", "<I", 2 * samples & 0xFFFFFFFF)
    else:
        content = content[:28] + struct.pack("<Q", 2 * samples) + content[36:]
    path = put(tmp_path / "a.wav", content)
    with path.open("r+b") as file:  # a file with a hole: it takes no room
        file.seek(start + 2 * samples - 2 * SR)
        file.write((tone(1) * 32768).astype("<i2").tobytes())
    assert audio.info(path).samples == samples
    last, _ = audio.read(path, start=(samples - SR) / SR)
    np.testing.assert_allclose(last, tone(1), atol=2**-15)


# one length for all

MIXED = [("WAV", "PCM_16"), ("WAV", "IMA_ADPCM"), ("AIFF", "PCM_16"), ("AU", "PCM_16"), ("CAF", "PCM_16"), ("W64", "PCM_16"),
         ("FLAC", "PCM_16"), ("OGG", "VORBIS"), ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III")]  # fmt: skip


@pytest.mark.parametrize(("format", "subtype"), MIXED)
def test_two_recordings_of_any_kinds_are_both_read_or_refused(tmp_path, format, subtype):
    first = encode(tone(0.5, 16000), format, subtype, 16000)
    alone = audio.info(put(tmp_path / "a.sound", first)).samples
    for other, coding in MIXED:  # chains of ogg may change their coding
        second = put(tmp_path / "b.sound", encode(tone(0.3, 16000), other, coding, 16000))
        expected = alone + audio.info(second).samples
        joined = put(tmp_path / "c.sound", first + second.read_bytes())
        if format == other and format in ("OGG", "MP3"):
            assert len(audio.read(joined)[0]) == expected
        else:
            refused(joined)


@pytest.mark.parametrize("format", ["FLAC", "OGG", "MP3"])
def test_tags_behind_a_stream_are_passed_over(tmp_path, format):
    content = encode(tone(), format)
    for tags in (b"TAG" + bytes(125), APE, APE + b"TAG" + bytes(125)):
        check(put(tmp_path / "a.sound", content + tags), 2 * SR)


def test_a_tag_of_no_size_is_passed_over(tmp_path):
    """It was looked at for ever."""
    check(put(tmp_path / "a.mp3", b"APETAGEX" + bytes(24) + mp3()), 2 * SR)


def test_features_of_a_file_see_all_of_it(tmp_path):
    content = without_header(mp3(5, sr=44100))
    path = put(tmp_path / "a.mp3", content)
    mel = MelSpectrogram(sr=44100, audio_hop=512)
    frames = np.concatenate(list(mel.compute_file(path)))
    np.testing.assert_array_equal(frames, mel.compute(audio.read(path)[0]))


def test_what_had_to_be_looked_through_is_looked_through_once(tmp_path, monkeypatch):
    import os

    path = put(tmp_path / "a.flac", without_length(encode(tone(), "FLAC")))
    os.utime(path, (1e9, 1e9))
    assert audio.info(path).samples == 2 * SR
    monkeypatch.setattr("dcasekit.audio._inspect.count_samples", None)  # may not be called
    assert audio.info(path).samples == 2 * SR
    monkeypatch.undo()
    put(path, without_length(encode(tone(1), "FLAC")))
    assert audio.info(path).samples == SR


@pytest.mark.parametrize("sr", [44100, 48000, 22050, 11025])
def test_times_are_rounded_to_the_nearest_sample(tmp_path, sr):
    path = audio.write(tmp_path / "a.wav", np.arange(sr, dtype=np.float32) / sr, sr, subtype="FLOAT")
    for samples in [15, 30870 * sr // 44100, *np.random.default_rng(0).integers(1, sr, 200)]:
        assert round(audio.read(path, start=samples / sr)[0][0] * sr) == samples
        assert len(audio.read(path, stop=samples / sr)[0]) == samples
    for first, second in pairwise(np.linspace(0, 1, 8)):
        assert len(audio.read(path, start=first, stop=second)[0]) == round(second * sr) - round(first * sr)


def test_bytes_of_sound_that_look_like_the_head_of_a_flac_frame_are_none():
    frames = _flac._frames_of(1, 16, fixed=True)
    for second in range(256):  # a size of 0 is none; of the others the checksum is wrong
        assert list(_flac._frame_ends(bytes([0xFF, 0xF8, second, 0x08]) + bytes(range(1, 13)), frames, 4096)) == []
