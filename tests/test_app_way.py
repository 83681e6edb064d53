"""The whole way in a browser: data, training, evaluation, errors, a label mended, training again, and a recording answered."""

import os
import shutil
import threading
from pathlib import Path

import pytest

from dcasekit.annotations import read_corrections
from dcasekit.core.files import read_json
from dcasekit.datasets import SyntheticSounds

pytest.importorskip("dash")
pytest.importorskip("playwright", reason="the web application is not tested in a browser: Playwright is missing")

from playwright import sync_api

from dcasekit.app import serve

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
REAL = Path(os.environ.get("DCASEKIT_DATA", "nowhere"), "ESC-10")
pytestmark = [
    pytest.mark.skipif(
        CHROMIUM is None, reason="the web application is not tested in a browser: Chromium is missing (apt install chromium)"
    ),
    pytest.mark.skipif(os.name == "nt", reason="locks that a child inherits are POSIX"),
    pytest.mark.timeout(600),
]


def train(page, address, source, name, *, corrected):
    page.goto(f"{address}/train?source={source}")
    page.locator("#train-models").click()
    page.get_by_role("option", name="mlp", exact=True).click()
    page.get_by_label("epochs", exact=True).fill("3")
    page.get_by_label("Name", exact=True).fill(name)
    box = page.get_by_label("Use the labels that were corrected here")
    assert box.count() == corrected
    page.get_by_role("button", name="Start").click()
    page.get_by_role("link", name="See how right it is").wait_for()


@pytest.mark.parametrize("kind", ["made", pytest.param("real", marks=pytest.mark.realdata)])
def test_from_data_to_a_better_model(tmp_path, kind):
    if kind == "real":
        if not REAL.is_dir():
            pytest.skip("DCASEKIT_DATA names no folder with ESC-10")
        (tmp_path / "data").symlink_to(REAL)  # what is written beside it lies here
        data, key = f"esc10={tmp_path / 'data'}", "esc10"
    else:
        SyntheticSounds(tmp_path / "data", clips=60, seconds=1.0, sr=8000).download()
        data, key = f"synthetic_sounds={tmp_path / 'data'}", "synthetic-sounds"
    server = serve([data], runs=tmp_path / "runs", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        with sync_api.sync_playwright() as play:
            browser = play.chromium.launch(
                executable_path=CHROMIUM, args=["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
            )
            page, problems = browser.new_page(viewport={"width": 1400, "height": 900}), []
            page.set_default_timeout(240_000)
            page.on("pageerror", lambda error: problems.append(str(error)))
            page.on("console", lambda told: told.type == "error" and problems.append(told.text))
            walk(page, server.address.rstrip("/"), key, tmp_path)
            assert problems == []
            browser.close()
    finally:
        server.stop()
        thread.join()


def walk(page, address, key, place):
    page.goto(f"{address}/data?source={key}")
    page.locator("#data-table a").first.click()
    page.locator(".player[data-drawn]").wait_for()
    train(page, address, key, "first", corrected=0)
    page.get_by_role("link", name="See how right it is").click()
    page.locator("table.matrix a").first.wait_for()
    page.get_by_role("link", name="Explore").click()
    page.get_by_text("numbers each").wait_for()
    page.goto(f"{address}/errors?run=first")
    page.locator(".player[data-drawn]").wait_for()
    clip, chosen = page.locator("#errors-head h2").inner_text(), page.locator("#errors-really input")
    wanted = next(number for number in (0, 1) if not chosen.nth(number).is_checked())
    page.keyboard.press(str(wanted + 1))
    page.keyboard.press("s")
    page.get_by_text("Written to data").wait_for()
    (found,) = read_corrections(place / "data.corrections.jsonl")
    assert found.clip == clip
    train(page, address, key, "again", corrected=1)
    before, after = (read_json(place / "runs" / name / "run.json", error=OSError) for name in ("first", "again"))
    assert (before.get("corrected"), after["corrected"]) == (None, 1)
    page.goto(f"{address}/evaluate?run=again&with=first")
    page.get_by_role("heading", name="Runs side by side").wait_for()
    page.goto(f"{address}/predict?model=again%2Fmodel")
    recording = next(path for path in (place / "data" / "audio").iterdir() if path.suffix in (".wav", ".ogg"))
    page.locator("#predict-file").set_input_files(recording)
    page.locator(".player[data-drawn]").wait_for()
    page.get_by_role("link", name="JAMS").wait_for()
