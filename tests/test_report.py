"""Reports: complete, self-contained, escaped, and robust to what is missing."""

import base64
import json
import re
import struct
import zlib
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dcasekit import audio
from dcasekit.annotations import Event
from dcasekit.report import Report, Section, environment
from dcasekit.report import charts as _charts
from dcasekit.report import html as _html
from dcasekit.report.comparison import holm
from dcasekit.results import Results
from dcasekit.scores import Scores

LABELS = ("cat", "dog", '<b>&"owl"')
VOID = {"meta", "img", "br", "link", "input", "hr"}


def results(task, fold, folder=None, n=12):
    rng = np.random.default_rng(fold)
    truth = np.eye(3, dtype=np.float32)[np.arange(n) % 2]  # the third label never occurs
    clips = tuple(f"f{fold}<{i}>" for i in range(n))
    scores = tuple(Scores(rng.uniform(size=(4, 3)) + 0.1 * row, np.arange(5), LABELS) for row in truth)
    events = {clip: [Event(0, 2, LABELS[i % 2])] for i, clip in enumerate(clips)} if task == "detection" else None
    paths = tuple(folder / f"{i}.wav" for i in range(n)) if folder else ()
    return Results(task, LABELS, clips, truth, scores, events=events, paths=paths, threshold=0.6)


def section(task, folder=None, folds=2):
    names = [f"fold{i}" for i in range(1, folds + 1)]
    history = [{"epoch": i, "loss": 1 / i, "val_loss": float("nan") if i == 2 else 1.2 / i, "seconds": 3.0} for i in (1, 2, 3)]
    return Section(
        name=f"{task} & <i>more</i>",
        folds={name: results(task, i, folder) for i, name in enumerate(names)},
        histories={name: history[: 3 - i] for i, name in enumerate(names)},
        model={"class": "SB_CNN", "parameters": 241482, "macs": 1.23e7, "settings": {"dropout": 0.5, "filters": [24, 48]}},
        seconds=4321.0,
        published={"Salamon | Bello": (0.79, "ten folds")},
        notes=["a note with <script>"],
    )


def report(*sections):
    return Report("A <title>", {"seed": 0, "lr": float("nan")}, sections, environment(), data={"fingerprint": "esc10-1"})


class Balanced(HTMLParser):
    """Checks that every tag is closed in order."""

    def __init__(self):
        super().__init__()
        self.open, self.tags = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))


def parsed(text):
    parser = Balanced()
    parser.feed(text)
    assert parser.open == []
    return parser.tags


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    folder = tmp_path_factory.mktemp("audio")
    rng = np.random.default_rng(0)
    for i in range(12):
        audio.write(folder / f"{i}.wav", rng.uniform(-0.5, 0.5, 8000).astype(np.float32), 8000)
    return folder


