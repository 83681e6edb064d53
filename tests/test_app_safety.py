"""What the web application's server answers, to whom, and of which files."""

import gc
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from dcasekit import audio
from dcasekit.datasets import SyntheticSounds
from dcasekit.errors import MissingExtraError

pytest.importorskip("dash")

from flask.testing import FlaskClient
from werkzeug.test import EnvironBuilder

from dcasekit import app
from dcasekit.app import _charts, create_app, find_views

LOCAL = {"Origin": "http://localhost"}


@pytest.fixture
def folder(tmp_path):
    noise = np.random.default_rng(0).normal(0, 0.1, 16000).astype(np.float32)
    for name in ("dog/a.wav", "dog/b.wav", "cat/c.wav", "cat/d.aiff"):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(tmp_path / "data" / name, noise, 16000)
    audio.write(tmp_path / "outside.wav", noise, 16000)
    (tmp_path / "data" / "cat" / "link.wav").symlink_to(tmp_path / "outside.wav")
    return tmp_path


def make(folder, **settings):
    made = create_app([str(folder / "data")], folder / "scratch", runs=folder / "runs", **settings)
    made.server.config["PROPAGATE_EXCEPTIONS"] = False
    return made.server


class Buffered(FlaskClient):
    def open(self, *args, **kwargs):
        return super().open(*args, buffered=True, **kwargs)


@pytest.fixture
def client(folder):
    server = make(folder)
    # Read to the end, a file that is sent is closed.
    server.test_client_class = Buffered
    found = server.test_client()
    assert found.get("/").status_code == 200
    return found


def test_a_recording_is_sent_in_ranges(client):
    whole = client.get("/sound/audio?source=data&clip=dog/a")
    assert (whole.status_code, whole.mimetype, len(whole.data)) == (200, "audio/wav", 32044)
    part = client.get("/sound/audio?source=data&clip=dog/a", headers={"Range": "bytes=100-199"})
    assert (part.status_code, part.data) == (206, whole.data[100:200])
    assert part.headers["Content-Range"] == "bytes 100-199/32044"


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=100-20000"}])
def test_a_recording_whose_browser_leaves_is_closed(client, headers):
    cookie = client.application.test_client().get("/").headers["Set-Cookie"].partition(";")[0]
    asked = EnvironBuilder("/sound/audio?source=data&clip=dog/a", headers={**headers, "Cookie": cookie}).get_environ()
    chunks = iter(client.application.wsgi_app(asked, lambda *_: None))
    assert next(chunks)
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del chunks
        gc.collect()
    assert not told


def test_what_browsers_cannot_play_is_sent_as_wav(client):
    sent = client.get("/sound/audio?source=data&clip=cat/d")
    assert (sent.mimetype, sent.data[:4], sent.data[8:12]) == ("audio/wav", b"RIFF", b"WAVE")


def test_peaks_and_spectrum_of_a_clip(client):
    about = client.get("/sound/about?source=data&clip=dog/a").json
    assert about["duration"] == 1.0
    spectrum = client.get("/sound/tile?source=data&clip=dog/a&n=0").data
    assert len(spectrum) == about["rows"] * about["columns"]


@pytest.mark.parametrize("route", ["audio", "about", "tile"])
@pytest.mark.parametrize(
    "clip", ["../outside", "../outside.wav", "/etc/passwd", "cat/link", "dog/../dog/a", "%2e%2e/outside", "", "a\0b", "dog"]
)
def test_no_name_leads_out_of_the_folder(client, folder, route, clip):
    answer = client.get(f"/sound/{route}", query_string={"source": "data", "clip": clip, "n": "0"})
    assert answer.status_code == 404
    assert str(folder) not in answer.text


@pytest.mark.parametrize("source", ["../data", "", "uploads", "none", "data/../data", "<script>"])
def test_no_source_but_those_given(client, source):
    answer = client.get("/sound/audio", query_string={"source": source, "clip": "cat/c" if source else "../outside"})
    assert answer.status_code == 404
    assert "<script>" not in answer.text


@pytest.mark.parametrize(
    "path", ["/assets/../__init__.py", "/assets/%2e%2e/_safety.py", "/assets//etc/passwd", "/_dash-component-suites/../x"]
)
def test_no_file_of_the_program_is_sent(client, path):
    answer = client.get(path)
    assert b"import" not in answer.data or answer.mimetype == "text/html"


def test_without_a_session_nothing_is_sent(folder):
    stranger = make(folder).test_client()
    assert stranger.get("/sound/audio?source=data&clip=dog/a").status_code == 403
    assert stranger.post("/_dash-update-component", json={}, headers=LOCAL).status_code == 403


