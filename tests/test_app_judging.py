"""The views that judge, in a real browser: explore, evaluate, errors, and corrections that training takes up."""

import base64
import os
import re
import threading
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pytest

from dcasekit import Results, Scores, testing
from dcasekit.annotations import Event, read_corrections
from dcasekit.datasets import ESC10, Folder
from dcasekit.errors import AnnotationError, NameNotFoundError
from dcasekit.results.saving import write_results

pytest.importorskip("dash")
pytest.importorskip("playwright", reason="Playwright is not installed: pip install playwright")

from playwright import sync_api

from dcasekit.app import _answers, serve
from dcasekit.app._scatter import draw
from dcasekit.app._site import Site, find_sources
from dcasekit.app._vectors import Cloud
from dcasekit.app.views import errors, evaluate, explore

CHROMIUM = os.environ.get("DCASEKIT_CHROMIUM", "/usr/bin/chromium")
GIVEN = ["--no-sandbox", "--use-gl=swiftshader", "--enable-unsafe-swiftshader"]
EVIL = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def page():
    if not Path(CHROMIUM).exists():
        pytest.skip(f"there is no browser at {CHROMIUM}: apt-get install chromium, or name one by DCASEKIT_CHROMIUM")
    with sync_api.sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=GIVEN)
        found = browser.new_page(viewport={"width": 1300, "height": 900})
        found.set_default_timeout(60_000)
        found.problems = []
        found.on("pageerror", lambda error: found.problems.append(str(error)))
        found.on("console", lambda told: told.type == "error" and found.problems.append(told.text))
        found.on("dialog", lambda told: found.problems.append(told.message))
        yield found
        assert found.problems == []
        browser.close()


def answered(dataset, clips, seed=0, shift=0.0):
    """Make the results of a model that is right four times in five."""
    rng, labels = np.random.default_rng(seed), tuple(dataset.labels)
    truth = np.stack([[float(label in clip.tags) for label in labels] for clip in clips]).astype(np.float32)
    scores = []
    for row in truth:
        noise = rng.dirichlet(np.ones(len(labels)))
        right = row if rng.random() < 0.8 - shift else np.roll(row, 1)
        scores.append(Scores(np.stack([0.6 * right + 0.4 * noise] * 2), [0, 0.5, 1.0], labels))
    ids, groups = tuple(clip.id for clip in clips), tuple(clip.group or clip.id for clip in clips)
    return Results("classification", labels, ids, truth, tuple(scores), groups=groups, durations=(1.0,) * len(ids))


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    home = tmp_path_factory.mktemp("app")
    dataset = testing.make_dataset("esc10", home / "ESC-10", clips=60, seconds=1.0, sr=8000)
    for name, shift in (("one", 0.0), ("other", 0.4)):
        write_results(home / "runs" / name / "results", answered(dataset, dataset.clips, shift=shift))
    return home


