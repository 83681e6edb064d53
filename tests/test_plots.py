"""Pictures: drawn on the axes given, labelled, whole for empty and undefined input, and as SVG that takes the page's colours."""

import base64
import io
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib import pyplot
from matplotlib.figure import Figure
from PIL import Image

from dcasekit import plots
from dcasekit.annotations import Event
from dcasekit.metrics.calibration import Reliability
from dcasekit.metrics.calibration import reliability as measured
from dcasekit.metrics.psds import Roc
from dcasekit.plots.svg import shorten

NAN = float("nan")
NOTHING = np.array([])
HOSTILE = '<b>$\\frac&"\x1b'
EVENTS = [Event(0.0, 1.5, "dog"), Event(1.0, 9.0, "cat"), Event(2.0, 2.0, HOSTILE)]
TONE = np.sin(2 * np.pi * 1000 * np.arange(8000) / 8000).astype(np.float32)


def roc(points=2, labels=1):
    x, y = np.linspace(0, 50, points), np.linspace(0.2, 0.8, points)
    return Roc(x, y, {f"label{i}": (x, y * i / labels) for i in range(labels)}, 100.0)


DRAWINGS = {
    "confusion": lambda ax: plots.confusion_matrix(np.array([[7, 0], [2, 5]]), ["cat", HOSTILE], ax=ax),
    "confusion of one label": lambda ax: plots.confusion_matrix([[3]], ["cat"], ax=ax),
    "confusion of nothing": lambda ax: plots.confusion_matrix([], [], ax=ax),
    "confusion with NaN": lambda ax: plots.confusion_matrix([[NAN, 1.0], [0.0, 0.5]], ["a", "b"], ax=ax),
    "bars": lambda ax: plots.label_bars({"cat": 0.5, HOSTILE: NAN}, name="F1", intervals={"cat": (0.2, 0.8)}, ax=ax),
    "bars of nothing": lambda ax: plots.label_bars({}, name="F1", ax=ax),
    "bars of NaN": lambda ax: plots.label_bars({"cat": NAN}, name="F1", intervals={"cat": (NAN, NAN)}, ax=ax),
    "bars above 1": lambda ax: plots.label_bars({"cat": 2.5}, name="error rate", write="{:.3f}".format, ax=ax),
    "curves of folds": lambda ax: plots.learning_curves({"a": [{"loss": 1.0, "val_loss": NAN}] * 3, "b": [{"loss": 2.0}]}, ax=ax),
    "curve of one epoch": lambda ax: plots.learning_curves([{"epoch": 1, "loss": 0.5}], ax=ax),
    "curve of nothing": lambda ax: plots.learning_curves([], ax=ax),
    "curve of NaN": lambda ax: plots.learning_curves({"a": [{"loss": NAN, "val_loss": None}]}, ax=ax),
    "roc": lambda ax: plots.psd_roc(roc(labels=20), ax=ax),
    "roc of a point": lambda ax: plots.psd_roc(roc(points=1), ax=ax),
    "roc of nothing": lambda ax: plots.psd_roc(Roc(NOTHING, NOTHING, {}, 100.0), ax=ax),
    "reliability": lambda ax: plots.reliability(measured([0, 1, 1, 1], [0.2, 0.8, 0.9, 0.7], bins=3), ax=ax),
    "reliability of nothing": lambda ax: plots.reliability(Reliability(NOTHING, NOTHING, NOTHING.astype(int)), ax=ax),
    "spectrogram": lambda ax: plots.spectrogram(TONE, 8000, events=EVENTS, ax=ax),
    "spectrogram of a sample": lambda ax: plots.spectrogram(TONE[:1], 8000, ax=ax),
    "spectrogram of nothing": lambda ax: plots.spectrogram(TONE[:0], 8000, ax=ax),
    "spectrogram of NaN": lambda ax: plots.spectrogram(np.full(100, NAN, np.float32), 8000, ax=ax),
    "timeline": lambda ax: plots.timeline(EVENTS, EVENTS[:1], duration=10, ax=ax),
    "timeline of a reference": lambda ax: plots.timeline(EVENTS, ax=ax),
    "timeline of nothing": lambda ax: plots.timeline([], [], ax=ax),
}


