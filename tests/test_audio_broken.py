"""Files that are no recording, or no longer one: each is refused by an error of ours that names the file and says what to do."""

import os
import socket
import struct

import numpy as np
import pytest
import soundfile

from dcasekit import audio
from dcasekit.audio import _containers
from dcasekit.cli import output
from dcasekit.datasets import Folder
from dcasekit.errors import AudioError, DcasekitError
from dcasekit.features import MelSpectrogram

SR = 22050


def tone(seconds=1.3):
    time = np.arange(round(seconds * SR)) / SR
    noise = np.random.default_rng(0).standard_normal(len(time))
    return (0.3 * np.sin(2 * np.pi * (200 + 900 * time) * time) + 0.01 * noise).astype(np.float32)


CODED = pytest.mark.parametrize(("suffix", "subtype"), [
    ("wav", "PCM_U8"), ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "FLOAT"), ("flac", "PCM_16"), ("flac", "PCM_24"),
    ("ogg", "VORBIS"), ("mp3", "MPEG_LAYER_III"),
])  # fmt: skip


def pcm_wav(rate=SR, channels=1, size=2000, before=b""):
    """A 16-bit wav; its header may claim anything."""
    block = 2 * channels & 0xFFFF
    form = b"fmt " + struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * block & 0xFFFFFFFF, block, 16)
    return b"RIFF" + struct.pack("<I", 36 + size) + b"WAVE" + before + form + b"data" + struct.pack("<I", size) + bytes(range(200)) * 10


def refuse(path, complaint, remedy):
    """Reading fails in every way of reading, with an error of ours that names the file and says what to do."""
    for attempt in (lambda: audio.read(path), lambda: list(audio.blocks(path)), lambda: audio.read(path, sr=8000)):
        with pytest.raises(AudioError) as caught:
            attempt()
        message = str(caught.value)
        assert str(path) in message
        assert complaint in message
        assert remedy in message
        assert isinstance(caught.value, DcasekitError)
        assert isinstance(caught.value, OSError)


@pytest.mark.parametrize("suffix", audio.SUFFIXES)
def test_a_missing_file_is_refused(tmp_path, suffix):
    refuse(tmp_path / f"a{suffix}", "does not exist", "check how it is spelled")


@pytest.mark.parametrize("suffix", audio.SUFFIXES)
def test_an_empty_file_is_refused(tmp_path, suffix):
    (tmp_path / f"a{suffix}").touch()
    refuse(tmp_path / f"a{suffix}", "is empty", "download it again")


@pytest.mark.parametrize("suffix", audio.SUFFIXES)
@pytest.mark.parametrize("content", [b"just some text\n" * 20, b"<html><body>404</body></html>", b"x"], ids=["text", "html", "one byte"])
def test_a_file_that_is_no_audio_is_refused(tmp_path, suffix, content):
    (tmp_path / f"a{suffix}").write_bytes(content)
    refuse(tmp_path / f"a{suffix}", "not an audio file", "convert it")


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "a.wav").mkdir()
    refuse(tmp_path / "a.wav", "is a folder", "expected an audio file")


def test_a_file_used_as_a_folder_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    refuse(tmp_path / "a.wav" / "b.wav", "cannot be opened", "check the path")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    audio.write(tmp_path / "a.wav", tone(0.1), SR).chmod(0)
    refuse(tmp_path / "a.wav", "may not be read", "chmod")