def test_a_cookie_that_nobody_signed_is_none(folder):
    stranger = make(folder).test_client()
    for cookie in ("abc.def", "abc", "abc.", ".", "é.é", "a" * 3000):
        stranger.set_cookie("dcasekit_80", cookie)
        assert stranger.get("/sound/audio?source=data&clip=dog/a").status_code == 403


@pytest.mark.parametrize(
    "origin", [None, "http://evil.example", "http://localhost.evil.example", "null", "file://localhost", "http://localhost:81"]
)
def test_what_another_page_asks_for_is_refused(client, origin):
    answer = client.post("/_dash-update-component", json={}, headers={"Origin": origin} if origin else {})
    assert answer.status_code == 403


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.1", "[::2]", ""])
def test_a_foreign_name_of_the_server_is_refused(client, host):
    assert client.get("/", headers={"Host": host}).status_code == 400


def test_other_machines_need_the_token_once(folder):
    server = make(folder, host="0.0.0.0", token="secret-token")
    client = server.test_client()
    assert client.get("/data").status_code == 403
    assert client.get("/?token=wrong").status_code == 403
    sent = client.get("/data?clip=dog%2Fa&token=secret-token")
    assert (sent.status_code, sent.headers["Location"]) == (302, "/data?clip=dog%2Fa")
    assert "HttpOnly" in sent.headers["Set-Cookie"]
    assert "SameSite=Lax" in sent.headers["Set-Cookie"]
    assert client.get("/data").status_code == 200
    assert client.get("/", headers={"Host": "192.168.1.7:8050"}).status_code == 403  # another port's cookie


def test_the_way_after_the_token_stays_on_this_server(folder):
    client = make(folder, host="0.0.0.0", token="t").test_client()
    for path in ("//evil.example/", "/\\evil.example/", "/%5cevil.example/"):
        sent = client.get("/", query_string="token=t", environ_overrides={"PATH_INFO": path})
        assert (sent.status_code, sent.headers["Location"].lstrip("/")[:1]) == (302, "%" if "%" in path else "e")
        assert not sent.headers["Location"].startswith(("//", "/\\"))


def test_a_session_outlives_the_server(folder):
    first = make(folder, secret=b"key" * 11).test_client()
    cookie = first.get("/").headers["Set-Cookie"].split(";")[0].partition("=")[2]
    second = make(folder, secret=b"key" * 11).test_client()
    second.set_cookie("dcasekit_80", cookie)
    assert second.get("/sound/about?source=data&clip=dog/a").status_code == 200


def test_pages_run_no_foreign_script(client):
    policy = client.get("/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "'unsafe-inline'" not in policy.split("script-src")[1].split(";")[0]


def test_no_chart_is_sent_to_another_server():
    made = _charts.graph("a", _charts.figure([], {}, {}), says="nothing").children
    assert (made.config["showSendToCloud"], made.config["plotlyServerURL"]) == (False, "")
    drawing = [text for path in Path(app.__file__).parent.rglob("*.py") if "dcc.Graph(" in (text := path.read_text(encoding="utf-8"))]
    assert all("PRIVATE" in text for text in drawing)


def test_without_folders_the_sounds_of_the_runs_are_shown(tmp_path):
    SyntheticSounds(tmp_path / "runs" / "quickstart" / "sounds", clips=20, seconds=1.0, sr=8000).download()
    server = create_app([], tmp_path / "scratch", runs=tmp_path / "runs").server
    client = server.test_client()
    client.get("/")
    for task in ("classification", "tagging", "detection"):
        assert client.get(f"/sound/about?source=synthetic-sounds-{task}&clip=clip00003").json["duration"] == 1.0


def test_without_dash_the_command_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "dash", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'dcasekit\[app\]'"):
        create_app([], tmp_path / "scratch", runs=tmp_path / "runs")


def test_views_are_found_by_their_files():
    assert next(iter(find_views())) == "data"


def test_an_error_that_no_view_expects_is_told_without_paths(folder, monkeypatch):
    def fail(*_):
        raise ValueError(f"secret {folder}")

    monkeypatch.setattr("dcasekit.app._forms.load_settings", fail)
    client = make(folder).test_client()
    client.get("/")
    asked = {
        "output": "train-augmentations-form.children",
        "outputs": {"id": "train-augmentations-form", "property": "children"},
        "inputs": [{"id": "train-augmentations", "property": "value", "value": ["mixup"]}],
        "state": [],
        "changedPropIds": ["train-augmentations.value"],
    }
    answer = client.post("/_dash-update-component", json=asked, headers=LOCAL)
    assert "the server failed here" in answer.text.lower()
    assert str(folder) not in answer.text