def svg(draw, title="t", **size):
    text = plots.to_svg(lambda figure: draw(figure.subplots()), title=title, **size)
    ElementTree.fromstring(text)
    return text


def hints(text):
    return [match.replace("&amp;", "&").replace("&lt;", "<") for match in re.findall(r"<title>(.*?)</title>", text)]


def texts(text):
    return ["".join(element.itertext()) for element in ElementTree.fromstring(text).iter("{http://www.w3.org/2000/svg}text")]


@pytest.mark.filterwarnings("ignore:Glyph")  # of a control character's picture
@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_drawing_is_on_the_axes_given_and_names_its_axes(draw):
    ax = Figure().subplots()
    assert draw(ax) is ax
    assert ax.get_xlabel()
    assert ax.get_ylabel() or all(label.get_text() for label in ax.get_yticklabels())
    ax.figure.savefig(io.BytesIO(), format="png")


@pytest.mark.parametrize("draw", DRAWINGS.values(), ids=DRAWINGS)
def test_a_drawing_is_svg_that_takes_the_colours_of_the_page(draw):
    text = svg(draw, title=HOSTILE)
    assert text.startswith('<svg class="chart" ')
    assert 'aria-label="&lt;b&gt;$\\frac&amp;&quot;␛"' in text
    assert "var(--" in text
    assert not re.search(r"(?<!, )#(?:0a6ab0|b84a00|17202b)", text)  # but as what stands in where the page has none
    assert "\x1b" not in text
    assert not re.search(r"<b>|<style|<metadata|\bid=\"(?:figure|axes|patch|text)_|\bnan\b|\binf\b|DejaVu", text)


def test_without_axes_a_figure_of_its_own_is_drawn_that_pyplot_does_not_hold():
    before = pyplot.get_fignums()
    ax = plots.timeline(EVENTS)
    assert ax.figure.axes == [ax]
    assert pyplot.get_fignums() == before


def test_the_style_of_a_page_leaves_the_settings_of_matplotlib_as_they_were():
    before = dict(matplotlib.rcParams)
    svg(DRAWINGS["bars"])
    assert dict(matplotlib.rcParams) == before


def test_settings_of_the_user_do_not_reach_a_page():
    plain = svg(DRAWINGS["bars"])
    with matplotlib.rc_context({"text.color": "#ff0000", "font.size": 30, "svg.fonttype": "path", "axes.facecolor": "#00ff00"}):
        assert svg(DRAWINGS["bars"]) == plain


def test_many_threads_draw_what_one_draws():
    names = ["confusion", "bars", "curves of folds", "timeline"] * 4
    alone = {name: svg(DRAWINGS[name], title=name) for name in dict.fromkeys(names)}
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda name: svg(DRAWINGS[name], title=name), names)) == [alone[name] for name in names]


def test_a_confusion_matrix_shows_each_count_once_and_says_what_it_is():
    text = svg(lambda ax: plots.confusion_matrix([[7, 0], [2, 5]], ["a", "b"], ax=ax))
    assert sorted(set(texts(text)) & {"7", "0", "2", "5"}) == ["2", "5", "7"]
    assert hints(text) == ["true a, predicted a: 7 (100.0 %)", "true b, predicted a: 2 (28.6 %)", "true b, predicted b: 5 (71.4 %)"]
    assert {"true", "predicted"} <= set(texts(text))
    blue, orange = (len(re.findall(f"fill: var\\({color}", text)) for color in ("--c0", "--c1"))
    assert (blue, orange) == (2, 1)


