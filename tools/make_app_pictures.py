"""Draw the pictures of docs/app.md: the web application with the demo's data and a run, in Chromium. Give the folder to write to."""

import io
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

from dcasekit.app import serve
from dcasekit.core.files import replacing
from dcasekit.datasets import SyntheticSounds

_SOURCE = "synthetic-sounds-detection"
# File -> address, what is there when it is drawn, colours.
PICTURES = {
    "app_data": (f"/data?source={_SOURCE}&clip=clip00022", ".player[data-drawn]", "light"),
    "app_train": ("/train?run=scenes", "#train-curves .scatterlayer path", "dark"),
    "app_evaluate": ("/evaluate?run=scenes", "#evaluate-body .card", "light"),
    "app_predict": (f"/predict?model=quickstart_events&source={_SOURCE}&clip=clip00022", ".player[data-drawn]", "dark"),
}


def draw(folder: Path) -> None:
    """Write the pictures, with few colours: they are to be small."""
    with _served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 860})
        _train(page, address)
        for name, (path, there, colors) in PICTURES.items():
            page.emulate_media(color_scheme="dark" if colors == "dark" else "light")
            page.goto(address + path)
            page.locator(there).first.wait_for()
            page.wait_for_timeout(1500)  # until Plotly has drawn
            with replacing(folder / f"{name}.png") as temporary:
                Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(96).save(temporary, format="png", optimize=True)
        browser.close()


@contextmanager
def _served() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        SyntheticSounds(runs / "quickstart" / "sounds").download()  # as the demo makes them
        server = serve([], runs=runs, port=0)
        thread = threading.Thread(target=server.run)
        thread.start()
        yield server.address.rstrip("/")
        server.stop()
        thread.join()


def _train(page: Page, address: str) -> None:
    page.goto(f"{address}/train?source=synthetic-sounds-classification")
    page.get_by_label("epochs", exact=True).fill("30")
    page.get_by_label("Name", exact=True).fill("scenes")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("link", name="See how right it is").wait_for(timeout=1_800_000)


if __name__ == "__main__":
    draw(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/_static"))