@pytest.fixture(scope="module")
def address(place):
    server = serve([f"esc10={place / 'ESC-10'}"], runs=place / "runs", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server.address.rstrip("/")
    server.stop()
    thread.join()


def wrong(place, name="one"):
    site = Site(find_sources([f"esc10={place / 'ESC-10'}"], place / "runs"), place / "runs", place / "scratch")
    return _answers.find(site, name).wrong


def test_a_cell_of_the_matrix_shows_its_clips_and_runs_are_compared(page, address, place):
    page.goto(f"{address}/evaluate?run=one&with=other")
    matrix = page.locator("table.matrix")
    matrix.wait_for()
    counts = [int(text) for text in matrix.locator("td a").all_inner_texts()]
    assert sum(counts) == 60
    one = wrong(place)[0]
    same = [each for each in wrong(place) if (each.true, each.predicted) == (one.true, one.predicted)]
    matrix.locator(f'a[title^="true {one.true[0]}, predicted {one.predicted[0]}:"]').click()
    page.get_by_text(f"True {one.true[0]}, predicted {one.predicted[0]}: {len(same)} clips").wait_for()
    assert page.locator("#evaluate-cell a").first.inner_text() == one.clip
    assert "points" in page.locator("table[aria-label=Runs]").inner_text()
    page.locator("table[aria-label='Numbers of each label'] tbody tr").nth(9).wait_for()
    page.locator("#evaluate-cell a").first.click()
    page.wait_for_url("**/errors?*")
    page.get_by_role("heading", name=one.clip).wait_for()


def test_two_runs_are_compared_once(place, monkeypatch):
    site = Site(find_sources([f"esc10={place / 'ESC-10'}"], place / "runs"), place / "runs", place / "scratch")
    one, other = (replace(_answers.find(site, name)) for name in ("one", "other"))  # which no other test compared
    compared, compare = [], Results.compare
    monkeypatch.setattr(Results, "compare", lambda self, to: compared.append(to) or compare(self, to))
    shown = [str(evaluate._comparison(one, [other])) for _ in range(2)]
    assert shown[0] == shown[1]
    assert len(compared) == 1


def test_wrong_clips_are_heard_stepped_through_and_corrected_by_keyboard(page, address, place):
    first, second = wrong(place)[:2]
    page.goto(f"{address}/errors?run=one")
    page.get_by_role("heading", name=first.clip).wait_for()
    page.keyboard.press("n")
    page.get_by_role("heading", name=second.clip).wait_for()
    page.get_by_role("button", name="Play", exact=True).click()
    page.wait_for_function("document.querySelector('.player').player.media.currentTime > 0.1")
    before = sorted(path for path in (place / "ESC-10").rglob("*"))
    labels = ESC10(place / "ESC-10").labels
    page.locator("#errors-who").fill(EVIL)
    page.locator("body").click(position={"x": 5, "y": 500})
    page.keyboard.press("3")
    page.wait_for_function("document.querySelectorAll('[data-choices] input')[2].checked")
    page.keyboard.press("s")
    page.get_by_text("Written to ESC-10.corrections.jsonl").wait_for()
    (found,) = read_corrections(place / "ESC-10.corrections.jsonl")
    assert (found.clip, found.tags, found.said_tags, found.who) == (second.clip, {labels[2]: 1.0}, {second.true[0]: 1.0}, EVIL)
    assert sorted(path for path in (place / "ESC-10").rglob("*")) == before
    page.keyboard.press("p")
    page.get_by_role("heading", name=first.clip).wait_for()
    page.get_by_text("1 corrected").wait_for()
    corrected = ESC10(place / "ESC-10").with_corrections(place / "ESC-10.corrections.jsonl")
    assert {clip.id: clip.tags for clip in corrected.clips}[second.clip] == {labels[2]: 1.0}


def test_points_are_clicked_lassoed_and_relabelled_together(page, address, place):
    (place / "ESC-10.corrections.jsonl").unlink(missing_ok=True)
    page.goto(f"{address}/explore?of=feature:mel_spectrogram")
    page.get_by_text("60 clips, 64 numbers each").wait_for()
    points = page.locator("#explore-points .nsewdrag").bounding_box()
    spots = page.evaluate(
        """() => { const plot = document.querySelector('#explore-points .js-plotly-plot'), out = [];
        for (const trace of plot._fullData.slice(1)) for (let k = 0; k < trace.x.length; k++)
          out.push([plot._fullLayout.xaxis.l2p(trace.x[k]), plot._fullLayout.yaxis.l2p(trace.y[k]), trace.customdata[k]]);
        return out; }"""
    )
    assert len(spots) == 60
    alone = max(spots, key=lambda one: min(np.hypot(one[0] - other[0], one[1] - other[1]) for other in spots if other is not one))
    page.mouse.move(points["x"] + alone[0], points["y"] + alone[1])
    page.mouse.click(points["x"] + alone[0], points["y"] + alone[1])
    page.get_by_role("heading", name=alone[2]).wait_for()
    page.locator("table[aria-label='Clips like this one'] tbody tr").nth(7).wait_for()
    page.wait_for_url(f"**clip={alone[2]}**")
    page.locator("#explore-points .modebar-btn[data-val=lasso]").click()
    corners = [(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]
    for number, (x, y) in enumerate(corners):
        page.mouse.move(points["x"] + 2 + x * (points["width"] - 4), points["y"] + 2 + y * (points["height"] - 4), steps=6)
        if number == 0:
            page.mouse.down()
    page.mouse.up()
    page.get_by_text("60 clips", exact=True).wait_for()
    page.locator("#explore-really").click()
    page.get_by_role("option", name="cannot be told").click()
    page.get_by_role("button", name="Relabel").click()
    page.get_by_text("beside the data: 60 clips").wait_for()
    assert {one.tags for one in read_corrections(place / "ESC-10.corrections.jsonl")} == {None}
    (place / "ESC-10.corrections.jsonl").unlink()


def test_a_threshold_moves_numbers_and_events(page, tmp_path):
    labels = (EVIL, "dog")
    for name in ("a", "b", "c", "d"):
        testing.make_dataset("esc10", tmp_path / "other", clips=10, seconds=1.0, sr=8000) if name == "a" else None
        source = next((tmp_path / "other" / "audio").iterdir())
        (tmp_path / "data").mkdir(exist_ok=True)
        (tmp_path / "data" / f"{name}{source.suffix}").write_bytes(source.read_bytes())
        (tmp_path / "data" / f"{name}.tsv").write_text(f"0.0\t0.5\t{EVIL}\n0.5\t1.0\tdog\n")
    dataset = Folder(tmp_path / "data")
    scores = Scores([[0.9, 0.1], [0.2, 0.3]], [0, 0.5, 1.0], labels)
    events = {clip.id: clip.events for clip in dataset.clips}
    results = Results("detection", labels, tuple(events), np.ones((4, 2), np.float32), (scores,) * 4, events=events, durations=(1.0,) * 4)
    write_results(tmp_path / "runs" / "sed" / "results", results)
    server = serve([str(tmp_path / "data")], runs=tmp_path / "runs", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        page.goto(f"{server.address}evaluate?run=sed")
        page.locator("#evaluate-numbers").get_by_text("0.50", exact=True).wait_for()
        page.locator(".player .event").first.wait_for()
        drawn = sorted(page.locator(".player .event").all_inner_texts())
        assert drawn == sorted([EVIL, f"true: {EVIL}", "true: dog"])
        page.wait_for_function("document.querySelector('.player').dataset.drawn")
        page.evaluate("window.shown = document.querySelector('.player').player.ws")
        slider = page.locator("#evaluate-threshold [role=slider]").first
        slider.focus()
        for _ in range(12):
            page.keyboard.press("ArrowLeft")
        page.locator("#evaluate-numbers").get_by_text("0.26", exact=True).wait_for()
        page.locator(".player .event").get_by_text("dog", exact=True).wait_for()
        page.wait_for_url("**threshold=0.26**")
        assert page.evaluate("window.shown === document.querySelector('.player').player.ws")  # it would play on
        page.get_by_role("heading", name="PSD-ROC").wait_for()
        page.goto(f"{server.address}errors?run=sed")
        page.get_by_role("heading", name="a", exact=True).wait_for()
        page.locator("#errors-events").fill("0.25 0.75 cat")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("'cat' is not a label of these data").wait_for()
        page.locator("#errors-events").fill(f"0.25 0.75 dog\n0 1 {EVIL}")
        page.get_by_role("button", name="Save").click()
        page.get_by_text("Written to data.corrections.jsonl").wait_for()
        page.locator("#errors-list").get_by_text("1 corrected").wait_for()
        (found,) = read_corrections(tmp_path / "data.corrections.jsonl")
        assert found.events == (Event(0.25, 0.75, "dog"), Event(0, 1, EVIL))
        page.reload()
        page.get_by_role("button", name="As labelled before").click()
        page.locator("#errors-told").get_by_text("Written to").wait_for()
        assert read_corrections(tmp_path / "data.corrections.jsonl")[1].events == dataset.clips[0].events
    finally:
        server.stop()
        thread.join()


@pytest.mark.parametrize("key", ["../ESC-10", "/etc", "one/../other", "one\0", "..", "o*", EVIL])
def test_only_runs_that_are_listed_are_read(place, tmp_path, key):
    site = Site(find_sources([f"esc10={place / 'ESC-10'}"], place / "runs"), place / "runs", tmp_path)
    with pytest.raises(NameNotFoundError) as told:
        _answers.find(site, key)
    assert str(place) not in str(told.value)


def test_results_behind_a_link_are_not_shown(place, tmp_path):
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "linked").symlink_to(place / "runs" / "one")
    site = Site(find_sources([f"esc10={place / 'ESC-10'}"], tmp_path / "runs"), tmp_path / "runs", tmp_path)
    assert _answers.names(site) == []


def test_a_hundred_thousand_points_are_a_picture_of_bytes(place, tmp_path):
    source = next(iter(Site(find_sources([f"esc10={place / 'ESC-10'}"], tmp_path), tmp_path, tmp_path).sources.values()))
    clips = [replace(clip, id=f"{clip.id}{EVIL}{number}") for number in range(2000) for clip in source.clips[:50]]
    points = np.random.default_rng(0).normal(size=(100_000, 2)).astype(np.float32)
    drawn = draw(Cloud(clips, points, points), source, "class", None)
    traces = drawn["data"][1:]
    ringed = draw(Cloud(clips, points, points), source, "class", None, clips[7].id)["data"][0]
    assert (ringed["x"], ringed["y"]) == ([float(points[7, 0])], [float(points[7, 1])])
    assert drawn["data"][0]["x"] == []
    assert sum(len(base64.b64decode(trace["x"]["bdata"])) for trace in traces) == 400_000
    assert {trace["type"] for trace in traces} == {"scattergl"}
    assert not any("<img" in text for trace in traces for text in trace["text"])  # Plotly takes text for markup


def test_a_hundred_thousand_clips_are_seen_and_paged_in_the_browser(page, place, tmp_path, monkeypatch):
    values = np.random.default_rng(0).normal(size=(100_000, 4)).astype(np.float32)
    monkeypatch.setattr(explore, "_make", lambda *_: lambda clip: values[int(clip.id[4:])])
    server = serve([f"esc10={place / 'ESC-10'}"], runs=tmp_path / "runs", port=0)
    source = server._site.source(None)
    given = source.clips[:50]
    for read_ahead in [name for name, one in vars(type(source)).items() if isinstance(one, cached_property)]:
        vars(source).pop(read_ahead, None)
    vars(source)["clips"] = tuple(replace(given[number % 50], id=f"clip{number:05d}") for number in range(100_000))
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        page.goto(f"{server.address}data")
        page.get_by_text("100,000 clips, page 1 of 6,667").wait_for()
        page.get_by_label("Search").fill("clip9999")
        page.get_by_text("10 clips", exact=True).wait_for()
        page.get_by_role("link", name="clip99990").click()
        page.locator(".player[data-drawn=clip99990]").wait_for()
        page.goto(f"{server.address}explore?of=feature:mel_spectrogram&most=100000")
        page.get_by_text("100,000 clips, 4 numbers each").wait_for()
        drawn = "document.querySelector('#explore-points .js-plotly-plot')._fullData.slice(1)"
        page.wait_for_function(f"{drawn}.reduce((sum, trace) => sum + trace.x.length, 0) === 100000")
        assert set(page.evaluate(f"{drawn}.map(trace => trace.type)")) == {"scattergl"}
        area = page.locator("#explore-points .nsewdrag").bounding_box()
        page.mouse.move(area["x"] + area["width"] / 2 + 3, area["y"] + area["height"] / 2)
        page.locator("#explore-points .hovertext").wait_for()
        page.mouse.click(area["x"] + area["width"] / 2 + 3, area["y"] + area["height"] / 2)
        page.locator("table[aria-label='Clips like this one'] a").nth(7).click()
        page.wait_for_url(re.compile(r"clip=clip\d{5}"))
        chosen = page.url.rpartition("clip=")[2]
        page.get_by_role("heading", name=chosen).wait_for()
        page.locator("#explore-clip").get_by_text(chosen).wait_for()
        page.goto("about:blank")  # which asks a server that has ended for nothing
    finally:
        server.stop()
        thread.join()


def test_a_matrix_of_many_labels_is_a_picture_whose_cells_are_clicked(page, tmp_path):
    labels = (EVIL, *(f"label {number}" for number in range(49)))
    truth = np.eye(50, dtype=np.float32)[np.arange(200) % 50]
    scores = tuple(Scores(np.roll(row, int(number == 150))[None], [0, 1.0], labels) for number, row in enumerate(truth))
    write_results(tmp_path / "runs" / "big" / "results", Results("classification", labels, tuple(map(str, range(200))), truth, scores))
    (tmp_path / "data").mkdir()
    server = serve([str(tmp_path / "data")], runs=tmp_path / "runs", port=0)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        page.goto(f"{server.address}evaluate?run=big")
        page.locator("table[aria-label='Commonest confusions'] a").click()
        page.get_by_text(f"True {EVIL}, predicted label 0: 1 clips").wait_for()
        area = page.locator("#evaluate-matrix .nsewdrag")
        area.scroll_into_view_if_needed()
        place = area.bounding_box()
        x, y = place["x"] + place["width"] * 0.11, place["y"] + place["height"] * 0.11  # the sixth of fifty, both ways
        page.mouse.move(x + 1, y + 1)
        page.locator("#evaluate-matrix .hoverlayer .hovertext").wait_for()
        page.mouse.click(x, y)
        page.get_by_text("True label 4, predicted label 4: 4 clips").wait_for()
    finally:
        server.stop()
        thread.join()


def test_forms_are_read_as_what_a_clip_may_hold(place, tmp_path):
    source = next(iter(Site(find_sources([f"esc10={place / 'ESC-10'}"], tmp_path), tmp_path, tmp_path).sources.values()))
    clip, (dog, rooster, *_) = source.clips[0], source.dataset.labels
    assert errors.read_form(source, clip, dog, "") == {"tags": {dog: 1.0}}
    assert errors.read_form(source, clip, _answers.UNKNOWN, "") == {"tags": None}
    for chosen in (None, [], [dog, rooster], "unicorn", [_answers.UNKNOWN, dog]):
        with pytest.raises(AnnotationError):
            errors.read_form(source, clip, chosen, "")


def test_lines_are_read_as_events(tmp_path):
    (tmp_path / "a.wav").write_bytes(b"")
    labels = ("dog", "a cat")
    assert [errors._read_event(1, line, labels) for line in ("0.5 1,25 dog", "0\t2\ta cat ")] == [
        Event(0.5, 1.25, "dog"),
        Event(0, 2, "a cat"),
    ]
    for line in ("1 0 dog", "1 2", "x 2 dog", "1 2 cat", "dog"):
        with pytest.raises(AnnotationError):
            errors._read_event(3, line, labels)
