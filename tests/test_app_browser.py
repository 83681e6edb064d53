"""The web application in a real browser: Debian's Chromium, by Playwright. Where either is missing, this is skipped, and says so."""

import os
import re
import shutil
import subprocess
import sys
import threading

import numpy as np
import pytest

from dcasekit import audio
from dcasekit.datasets import SyntheticSounds

pytest.importorskip("dash")
playwright = pytest.importorskip("playwright.sync_api", reason="the web application is not tested in a browser: Playwright is missing")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="the web application is not tested in a browser: Chromium is missing (apt install chromium)"
    ),
    pytest.mark.skipif(os.name == "nt", reason="locks that a child inherits are POSIX"),
    pytest.mark.timeout(600),
]
MARKUP = "<img src=x onerror=document.title='hacked'>"


class Served:
    """A server of its own process."""

    def __init__(self, *words, port=0):
        command = [sys.executable, "-m", "dcasekit", "app", "--no-browser", "--port", str(port), *map(str, words)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.address = self.process.stdout.readline().strip().rstrip("/")
        self.port = int(self.address.rpartition(":")[2])
        threading.Thread(target=self.process.stdout.read, daemon=True).start()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("app")
    SyntheticSounds(root / "sounds", clips=60, seconds=1.0, sr=8000).download()
    tone = (0.3 * np.sin(np.arange(48000) * 0.2)).astype(np.float32)
    for name in ("dog/a.wav", "dog/b.wav", f"{MARKUP}/c.wav", f"{MARKUP}/<b>d.wav"):
        (root / "mine" / name).parent.mkdir(parents=True, exist_ok=True)
        audio.write(root / "mine" / name, tone, 16000)
    return root


@pytest.fixture(scope="module")
def server(data):
    found = Served(data / "mine", f"synthetic_sounds={data / 'sounds'}", "--runs", data / "runs")
    yield found
    found.kill()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as started:
        arguments = ["--no-sandbox", "--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
        found = started.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield found
        found.close()


@pytest.fixture
def visit(browser, server):
    """Open an address in a session of its own; whatever the page complains of fails the test."""
    contexts, complaints = [], []

    def opened(path, **settings):
        contexts.append(browser.new_context(viewport={"width": 1400, "height": 900}, **settings))
        contexts[-1].set_default_timeout(60_000)
        page = contexts[-1].new_page()
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("console", lambda said: complaints.append(said.text) if said.type == "error" else None)
        page.goto(server.address + path)
        return page

    yield opened
    for context in contexts:
        context.close()
    gone = ("net::ERR_", "Failed to fetch", "server did not respond")  # where a test kills the server
    assert [each for each in complaints if not any(why in each for why in gone)] == []


def test_a_clip_is_found_seen_and_heard(visit):
    page = visit("/data?source=synthetic-sounds")
    page.get_by_text("60 clips, page 1 of 4").wait_for()
    page.get_by_label("Search").fill("clip0001")
    page.get_by_text("10 clips").wait_for()
    page.get_by_role("link", name="clip00012").click()
    page.locator("[data-drawn=clip00012]").wait_for()
    assert "clip=clip00012" in page.url
    pixels = "[...document.querySelector('.player-stage > div').shadowRoot.querySelectorAll('[part=spectrum] canvas')].map(c => c.width)"
    assert page.evaluate(pixels) == [200]
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('.player').player.media.currentTime > 0.3")
    page.get_by_role("link", name="Next", exact=True).first.click()
    page.locator("[data-drawn=clip00013]").wait_for()
    page.go_back()
    page.locator("[data-drawn=clip00012]").wait_for()


def test_a_part_is_selected_and_the_keyboard_plays(visit):
    page = visit("/data?source=mine&clip=dog%2Fa")
    page.locator("[data-drawn='dog/a']").wait_for()
    place = page.locator(".player-stage").bounding_box()
    page.mouse.move(place["x"] + place["width"] * 0.5, place["y"] + 120)
    page.mouse.down()
    page.mouse.move(place["x"] + place["width"] * 0.7, place["y"] + 120, steps=5)
    page.mouse.up()
    page.get_by_role("button", name="Play selection").click()
    page.wait_for_function("document.querySelector('.player').player.media.currentTime > 1.55")
    page.wait_for_function("document.querySelector('.player').player.media.paused")
    assert page.evaluate("document.querySelector('.player').player.media.currentTime") < 2.4
    page.locator(".player").focus()
    page.keyboard.press("Escape")
    page.keyboard.press("ArrowLeft")
    page.keyboard.press(" ")
    page.wait_for_function("!document.querySelector('.player').player.media.paused")
    page.keyboard.press("+")
    page.wait_for_function("document.querySelector('.player').player.ws.getWrapper().clientWidth > 1100")


def test_an_overview_shows_and_chooses_the_part_that_is_in_view(visit):
    page = visit("/data?source=mine&clip=dog%2Fa")
    page.locator("[data-drawn='dog/a']").wait_for()
    before = page.locator("#data-clip").bounding_box()
    assert not page.locator(".player-map").is_visible()
    page.get_by_label("Zoom").fill("3")
    page.locator(".player-map.shown canvas").first.wait_for()
    place = page.locator(".player-map").bounding_box()
    page.mouse.click(place["x"] + place["width"] * 0.9, place["y"] + place["height"] / 2)
    page.wait_for_function("Math.abs(document.querySelector('.player').player.media.currentTime - 2.7) < 0.1")
    page.wait_for_function("document.querySelector('.player').player.ws.getScroll() > 1000")
    assert page.locator("#data-clip").bounding_box() == before  # nothing moves


def test_markup_in_labels_and_names_is_text(visit):
    page = visit("/data?source=mine")
    page.get_by_role("link", name="<b>d").click()
    page.get_by_text(MARKUP).first.wait_for()
    page.locator("[data-drawn]").wait_for()
    assert page.title() == "dcasekit"
    assert page.locator("#view img").count() == 0


def test_two_sessions_do_not_disturb_each_other(visit):
    one, other = visit("/data?source=synthetic-sounds"), visit("/data?source=mine")
    one.get_by_label("Search").fill("clip00001")
    other.get_by_label("Search").fill("dog")
    one.get_by_text("1 clip", exact=True).wait_for()
    other.get_by_text("2 clips", exact=True).wait_for()
    one.wait_for_url("**q=clip00001**")  # rows are filtered at once, the address follows
    one.reload()
    one.get_by_text("1 clip", exact=True).wait_for()
    assert one.context.cookies()[0]["value"] != other.context.cookies()[0]["value"]


def test_the_form_asks_for_what_the_kind_of_run_needs(visit):
    page = visit("/train?kind=recipe")
    page.locator("#train-recipe").click()
    page.get_by_role("option", name="esc10", exact=True).click()
    page.get_by_text("ESC-10: environmental sound classification").wait_for()
    page.locator("#train-recipe-form summary").click()
    epochs = page.locator("#train-recipe-form").get_by_label("epochs", exact=True)
    page.wait_for_function("document.querySelector('#train-recipe-form input[placeholder=\"20\"]')")  # of the small settings
    page.get_by_text("Small settings").click()
    page.wait_for_function("document.querySelector('#train-recipe-form input[placeholder=\"120\"]')")
    assert epochs.count() == 1
    assert not page.locator("#train-source").is_visible()
    page.get_by_text("Fine-tune a model").click()
    page.locator("#train-tuned").wait_for()
    assert page.locator("#train-source").is_visible()
    assert not page.locator("#train-recipe").is_visible()
    assert not page.locator("#train-models").is_visible()
    page.locator("#train-freeze").click()
    page.get_by_role("option", name="up to convolutions.0", exact=True).click()
    page.get_by_text("up to convolutions.0").wait_for()


def test_a_run_goes_on_when_page_and_server_go_and_its_model_answers(visit, data, browser):
    page = visit("/train?source=synthetic-sounds")
    page.get_by_label("epochs", exact=True).fill("20")
    page.get_by_label("Name", exact=True).fill("lasting")
    page.get_by_role("button", name="Start").click()
    page.get_by_text("of 20").wait_for()
    page.reload()
    page.get_by_role("heading", name="lasting").wait_for()
    second = Served(data / "mine", "--runs", data / "runs")
    try:
        page.goto(f"{second.address}/train?run=lasting")
        page.get_by_text("of 20").wait_for()
        second.kill()
        second = Served(data / "mine", "--runs", data / "runs", port=second.port)  # the page is still open, and finds the run
        page.get_by_text("20 of 20").wait_for()
        page.get_by_role("link", name="See how right it is").wait_for()
        page.goto(f"{second.address}/predict?model=lasting%2Fmodel")
        page.locator("#predict-file").set_input_files(data / "mine" / "dog" / "a.wav")
        page.locator(".player[data-drawn]").wait_for()
        with page.expect_download() as downloaded:
            page.get_by_role("link", name="TSV").click()
        assert downloaded.value.suggested_filename == "a.tsv"
        assert downloaded.value.path().read_text().startswith("onset\toffset")
        page.get_by_role("button", name="Record", exact=True).click()
        page.get_by_text(re.compile(r"Recording, \d+\.[1-9] s")).wait_for()
        page.get_by_role("button", name="Stop recording").click()
        page.locator("#predict-head").get_by_text("recording").wait_for()
    finally:
        second.kill()
