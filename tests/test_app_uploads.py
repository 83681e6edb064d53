"""What browsers send to the web application: bounded while it comes, decoded apart, deleted with the session."""

import io
import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from dcasekit import audio

pytest.importorskip("dash")

from dcasekit.app import create_app
from dcasekit.app._uploads import Limits, sweep

LOCAL = {"Origin": "http://localhost"}


@pytest.fixture
def server(tmp_path):
    app = create_app([], tmp_path / "scratch", runs=tmp_path / "runs", limits=Limits(file=50_000, session=100_000, files=30))
    return app.server


@pytest.fixture
def client(server):
    found = server.test_client()
    found.get("/")
    return found


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    path = tmp_path_factory.mktemp("sent") / "a.flac"
    audio.write(path, np.sin(np.arange(16000) * 0.1).astype(np.float32) * 0.5, 16000)
    return path.read_bytes()


def send(client, body, name="dog.flac", **more):
    return client.post("/upload", query_string={"name": name}, data=body, headers=LOCAL, **more)


def left(tmp_path):
    return sorted(path.suffix for path in (tmp_path / "scratch").rglob("*") if path.is_file())


def test_a_recording_that_is_sent_can_be_heard_by_who_sent_it_alone(server, client, recording):
    clip = send(client, recording).json["clip"]
    heard = client.get("/sound/audio", query_string={"source": "uploads", "clip": clip})
    assert (heard.status_code, heard.mimetype, len(heard.data)) == (200, "audio/wav", 32044)
    heard.close()
    other = server.test_client()
    other.get("/")
    assert other.get("/sound/audio", query_string={"source": "uploads", "clip": clip}).status_code == 404


def test_without_a_session_nothing_is_taken(server, tmp_path, recording):
    assert send(server.test_client(), recording).status_code == 403
    assert left(tmp_path) == []


@pytest.mark.parametrize("name", ["../../x.wav", "/etc/passwd", "a\0b", "<img src=x onerror=alert(1)>.wav", "é" * 500, "", "..\\..\\x"])
def test_a_name_is_shown_and_names_no_file(client, tmp_path, recording, name):
    clip = send(client, recording, name).json["clip"]
    assert clip.isalnum()
    assert left(tmp_path) == [".json", ".wav"]
    assert [path.name for path in tmp_path.iterdir() if path.name != "scratch"] == []


def test_what_is_too_large_is_refused_while_it_comes(client, tmp_path):
    refused = send(client, bytes(50_001))
    assert (refused.status_code, left(tmp_path)) == (413, [])
    assert "may have" in refused.json["problem"]


def test_what_never_ends_is_refused(client, tmp_path):
    class Endless(io.BytesIO):
        given = 0

        def read(self, size=-1):
            self.given += size
            return bytes(size)

    body = Endless()
    refused = client.post(
        "/upload", input_stream=body, headers={**LOCAL, "Transfer-Encoding": "chunked"}, environ_overrides={"wsgi.input_terminated": True}
    )
    assert (refused.status_code, left(tmp_path)) == (413, [])
    assert body.given < 5_000_000


def test_a_session_has_its_share(client, tmp_path, recording):
    statuses = [send(client, recording).status_code for _ in range(5)]
    assert statuses[0] == 200
    assert statuses[-1] == 413
    assert sum(path.stat().st_size for path in (tmp_path / "scratch").rglob("*") if path.is_file()) < 150_000


@pytest.mark.parametrize(
    "body", [b"", b"not audio at all", b"RIFF\xff\xff\xff\xffWAVEfmt ", b"fLaC" + bytes(100), b"<html>", b"PK\x03\x04" + bytes(500)]
)
def test_what_is_no_audio_is_refused_without_naming_a_path(client, tmp_path, body):
    refused = send(client, body)
    assert (refused.status_code, left(tmp_path)) == (415, [])
    assert str(tmp_path) not in refused.text


def test_what_breaks_off_is_refused(client, tmp_path, recording):
    refused = send(client, recording[: len(recording) // 2])
    assert (refused.status_code, left(tmp_path)) == (415, [])
    broken = client.post("/upload", input_stream=io.BytesIO(recording[:100]), headers={**LOCAL, "Content-Length": "5000"})
    assert broken.status_code in (400, 415)
    assert left(tmp_path) == []


def test_twenty_at_once(server, recording, tmp_path):
    def one(_):
        client = server.test_client()
        client.get("/")
        return send(client, recording).status_code

    with ThreadPoolExecutor(20) as threads:
        assert list(threads.map(one, range(20))) == [200] * 20
    assert left(tmp_path) == [".json"] * 20 + [".wav"] * 20


def test_what_was_sent_goes_when_it_is_deleted_and_when_the_session_ends(server, client, tmp_path, recording):
    clip = send(client, recording).json["clip"]
    assert client.delete("/upload", query_string={"clip": "../" + clip}, headers=LOCAL).status_code == 204
    assert left(tmp_path) == [".json", ".wav"]
    client.delete("/upload", query_string={"clip": clip}, headers=LOCAL)
    assert left(tmp_path) == []
    send(client, recording)
    site = server.extensions["dcasekit"]
    sweep(site)
    assert left(tmp_path) == [".json", ".wav"]
    for folder in site.scratch.iterdir():
        os.utime(folder, (time.time() - 7200,) * 2)
    client.post("/alive", headers=LOCAL)
    sweep(site)
    assert left(tmp_path) == [".json", ".wav"]
    for folder in site.scratch.iterdir():
        os.utime(folder, (time.time() - 7200,) * 2)
    sweep(site)
    assert left(tmp_path) == []