@pytest.fixture(scope="module")
def page(sounds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("report")
    path = report(*(section(task, sounds) for task in ("classification", "tagging", "detection"))).save(folder)
    assert path == folder / "report.html"
    return folder


def test_three_files_and_nothing_else(page):
    assert sorted(path.name for path in page.iterdir()) == ["report.html", "report.json", "report.md"]


def test_the_page_is_one_file_that_fetches_nothing(page):
    tags = parsed((page / "report.html").read_text())
    for tag, attributes in tags:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert not re.search(r"@import|url\(", (page / "report.html").read_text())


def test_names_are_escaped_everywhere(page):
    text = (page / "report.html").read_text()
    assert not re.search(r"<(i|b)>(more|&)|<script|<title>A <title>", text)
    assert "A &lt;title&gt;" in text
    assert "&lt;b&gt;&amp;" in text


def test_the_page_can_be_used_without_seeing_it(page):
    tags = parsed((page / "report.html").read_text())
    assert ("html", {"lang": "en"}) in tags
    assert all(attributes.get("alt") for tag, attributes in tags if tag == "img")
    assert all(attributes.get("aria-label") for tag, attributes in tags if tag in ("svg", "audio"))
    assert all(attributes.get("scope") in ("row", "col") for tag, attributes in tags if tag == "th")
    assert sum(tag == "svg" for tag, _ in tags) >= 10


def test_every_drawing_is_well_formed_without_nan(page):
    drawings = re.findall(r"<svg.*?</svg>", (page / "report.html").read_text(), flags=re.DOTALL)
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert "nan" not in drawing
        assert "inf" not in drawing


def test_mistakes_can_be_heard(page):
    sources = [attributes["src"] for tag, attributes in parsed((page / "report.html").read_text()) if tag == "audio"]
    assert 1 <= len(sources) <= 6
    kind, _, data = sources[0].partition(";base64,")
    assert kind == "data:audio/mpeg"
    assert len(base64.b64decode(data)) > 500


def test_json_is_complete_and_without_nan(page):
    content = json.loads((page / "report.json").read_text(), parse_constant=pytest.fail)
    first = content["sections"][0]
    assert list(first["folds"]) == ["fold1", "fold2"]
    assert first["pooled"]["clips"] == 24
    assert first["histories"]["fold1"][1]["val_loss"] is None
    assert content["settings"] == {"seed": 0, "lr": None}
    accuracies = [fold["numbers"]["accuracy"] for fold in first["folds"].values()]
    assert first["headline"]["mean_of_folds"] == pytest.approx(np.mean(accuracies))
    assert first["headline"]["deviation_of_folds"] == pytest.approx(np.std(accuracies, ddof=1))


def test_markdown_holds_the_same_numbers(page):
    text, content = (page / "report.md").read_text(), json.loads((page / "report.json").read_text())
    for part in content["sections"]:
        assert f"{100 * part['headline']['mean_of_folds']:.1f} %" in text
    assert "Salamon \\| Bello" in text
    assert "241,482 parameters, 12.3 M MACs" in text
    assert "1 h 12 min" in text
    for block in re.findall(r"(?:^\|.*\n)+", text, flags=re.MULTILINE):
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in block.splitlines()}) == 1


@pytest.mark.parametrize("task", ["classification", "tagging", "detection"])
def test_systems_of_the_same_clips_are_compared_pair_by_pair(task):
    sections = [replace(section(task), name=letter) for letter in "abc"]
    content = report(*sections).to_dict()["comparisons"]
    assert [(pair["first"], pair["second"]) for pair in content] == [("a", "b"), ("a", "c"), ("b", "c")]
    assert {pair["difference"] for pair in content} == {0.0}
    assert {pair["p"] for pair in content} == {1.0}
    page, text = report(*sections).to_html(), report(*sections).to_markdown()
    for found in (page, text):
        assert "Side by side" in found
        assert "a minus b" in found


def test_systems_of_other_clips_or_tasks_are_not_compared():
    for others in ([section("tagging")], [section("classification", folds=1)], []):
        alone = report(section("classification"), *others)
        assert alone.to_dict()["comparisons"] == []
        assert "Side by side" not in alone.to_html() + alone.to_markdown()


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_keeps_the_order_and_raises_no_value_above_bonferroni(values):
    adjusted = holm(values)
    assert all(v <= a <= min(1, v * len(values)) + 1e-12 or a == max(adjusted) for v, a in zip(values, adjusted, strict=True))
    assert [a for _, a in sorted(zip(values, adjusted, strict=True))] == sorted(adjusted)
    assert min(adjusted) == pytest.approx(min(1, min(values) * len(values)))


def test_a_clip_whose_audio_has_vanished_gets_a_note(tmp_path):
    text = report(section("classification", tmp_path / "gone")).to_html()
    assert "No player: " in text
    assert str(tmp_path) not in text
    assert "No audio file is known" in report(section("classification")).to_html()


def test_little_is_enough(tmp_path):
    bare = Section("bare", {"test": results("classification", 0, n=1)})
    path = Report("t", {}, [bare], {}).save(tmp_path)
    parsed(path.read_text())
    assert "± " not in path.read_text().partition("<footer>")[0]


