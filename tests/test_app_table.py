"""The table of clips: what the server sends of it, and that the browser's own filters give the same."""

import shutil
import threading
from urllib.parse import urlencode

import numpy as np
import pytest

from dcasekit import audio
from dcasekit.core.tables import visible
from dcasekit.datasets import SyntheticSounds

pytest.importorskip("dash")
pytest.importorskip("playwright", reason="the web application is not tested in a browser: Playwright is missing")

from playwright import sync_api

from dcasekit.app import _table, create_app, serve
from dcasekit.app._site import Site, find_sources

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
browsing = pytest.mark.skipif(
    CHROMIUM is None, reason="the web application is not tested in a browser: Chromium is missing (apt install chromium)"
)
pytestmark = pytest.mark.timeout(600)
NAMES = [f"{label}/{name}" for label in ("dog", "Cat & <b>") for name in ("a", "B", "a b", "ä\x1b[31m")] + [
    f"bird/{n:02d}" for n in range(40)
]
QUERIES = [
    {"q": "A "}, {"q": "a"}, {"label": "bird", "page": "2"}, {"label": "bird", "page": "99"}, {"label": "Cat & <b>"}, {"q": "\x1b"},
    {"min": "0.2", "max": "0.25"}, {"max": "0.1"}, {"q": "none of them"}, {"fold": "fold1"}, {"page": "2"}, {"q": "Ä", "label": "dog"},
]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("app")
    for number, name in enumerate(NAMES):
        path = root / "mine" / f"{name}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, np.full(800 + 80 * (number % 20), 0.1, np.float32), 8000)
    SyntheticSounds(root / "sounds", clips=60, seconds=1.0, sr=8000).download()
    return root


@pytest.fixture
def source(place):
    return Site(find_sources([str(place / "mine")], place / "runs"), place / "runs", place / "scratch").source(None)


@pytest.fixture(scope="module")
def address(place):
    server = serve([str(place / "mine"), f"synthetic_sounds={place / 'sounds'}"], runs=place / "runs", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.address.rstrip("/")
    server.stop()
    thread.join()


@pytest.fixture
def page():
    with sync_api.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        found, problems = browser.new_page(), []
        found.set_default_timeout(60_000)
        found.on("pageerror", lambda error: problems.append(str(error)))
        found.on("console", lambda told: told.type == "error" and problems.append(told.text))
        yield found
        browser.close()
        assert problems == []


def drawn(page):
    """Give the names in the table, and what is told below it."""
    return page.evaluate(
        "[[...document.querySelectorAll('#data-table td:first-child')].map(cell => cell.textContent),"
        " document.querySelector('#data-table .pager span')?.textContent ?? document.querySelector('#data-table').textContent]"
    )


def test_a_page_of_clips_is_sent(place):
    client = create_app([str(place / "mine")], place / "scratch", runs=place / "runs").server.test_client()
    assert client.get("/clips").status_code == 403
    client.get("/")
    found = client.get("/clips?label=bird&page=3").json
    assert (found["source"], found["clips"], found["page"], found["few"]) == ("mine", 40, 3, True)
    assert found["rows"][0][:2] == ["bird/30", ["bird"]]
    assert len(client.get("/clips?all=1").json) == len(NAMES)
    for asked in ("../mine", "uploads", "<b>"):
        answer = client.get("/clips", query_string={"source": asked})
        assert (answer.status_code, answer.mimetype) == (404, "application/json")
        assert str(place) not in answer.text


def test_of_many_clips_not_all_are_sent_at_once(source, monkeypatch):
    monkeypatch.setattr(_table, "_FEW", len(NAMES) - 1)
    assert _table.all_rows(source) == []
    assert not _table.page(source, {})["few"]


@browsing
def test_the_browser_filters_as_the_server_does(page, address, source):
    page.goto(f"{address}/data")
    page.wait_for_function("document.querySelector('#data-table .pager')")
    page.wait_for_load_state("networkidle")
    asked = []
    page.on("request", lambda request: "/clips" in request.url and asked.append(request.url))
    for query in QUERIES:
        page.evaluate("to => window.dash_clientside.clips.show(to, '/data')", "?" + urlencode(query))
        rows, told = drawn(page)
        found = _table.page(source, query)
        assert rows == [visible(row[0]) for row in found["rows"]], query
        assert told.startswith(f"{found['clips']} clip" if found["clips"] else "No clip fits"), query
    assert asked == []


@browsing
def test_many_clips_are_paged_and_searched_by_the_server(page, address, monkeypatch):
    monkeypatch.setattr(_table, "_FEW", 10)
    page.goto(f"{address}/data")
    page.get_by_text("48 clips, page 1 of 4").wait_for()
    page.get_by_role("link", name="Last").click()
    page.get_by_text("48 clips, page 4 of 4").wait_for()
    page.wait_for_url("**page=4**")
    page.get_by_label("Search").fill("bird/3")
    page.get_by_text("10 clips", exact=True).wait_for()
    page.wait_for_url("**q=bird**")
    assert "page=" not in page.url
    page.reload()
    page.get_by_text("10 clips", exact=True).wait_for()
    assert page.get_by_label("Search").input_value() == "bird/3"


@browsing
def test_controls_and_facts_follow_the_address(page, address):
    page.goto(f"{address}/data?source=mine")
    page.get_by_text("48 clips, page 1 of 4").wait_for()
    page.locator(".bars a").get_by_text("dog").click()
    page.get_by_text("4 clips", exact=True).wait_for()
    page.locator("#data-label").get_by_text("dog").wait_for()
    page.locator("#data-source").click()
    page.get_by_role("option", name="SyntheticSounds").click()
    page.get_by_role("heading", name="SyntheticSounds").wait_for()
    page.get_by_text("60 clips, page 1 of 4").wait_for()
    page.locator(".bars a").get_by_text("park").wait_for()
    page.get_by_label("Search").fill("clip0001")
    page.get_by_text("10 clips", exact=True).wait_for()
    page.wait_for_url("**q=clip0001**")
    page.go_back()
    page.get_by_text("60 clips, page 1 of 4").wait_for()
    page.wait_for_function("document.querySelector('#data-q').value === ''")
    page.go_back()
    page.get_by_role("heading", name="mine").wait_for()
    page.get_by_text("4 clips", exact=True).wait_for()
    page.locator("#data-label").get_by_text("dog").wait_for()


@browsing
def test_focus_stays_in_the_table_that_is_drawn_anew(page, address):
    page.goto(f"{address}/data?source=mine")
    page.locator("#data-table a").nth(2).focus()
    page.keyboard.press("Enter")
    page.locator("#data-table tr.chosen").wait_for()
    assert page.evaluate("document.activeElement.closest('tr')?.className") == "chosen"