def test_a_refused_permission_is_told_with_its_remedy(tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = audio.write(tmp_path / "a.wav", tone(0.1), SR)
    monkeypatch.setattr("os.open", refused)
    refuse(path, "may not be read", "chmod")


@pytest.mark.parametrize("suffix", ["wav", "aiff"])
@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_file_without_samples_is_refused(tmp_path, suffix, subtype):
    soundfile.write(tmp_path / f"a.{suffix}", np.zeros(0), SR, subtype=subtype)
    refuse(tmp_path / f"a.{suffix}", "holds no samples", "remove it")


@pytest.mark.parametrize("cut", [0.02, 0.1, 0.37, 0.5, 0.83, 0.97, -3])
@CODED
def test_a_file_cut_short_is_refused(tmp_path, suffix, subtype, cut):
    path = audio.write(tmp_path / f"a.{suffix}", tone(), SR, subtype=subtype)
    content = path.read_bytes()
    path.write_bytes(content[: cut if cut < 0 else int(len(content) * cut)])
    refuse(path, str(path), " again" if cut > 0.1 else "")


@pytest.mark.parametrize("length", range(1, 44))
def test_a_wav_cut_within_its_header_is_refused(tmp_path, length):
    path = tmp_path / "a.wav"
    path.write_bytes(pcm_wav()[:length])
    refuse(path, "not an audio file" if length < 44 else "holds no samples", "it")


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24"])
def test_a_cut_wav_is_refused_before_anything_is_decoded(tmp_path, subtype):
    path = audio.write(tmp_path / "a.wav", tone(0.1), SR, subtype=subtype)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(AudioError, match="a.wav is truncated: its header promises"):
        audio.info(path)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_damage_inside_a_flac_does_not_pass_as_sound(tmp_path, place):
    path = audio.write(tmp_path / "a.flac", tone(), SR)
    content = bytearray(path.read_bytes())
    middle = int(len(content) * place)
    content[middle : middle + 2000] = bytes(2000)
    path.write_bytes(content)
    refuse(path, "a.flac", "again")


def test_an_ogg_is_whole_only_with_its_last_page(tmp_path):
    path = audio.write(tmp_path / "a.ogg", tone(3), SR)
    content = path.read_bytes()
    audio.info(path)
    path.write_bytes(content[: content.rfind(b"OggS")])  # cut exactly between two pages
    refuse(path, "is truncated", "download it again")


@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_not_finite_are_refused(tmp_path, subtype, value):
    sound = tone(0.2)
    sound[[100, 2000]] = value
    soundfile.write(tmp_path / "a.wav", sound, SR, subtype=subtype)
    refuse(tmp_path / "a.wav", "2 samples are NaN or infinite", "repair or remove")


def test_damage_in_another_part_does_not_matter(tmp_path):
    sound = tone(0.2)
    sound[2000] = np.nan
    soundfile.write(tmp_path / "a.wav", sound, SR, subtype="FLOAT")
    np.testing.assert_array_equal(audio.read(tmp_path / "a.wav", stop=2000 / SR)[0], sound[:2000])


def test_a_long_ogg_is_written_and_read_back(tmp_path):
    long = np.zeros(70 * 48000, np.float32)  # libsndfile crashes on as much in one write
    audio.write(tmp_path / "long.ogg", long, 48000)
    assert audio.info(tmp_path / "long.ogg").samples == len(long)


# headers


def counted(function, calls):
    def call(*arguments):
        for one in function(*arguments):
            calls.append(one)
            yield one

    return call


@pytest.mark.parametrize("rate", [0, 1, 49, 10_000_001, 0xFFFFFFFF])
def test_an_absurd_rate_is_refused(tmp_path, rate):
    (tmp_path / "a.wav").write_bytes(pcm_wav(rate=rate))
    refuse(tmp_path / "a.wav", f"claims {rate} Hz", "header is damaged")


@pytest.mark.parametrize("channels", [0, 1025, 0xFFFF])
def test_absurd_channels_are_refused(tmp_path, channels):
    (tmp_path / "a.wav").write_bytes(pcm_wav(channels=channels))
    refuse(tmp_path / "a.wav", "a.wav", "damaged" if channels else "")


def test_a_last_page_that_promises_years_is_refused(tmp_path):
    """An ogg's length is the number on its last page; libsndfile leaves a page out whose checksum does not match."""
    content = bytearray(audio.write(tmp_path / "a.ogg", tone(), SR).read_bytes())
    place = content.rfind(b"OggS")
    content[place + 6 : place + 14] = struct.pack("<Q", 10**15)
    (tmp_path / "a.ogg").write_bytes(content)
    refuse(tmp_path / "a.ogg", "a.ogg", "again")


def test_zeros_behind_a_riff_header_are_not_searched(tmp_path, monkeypatch):
    """A recorder that lost its power leaves them: 50 GB here."""
    reads = []
    monkeypatch.setattr("dcasekit.audio._containers._chunks", counted(_containers._chunks, reads))
    for number, content in enumerate((pcm_wav()[:12], pcm_wav()[:12] + b"JUNK\x10\0\0\0" + bytes(16))):
        path = tmp_path / f"{number}.wav"
        path.write_bytes(content)
        os.truncate(path, 50 * 2**30)
        with pytest.raises(AudioError, match="not an audio file"):
            audio.info(path)
    path.write_bytes(pcm_wav())
    os.truncate(path, 50 * 2**30)
    assert audio.info(path).samples >= 1000
    assert len(reads) < 10


def test_a_million_chunks_are_not_walked_through(tmp_path):
    (tmp_path / "a.wav").write_bytes(pcm_wav(before=b"JUNK\0\0\0\0" * 10**6))
    refuse(tmp_path / "a.wav", "not an audio file", "convert it")


@pytest.mark.parametrize(("channels", "block", "bits"), [(258, 2, 16), (1, 4, 16), (2, 2, 16), (1, 2, 24), (1, 3, 40)])
def test_a_header_that_contradicts_itself_is_refused(tmp_path, channels, block, bits):
    content = bytearray(pcm_wav())
    content[22:24], content[32:36] = struct.pack("<H", channels), struct.pack("<HH", block, bits)
    (tmp_path / "a.wav").write_bytes(content)
    refuse(tmp_path / "a.wav", "contradicts itself", "download it again")


@pytest.mark.parametrize("channels", [2, 500])
def test_an_aiff_whose_counts_disagree_is_refused(tmp_path, channels):
    soundfile.write(tmp_path / "a.aiff", tone(), SR)
    content = (tmp_path / "a.aiff").read_bytes()
    place = content.index(b"COMM") + 8
    (tmp_path / "a.aiff").write_bytes(content[:place] + struct.pack(">H", channels) + content[place + 2 :])
    refuse(tmp_path / "a.aiff", "contradicts itself", "download it again")


# names and kinds of files


@pytest.mark.parametrize("suffix", ["wav", "flac", "ogg", "mp3", "raw"])
def test_a_name_in_another_encoding_is_no_obstacle(tmp_path, suffix):
    path = tmp_path / os.fsdecode(b"gr\xfc\xdfe." + suffix.encode())
    if suffix == "raw":
        path.write_bytes(audio.write(tmp_path / "a.flac", tone(), SR).read_bytes())
    else:
        audio.write(path, tone(), SR)
    assert len(audio.read(path)[0]) == audio.info(path).samples == len(tone())
    assert sum(map(len, audio.blocks(path, seconds=0.2))) == len(tone())
    assert len(np.concatenate(list(MelSpectrogram(sr=SR).compute_file(path))))


@pytest.mark.parametrize("content", [b"", b"text " * 100, pcm_wav()[:1000]])
def test_an_error_about_a_name_in_another_encoding_can_be_printed(tmp_path, content):
    path = tmp_path / os.fsdecode(b"gr\xfc\xdfe.wav")
    with pytest.raises(AudioError, match="does not exist") as missing:
        audio.read(path)
    path.write_bytes(content)
    with pytest.raises(AudioError) as broken:
        audio.read(path)
    for caught in (missing, broken):
        assert r"gr\xfc\xdfe.wav" in str(caught.value)
        str(caught.value).encode()


def test_a_name_in_another_encoding_is_printed_as_it_is(capfdbinary):
    output.tsv(["filename", "label"], [[os.fsdecode(b"gr\xfc\xdfe.wav"), "dog"]])
    assert capfdbinary.readouterr().out == b"filename\tlabel\ngr\xfc\xdfe.wav\tdog\n"


def test_names_that_cannot_be_are_refused(tmp_path):
    refuse(tmp_path / "a\0b.wav", "cannot be decoded", "")
    refuse(tmp_path / ("a" * 300), "cannot be opened", "check the path")


@pytest.mark.parametrize("kind", ["pipe", "device", "socket"])
def test_what_is_no_file_is_not_read(tmp_path, monkeypatch, kind):
    path = tmp_path / "a.wav"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        monkeypatch.chdir(tmp_path)  # the path of a socket must be short
        with socket.socket(socket.AF_UNIX) as one:
            one.bind("a.wav")
    refuse(path, "is a pipe, a device or a socket", "record to one first")


def test_a_link_to_a_recording_is_one(tmp_path):
    audio.write(tmp_path / "a.wav", tone(), SR)
    (tmp_path / "b.wav").symlink_to("a.wav")
    assert audio.info(tmp_path / "b.wav").samples == len(tone())


# everything else that can go wrong


@pytest.mark.parametrize("error", [MemoryError(), OSError(5, "Input/output error"), ValueError("x"), TypeError("x"), OverflowError("x")])
@pytest.mark.parametrize("suffix", ["wav", "flac"])
def test_whatever_reading_raises_names_the_file(tmp_path, monkeypatch, suffix, error):
    path = audio.write(tmp_path / f"a.{suffix}", tone(), SR)

    def fail(*_, **__):
        raise error

    monkeypatch.setattr("dcasekit.audio._decode.read_bytes", fail)
    monkeypatch.setattr("soundfile.SoundFile.read", fail)
    refuse(path, f"a.{suffix}", "")


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path):
    path = audio.write(tmp_path / "a.wav", tone(), SR)
    blocks = audio.blocks(path, seconds=0.5)
    next(blocks)
    os.truncate(path, 30000)
    with pytest.raises(AudioError, match="truncated"):
        list(blocks)