def test_bars_are_as_long_as_their_values():
    ax = plots.label_bars({"a": 0.25, "b": 1.0, "c": NAN}, ax=Figure().subplots())
    assert [bar.get_width() for bar in ax.patches] == [0.25, 1.0, 0.0]
    assert [text.get_text() for text in ax.texts] == ["25.0 %", "100.0 %", "–"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_curves_of_folds_are_thin_and_their_mean_thick_up_to_the_shortest():
    histories = {"fold1": [{"loss": 1.0}, {"loss": 3.0}, {"loss": 9.0}], "fold2": [{"loss": 3.0}, {"loss": 5.0}]}
    ax = plots.learning_curves(histories, ax=Figure().subplots())
    *folds, mean = ax.lines
    assert [line.get_linewidth() for line in (*folds, mean)] == [1, 1, 2.5]
    assert mean.get_xydata().tolist() == [[1, 2], [2, 4]]
    assert ax.get_ylim()[0] == 0


def test_a_curve_of_one_epoch_is_a_dot():
    ax = plots.learning_curves([{"epoch": 3, "loss": 0.5, "val_loss": 0.7}], ax=Figure().subplots())
    assert [line.get_marker() for line in ax.lines] == ["o", "o"]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["training", "validation"]


def test_an_undefined_epoch_leaves_no_gap():
    ax = plots.learning_curves([{"loss": 3.0}, {"loss": NAN}, {"loss": 1.0}], ax=Figure().subplots())
    assert ax.lines[0].get_xydata().tolist() == [[1, 3], [3, 1]]


def test_a_roc_ends_where_its_axis_ends():
    curve = Roc(np.array([0.0, 150.0]), np.array([0.4, 0.9]), {}, 100.0)
    ax = plots.psd_roc(curve, ax=Figure().subplots())
    assert ax.lines[-1].get_xydata().tolist() == [[0.0, 0.4], [100.0, 0.4]]
    assert f"PSDS {100 * curve.area:.1f} %" in ax.lines[-1].get_label()


def test_a_timeline_has_a_bar_per_event_a_point_event_too():
    text = svg(lambda ax: plots.timeline(EVENTS[:2], [Event(2.0, 2.0, "dog")], duration=10, ax=ax))
    assert hints(text) == ["reference: dog 0.00 to 1.50 s", "reference: cat 1.00 to 9.00 s", "estimate: dog 2.00 to 2.00 s"]
    assert "stroke: var(--c1" in text  # the edge of what has no width


def test_a_tone_is_one_bright_line_that_rises_with_its_pitch():
    def brightest(hz):
        tone = np.sin(2 * np.pi * hz * np.arange(16000) / 16000).astype(np.float32)
        picture = plots.spectrogram(tone, 16000, ax=Figure().subplots()).images[0]
        return int(np.asarray(picture.get_array()).mean(axis=1).argmax())

    rows = [brightest(hz) for hz in (500, 1000, 2000, 4000)]
    assert rows == sorted(set(rows))


def test_a_spectrogram_shows_events_at_their_time():
    ax = plots.spectrogram(TONE, 8000, events=[Event(0.25, 0.5, "dog")], ax=Figure().subplots())
    assert ax.lines[0].get_xdata().tolist() == [0.25, 0.5]
    assert ax.texts[0].get_text().strip() == "dog"
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("time, s", "frequency, kHz")


def test_a_picture_inside_a_page_is_a_png_with_a_palette():
    data = re.search(r'href="data:image/png;base64,([^"]+)"', svg(DRAWINGS["spectrogram"]))[1]
    picture = Image.open(io.BytesIO(base64.b64decode(data)))
    assert (picture.mode, picture.size) == ("P", (320, 96))


def test_long_labels_are_cut_but_can_be_read():
    label = "Child_speech_and_kid_speaking (40)"
    text = svg(lambda ax: plots.label_bars({label: 0.5}, ax=ax))
    assert label in hints(text)
    assert shorten(label) == "Child_speech_and…king (40)" in texts(text)


def test_a_label_is_text_and_no_formula():
    assert "$x^2$" in texts(svg(lambda ax: plots.label_bars({"$x^2$": 0.5}, ax=ax)))


def test_a_label_in_another_script_needs_no_font_of_ours():
    assert "犬" in texts(svg(lambda ax: plots.label_bars({"犬": 0.5}, ax=ax)))


def test_a_picture_loads_matplotlib_and_a_page_loads_jinja_not_the_import():
    code = "import sys, dcasekit.plots, dcasekit.report; print([name for name in ('matplotlib', 'jinja2', 'PIL') if name in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