def test_many_labels_get_the_worst_bars_and_no_matrix():
    labels = tuple(f"label{i:03d}" for i in range(100))
    scores = tuple(Scores(row[None], [0, 1], labels) for row in np.eye(100)[::-1])
    many = Results("classification", labels, labels, np.eye(100, dtype=np.float32), scores)
    text = Report("t", {}, [Section("many", {"test": many})], {}).to_html()
    assert "Confusion matrix" not in text
    assert "The 60 lowest of 100." in text
    assert "Commonest confusions" in text


def test_environment_names_versions_and_machine():
    found = environment()
    assert {"date", "python", "numpy", "dcasekit", "platform", "processor", "cores"} <= set(found)
    assert all(found.values())


# charts


@pytest.mark.parametrize("high", [0.03, 0.5, 0.93, 1.0, 2.3, 7, 46, 1234])
def test_ticks_are_few_and_round_and_reach_the_top(high):
    found = _charts.ticks(high)
    assert found[0] == 0
    assert high * 0.999 <= found[-1] <= 2 * high
    assert 3 <= len(found) <= 6


def test_ticks_of_nothing():
    assert _charts.ticks(0.0) == _charts.ticks(float("nan")) == [0.0, 1.0]


def test_a_chart_of_nothing_is_nothing():
    assert _charts.line_chart([_charts.Line("loss", [(1, float("nan"))])], title="loss", x="epoch") == ""
    assert 'h0"><title>loss' in _charts.line_chart([_charts.Line("loss", [(1, 0.5)])], title="loss", x="epoch")  # one epoch: a dot
    assert _html.card("loss", "") == ""


def test_bars_are_as_long_as_their_values():
    svg = _charts.bar_chart([_charts.Bar("a", 0.25, "25 %"), _charts.Bar("b", 1.0, "100 %")], title="t")
    first, second = (float(width) for width in re.findall(r'<rect[^>]* width="([\d.]+)"', svg))
    assert second == pytest.approx(4 * first, rel=0.01)


def test_heat_map_shows_each_count_once():
    svg = _charts.heat_map(np.array([[7, 0], [2, 5]]), ["a", "b"], title="t")
    assert re.findall(r">(\d+)</text>", svg) == ["7", "2", "5"]


def test_long_labels_are_cut_but_can_be_read():
    label = "Child_speech_and_kid_speaking (40)"
    svg = _charts.bar_chart([_charts.Bar(label, 0.5, "50 %")], title="t")
    assert f"<title>{label}</title>" in svg
    assert ">Child_speech_and…king (40)</text>" in svg.replace(f"<title>{label}</title>", "")


@pytest.mark.parametrize("samples", [1, 100, 16000])
def test_spectrogram_is_a_png(samples):
    png = _charts.spectrogram(np.zeros(samples, dtype=np.float32), 16000)
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    assert struct.unpack(">II", png[16:24]) == (320, 96)
    data = png.index(b"IDAT")
    size = struct.unpack(">I", png[data - 4 : data])[0]
    assert len(zlib.decompress(png[data + 4 : data + 4 + size])) == 96 * 321


def test_a_tone_is_one_bright_line_that_rises_with_its_pitch():
    def brightest_row(hz):
        tone = np.sin(2 * np.pi * hz * np.arange(16000) / 16000).astype(np.float32)
        png = _charts.spectrogram(tone, 16000)
        data = png.index(b"IDAT")
        size = struct.unpack(">I", png[data - 4 : data])[0]
        raw = np.frombuffer(zlib.decompress(png[data + 4 : data + 4 + size]), np.uint8).reshape(96, 321)[:, 1:]
        return int(raw.mean(axis=1).argmax())

    rows = [brightest_row(hz) for hz in (500, 1000, 2000, 4000)]
    assert rows == sorted(rows, reverse=True)
    assert len(set(rows)) == 4