def test_what_a_flac_promises_is_not_allocated(tmp_path, monkeypatch):
    """The last frame of a forged file says what its first block says; between them there is nothing."""
    path = audio.write(tmp_path / "a.flac", tone(), SR)
    monkeypatch.setattr("dcasekit.audio._flac._frame_ends", lambda *_: [10**8])
    content = path.read_bytes()
    path.write_bytes(content[:21] + bytes([content[21] & 0xF0]) + struct.pack(">I", 10**8) + content[26:])
    sizes = []
    original = soundfile.SoundFile.read
    monkeypatch.setattr("soundfile.SoundFile.read", lambda self, frames, **more: sizes.append(frames) or original(self, frames, **more))
    refuse(path, "truncated", "again")
    assert max(sizes) <= 1 << 23


VALIDATED = [
    ("wav", "PCM_16"), ("wav", "PCM_24"), ("wav", "ULAW"), ("flac", "PCM_16"), ("ogg", "VORBIS"), ("ogg", "OPUS"),
    ("mp3", "MPEG_LAYER_III"), ("aiff", "PCM_16"), ("au", "PCM_16"), ("caf", "PCM_16"), ("w64", "PCM_16"), ("rf64", "PCM_16"),
]  # fmt: skip


@pytest.mark.parametrize(("suffix", "subtype"), VALIDATED)
def test_validate_finds_every_cut(tmp_path, suffix, subtype):
    sr = 24000 if subtype == "OPUS" else SR
    for number, share in enumerate((1, 0.9999, 0.7, 0.4)):
        path = tmp_path / "dog" / f"{number}.{suffix}"
        path.parent.mkdir(exist_ok=True)
        soundfile.write(path, tone() * (number + 1) / 4, sr, subtype=subtype)
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    found = {problem.path for problem in Folder(tmp_path).validate(jobs=1) if problem.kind in ("truncated", "unreadable")}
    assert found == {str(tmp_path / "dog" / f"{number}.{suffix}") for number in (1, 2, 3)}
