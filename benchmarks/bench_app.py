"""How fast the web application is in a browser: the first view, filtering the table of clips, a clip's spectrum, turning pages.

A folder of synthetic sounds of 5 s at 44.1 kHz (50 files, linked as often as there are to be clips), `dcasekit app` as a process,
Chromium without a window. Times are taken in the page, from what a person does (a text typed, a choice, a click) to the frame in which
the answer is seen; medians are the figures. The first view counts from the server's word that it listens to the first row of the table, in
a browser that has shown nothing before. Targets, for 2,000 clips: first view 1 s, a filter 100 ms, a spectrum 300 ms.

    python benchmarks/bench_app.py [--clips 2000 100000] [--rounds 7] [--json FILE]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright
from rich.console import Console
from rich.table import Table

from dcasekit import audio

LABELS, SR = 50, 44100
TARGETS = {"first view": 1000, "filter by text": 100, "filter by label": 100, "spectrum of a clip": 300}
# Resolves with the milliseconds from an event of an element to the frame in which a condition holds.
CLOCK = """([name, event, holds]) => { window.taken = new Promise((resolve) => {
  const begin = (happened) => {
    if (!happened.target.closest(name)) return;
    document.removeEventListener(event, begin, true);
    const began = performance.now(), is = Function("return " + holds);
    const look = () => (is() ? resolve(performance.now() - began) : requestAnimationFrame(look));
    requestAnimationFrame(look);
  };
  document.addEventListener(event, begin, true); }); }"""


def make(folder: Path, clips: int) -> Path:
    """Make a folder of labels; the files of a label are one file, linked."""
    time_axis = np.arange(5 * SR) / SR
    for label in range(LABELS):
        sound = folder / f"label{label:02d}" / "clip00000.wav"
        sound.parent.mkdir(parents=True)
        noise = np.random.default_rng(label).normal(0, 0.02, len(time_axis))
        audio.write(sound, (0.3 * np.sin(2 * np.pi * (200 + 100 * label) * time_axis) + noise).astype(np.float32), SR)
        for number in range(1, clips // LABELS):
            os.link(sound, sound.with_name(f"clip{number:05d}.wav"))
    return folder


@contextmanager
def served(folder: Path) -> Iterator[tuple[str, float]]:
    """Run the server: its address, and the milliseconds until it listened."""
    began = time.perf_counter()
    words = [sys.executable, "-m", "dcasekit", "app", str(folder), "--runs", str(folder.parent / "runs"), "--no-browser", "--port", "0"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)  # noqa: S603 - ourselves
    assert process.stdout is not None
    address = process.stdout.readline().strip().rstrip("/")
    listening = 1000 * (time.perf_counter() - began)
    threading.Thread(target=process.stdout.read, daemon=True).start()
    try:
        yield address, listening
    finally:
        process.kill()
        process.wait()


def clocked(page: Page, name: str, event: str, holds: str, act: Callable[[], object]) -> float:
    """Do something; give the milliseconds from the event that an element then has until a condition holds."""
    page.evaluate(CLOCK, [name, event, holds])
    act()
    return float(page.evaluate("window.taken"))


def measure(browser: Browser, folder: Path, clips: int, rounds: int) -> dict[str, list[float]]:
    """Time everything with so many clips."""
    found: dict[str, list[float]] = {name: [] for name in ("listening", *TARGETS, "next page")}
    counts = "document.querySelector('#data-table .pager')?.textContent.startsWith('{:,} clip')"
    for number in range(rounds):
        with served(folder) as (address, listening):
            found["listening"].append(listening)
            page = browser.new_context(viewport={"width": 1400, "height": 900}).new_page()
            page.set_default_timeout(120_000)
            began = time.perf_counter()
            page.goto(address, wait_until="commit")
            page.locator("#data-table tbody tr").first.wait_for()
            found["first view"].append(1000 * (time.perf_counter() - began))
            page.wait_for_load_state("networkidle")
            each, label = clips // LABELS, f"label{number + 3:02d}"
            search = page.locator("#data-q")
            found["filter by text"].append(clocked(page, "#data-q", "input", counts.format(each), partial(search.fill, f"{label}/")))
            clip = f"{label}/clip{number:05d}"
            drawn = f"document.querySelector('.player')?.dataset.drawn === {json.dumps(clip)}"
            row = page.locator(f"#data-table tbody tr:nth-child({number + 1}) a")
            found["spectrum of a clip"].append(clocked(page, "#data-table a", "click", drawn, row.click))
            clocked(page, "#data-q", "input", counts.format(clips), partial(search.fill, "label"))
            second = "/page (2|3) of/.test(document.querySelector('#data-table .pager').textContent)"
            pager = page.locator("#data-table .pager")
            found["next page"].append(clocked(page, ".pager a", "click", second, pager.get_by_text("Next", exact=True).click))
            page.locator("#data-label").click()
            option = page.get_by_role("option", name=label, exact=True)
            option.wait_for()
            found["filter by label"].append(clocked(page, "[role=option]", "click", counts.format(each), option.click))
            page.context.close()
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, nargs="+", default=[2000, 100_000])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path, help="write the figures there")
    options = parser.parse_args()
    everything = {}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for clips in options.clips:
            with tempfile.TemporaryDirectory() as folder:
                everything[clips] = measure(browser, make(Path(folder, "sounds"), clips), clips, options.rounds)
        browser.close()
    table = Table("what", *(f"{clips:,} clips" for clips in everything), "target", title=f"milliseconds, medians of {options.rounds}")
    for name in next(iter(everything.values())):
        target = str(TARGETS[name]) if name in TARGETS else ""
        table.add_row(name, *(f"{statistics.median(found[name]):,.0f}" for found in everything.values()), target)
    Console().print(table)
    if options.json:
        options.json.write_text(json.dumps(everything, indent=2))


if __name__ == "__main__":
    main()
