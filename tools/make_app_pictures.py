"""Draw the pictures of docs/app.md: the web application with the demo's data and a run, in Chromium.

python tools/make_app_pictures.py [FOLDER]            # those of the docs, by default into docs/_static
python tools/make_app_pictures.py --all FOLDER        # every view, 1400 and 390 pixels wide, light and dark, to be looked at
"""

import argparse
import io
import shutil
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

_SOURCE, _SCENES = "synthetic-sounds-detection", "synthetic-sounds-classification"
# File -> address, what is there when it is drawn, colours.
PICTURES = {
    "app_data": (f"/data?source={_SOURCE}&clip=clip00022", ".player[data-drawn]", "light"),
    "app_train": ("/train?run=scenes", "#train-curves .scatterlayer path", "dark"),
    "app_evaluate": ("/evaluate?run=scenes", "#evaluate-body .card", "light"),
    "app_predict": (f"/predict?model=quickstart_events&source={_SOURCE}&clip=clip00022", ".player[data-drawn]", "dark"),
}
# View -> the same; more than one of views that look otherwise with other data.
VIEWS = {
    "data": (f"/data?source={_SOURCE}&clip=clip00022", ".player[data-drawn]"),
    "data_empty": (f"/data?source={_SOURCE}&q=nothing", "#data-table .empty"),
    "explore": (f"/explore?source={_SCENES}&of=model:scenes/model&clip=clip00022", "#explore-alike table"),
    "train": ("/train?run=scenes", "#train-curves .scatterlayer path"),
    "train_tune": ("/train?kind=tune", "#train-runs table"),
    "train_recipe": ("/train?kind=recipe", "#train-recipe-form .form"),
    "evaluate": ("/evaluate?run=scenes", "#evaluate-body .card"),
    "errors": ("/errors?run=scenes", ".player[data-drawn]"),
    "predict": (f"/predict?model=quickstart_events&source={_SOURCE}&clip=clip00022", ".player[data-drawn]"),
    "predict_empty": ("/predict", "#predict-head .empty"),
}
_GL = ["--use-gl=swiftshader", "--enable-unsafe-swiftshader"]


def draw(folder: Path) -> None:
    """Write the pictures, with few colours: they are to be small."""
    with _shown() as (page, address):
        page.set_viewport_size({"width": 1280, "height": 860})
        for name, (path, there, colors) in PICTURES.items():
            page.emulate_media(color_scheme="dark" if colors == "dark" else "light")
            _open(page, address + path, there)
            with replacing(folder / f"{name}.png") as temporary:
                Image.open(io.BytesIO(page.screenshot())).convert("RGB").quantize(96).save(temporary, format="png", optimize=True)


def draw_all(folder: Path) -> None:
    """Write a picture of all of every view, wide and narrow, light and dark."""
    folder.mkdir(parents=True, exist_ok=True)
    with _shown() as (page, address):
        for width, height in ((1400, 900), (390, 844)):
            page.set_viewport_size({"width": width, "height": height})
            for colors in ("light", "dark"):
                page.emulate_media(color_scheme="dark" if colors == "dark" else "light")
                for name, (path, there) in VIEWS.items():
                    _open(page, address + path, there)
                    page.screenshot(path=folder / f"{name}_{width}_{colors}.png", full_page=True)


@contextmanager
def _shown() -> Iterator[tuple[Page, str]]:
    """Open a page of a server with the demo's sounds and a run."""
    with _served() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox", *_GL])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(120_000)
        _train(page, address)
        yield page, address
        browser.close()


def _open(page: Page, address: str, there: str) -> None:
    page.goto(address)
    page.locator(there).first.wait_for()
    page.wait_for_timeout(1500)  # until Plotly has drawn


@contextmanager
def _served() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        runs = Path(folder, "runs")
        SyntheticSounds(runs / "quickstart" / "sounds").download()  # as the demo makes them
        server = serve([], runs=runs, port=0)
        thread = threading.Thread(target=server.run)
        thread.start()
        try:
            yield server.address.rstrip("/")
        finally:
            server.stop()
            thread.join()


def _train(page: Page, address: str) -> None:
    page.goto(f"{address}/train?source={_SCENES}")
    page.get_by_label("epochs", exact=True).fill("30")
    page.get_by_label("Name", exact=True).fill("scenes")
    page.get_by_role("button", name="Start").click()
    page.get_by_role("link", name="See how right it is").wait_for(timeout=1_800_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path, default=Path("docs/_static"))
    parser.add_argument("--all", action="store_true", help="every view, in each width and colour scheme")
    given = parser.parse_args()
    (draw_all if given.all else draw)(given.folder)
