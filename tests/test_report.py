"""Reports: complete, self-contained, escaped, and robust to what is missing."""

import base64
import html
import importlib.resources
import json
import re
import shlex
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dcasekit
from dcasekit import audio
from dcasekit.annotations import Event
from dcasekit.errors import MetricError
from dcasekit.metrics.psds import PSDS1, PSDS2
from dcasekit.plots import looks
from dcasekit.report import Published, Report, Section, Sizes, environment
from dcasekit.report.comparison import holm
from dcasekit.report.score_page import score_page
from dcasekit.report.section import PUBLISHED, tables
from dcasekit.results import Results, scoring
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
        published={"Salamon | Bello": Published(0.79, "ten folds")},
        notes=["a note with <script>"],
        sizes={name: Sizes(100 + i, 10) for i, name in enumerate(names)},
        saved="runs/my models/it's",
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
    assert sorted(path.name for path in page.iterdir()) == [".dcasekit", "report.html", "report.json", "report.md"]


def test_the_page_is_one_file_that_fetches_nothing(page):
    tags = parsed((page / "report.html").read_text())
    for tag, attributes in tags:
        assert tag not in ("script", "link", "iframe")
        for name in ("src", "href"):
            assert attributes.get(name, "data:").startswith(("data:", "#"))
    assert not re.search(r"@import|url\((?!#)", (page / "report.html").read_text())


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
    assert len(drawings) >= 30
    for drawing in drawings:
        ElementTree.fromstring(drawing)
        assert not re.search(r"\b(?:nan|inf)\b", re.sub(r"data:[^\"]+", "", drawing))


def test_clips_of_every_task_can_be_heard_and_seen(page):
    sources = [attributes["src"] for tag, attributes in parsed((page / "report.html").read_text()) if tag == "audio"]
    assert 3 <= len(sources) <= 6 + 6 + 4
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
    assert first["headline"]["value"] == pytest.approx(np.mean(accuracies))
    assert first["headline"]["deviation_of_folds"] == pytest.approx(np.std(accuracies, ddof=1))


def test_markdown_holds_the_same_numbers(page):
    text, content = (page / "report.md").read_text(), json.loads((page / "report.json").read_text())
    for part in content["sections"]:
        assert f"{100 * part['headline']['value']:.1f} %" in text
    assert "Salamon \\| Bello" in text
    assert "classification \\& \\<i\\>more\\</i\\>" in text
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
    assert "Use the model" not in path.read_text()


def test_many_labels_get_the_worst_bars_and_no_matrix():
    labels = tuple(f"label{i:03d}" for i in range(100))
    scores = tuple(Scores(row[None], [0, 1], labels) for row in np.eye(100)[::-1])
    many = Results("classification", labels, labels, np.eye(100, dtype=np.float32), scores)
    text = Report("t", {}, [Section("many", {"test": many})], {}).to_html()
    assert "Confusion matrix" not in text
    assert "The 60 lowest of 100." in text
    assert "Commonest confusions" in text


def test_labels_have_the_colours_that_they_have_everywhere():
    one = section("tagging")
    text = report(one).to_html()
    for label, look in looks(one.pooled.labels).items():
        bars = re.findall(rf"<g[^>]*><title>{re.escape(html.escape(label, quote=False))} [(].*?</g>", text, re.DOTALL)
        assert any(look.color in bar for bar in bars), label


def test_environment_names_versions_and_machine():
    found = environment()
    assert {"date", "python", "numpy", "dcasekit", "platform", "processor", "cores"} <= set(found)
    assert all(found.values())


# what a reader is told


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "SB_CNN was trained 2 times to tell 3 classes apart, each time on 100 to 101 clips, its epoch was chosen on 10 other ",
        ),
        ({"sizes": {}}, "SB_CNN was tested on 24 clips, to tell 3 classes apart, in 2 folds."),
        ({"sizes": {}, "model": {}}, "The model was tested on 24 clips, to tell 3 classes apart, in 2 folds."),
    ],
    ids=["sizes", "no sizes", "no model"],
)
def test_a_sentence_says_what_was_done(changes, said):
    one = report(replace(section("classification"), **changes))
    assert said in one.to_html()
    assert said in one.to_markdown()
    assert one.to_dict()["sections"][0]["done"].startswith(said)


def test_a_sentence_of_a_fixed_split_names_all_three_parts():
    one = replace(section("detection", folds=1), sizes={"fold1": Sizes(60, 20)})
    said = "SB_CNN was trained on 60 clips to find sounds of 3 labels and when they begin and end, its epoch was chosen on 20 other clips, "
    assert said + "and it was tested on 12 clips that served neither." in report(one).to_html()
    assert "60 / 20 / 12" in report(one).to_html()
    without = report(replace(one, sizes={"fold1": Sizes(60)})).to_html()
    assert "60 / 12" in without
    assert "epoch was chosen" not in without


def test_how_to_use_the_model_is_said_so_that_it_can_be_pasted():
    text = html.unescape(report(section("classification")).to_html())
    assert shlex.split(re.search(r"dcasekit predict .*?(?=</pre>)", text)[0]) == [
        *("dcasekit", "predict", "recording.wav", "--model"),
        "runs/my models/it's",
    ]
    code = re.search(r"import dcasekit\n.*?(?=</pre>)", text, re.DOTALL)[0]
    compile(code, "page", "exec")
    assert 'dcasekit.load("runs/my models/it\'s")' in code
    assert "first of 2 folds" in text
    assert "to_events" in report(section("detection")).to_html()


def test_psds_is_among_the_numbers_of_detection():
    one = section("detection")
    content = one.to_dict()
    for setting, key in ((PSDS1, "psds1"), (PSDS2, "psds2")):
        assert content["pooled"]["numbers"][key] == pytest.approx(one.pooled.psd_roc(setting).area)
        assert content["folds"]["fold1"]["numbers"][key] == pytest.approx(one.folds["fold1"].psd_roc(setting).area)
    page = report(one).to_html()
    assert "PSD-ROC, PSDS1" in page
    assert "PSD-ROC, PSDS2" in page
    assert "| PSDS1 | PSDS2 |" in report(one).to_markdown()
    assert "psds1" not in section("tagging").to_dict()["pooled"]["numbers"]


def test_psds_of_clip_level_answers_is_undefined_and_no_error():
    hard = results("detection", 0)
    hard = replace(hard, scores=tuple(Scores(scores.values[:1], [0, 4], LABELS) for scores in hard.scores))
    content = Section("hard", {"test": hard}).to_dict()
    assert content["pooled"]["numbers"]["psds1"] is None
    assert "PSD-ROC" not in Report("t", {}, [Section("hard", {"test": hard})], {}).to_html()


def test_a_trial_run_says_that_it_proves_nothing():
    trial = Report("t", {"quick": True}, [section("tagging")], {})
    for text in (trial.to_html(), trial.to_markdown()):
        assert "its numbers prove nothing" in text
    for settings in ({}, {"quick": False}):
        whole = Report("t", settings, [section("tagging")], {})
        assert "prove nothing" not in whole.to_html() + whole.to_markdown()


@pytest.mark.parametrize("task", ["classification", "tagging", "detection"])
def test_what_is_unknown_is_left_out_and_said(task):
    known = results(task, 0)
    truth = known.truth.copy()
    truth[0] = np.nan
    events = None if known.events is None else {**known.events, known.clips[0]: None}
    one = Report("t", {}, [Section("s", {"test": replace(known, truth=truth, events=events)})], {})
    for text in (one.to_html(), one.to_markdown()):
        assert "eft out: " in text
        assert "1 clips whose labels are unknown" in text
        assert "3 unknown labels of clips" in text
    assert "eft out: " not in Report("t", {}, [Section("s", {"test": known})], {}).to_html()


def test_detection_without_a_known_time_is_shown_by_its_tags():
    known = results("detection", 0)
    weak = Section("weak", {"test": replace(known, events=dict.fromkeys(known.clips))})
    text = Report("t", {}, [weak], {}).to_html()
    assert "Clip average precision of each label" in text
    assert "F1 of each label" not in text
    assert "PSD-ROC" not in text


def test_tags_that_are_unknown_are_no_mistakes():
    truth = np.array([[1.0, np.nan], [np.nan, 0.0]], dtype=np.float32)
    scores = tuple(Scores(np.array([row]), [0, 1], ("a", "b")) for row in ((0.9, 0.8), (0.7, 0.1)))
    right = Results("tagging", ("a", "b"), ("one", "two"), truth, scores)
    assert "Most confident mistakes" not in Report("t", {}, [Section("s", {"test": right})], {}).to_html()
    wrong = replace(right, truth=1 - truth)
    text = Report("t", {}, [Section("s", {"test": wrong})], {}).to_html()
    assert text.count('class="clip"') == 2
    assert '<span class="wrong">a</span> (90.0 %)' in text
    assert '<span class="">b</span> (80.0 %)' in text  # nobody knows
    assert "nothing found" not in text


def test_what_is_too_broad_for_a_phone_says_that_it_scrolls(page):
    text = (page / "report.html").read_text()
    hints = re.findall(r'scroll sideways</p>\s*<div class="scroll" tabindex="0" role="region" aria-label="([^"]*)"', text)
    assert {"Folds", "Numbers of each label"} <= set(hints)
    assert "Beside published numbers" not in hints
    assert ".sideways { display: block }" in text  # on a phone alone
    assert ".sideways { display: none" in text


def test_titles_name_every_axis(page):
    drawings = re.findall(r"<svg.*?</svg>", (page / "report.html").read_text(), flags=re.DOTALL)
    titles = (
        "epoch",
        "predicted",
        "recall",
        "average precision",
        "F1",
        "accuracy",
        "mAP",
        "false alarms",
        "score",
        "time, s",
        "F1 (micro)",
    )
    for drawing in drawings:
        texts = ["".join(element.itertext()) for element in ElementTree.fromstring(drawing).iter("{http://www.w3.org/2000/svg}text")]
        assert any(text.startswith(titles) for text in texts), texts


# what comes from outside

HOSTILE = "<script>alert(1)</script>\"'*a*|b`{{ 7*7 }}{% raw %}$x$\x1b[31m\u202e\udce9\n# h"


def hostile(task):
    labels = (HOSTILE, "dog", "-")
    known = results(task, 0)
    rename = dict(zip(LABELS, labels, strict=True))
    return replace(
        known,
        labels=labels,
        clips=tuple(f"{HOSTILE}{clip}" for clip in known.clips),
        scores=tuple(Scores(one.values, one.edges, labels) for one in known.scores),
        events=known.events
        and {f"{HOSTILE}{clip}": [Event(e.onset, e.offset, rename[e.label]) for e in events] for clip, events in known.events.items()},
        paths=tuple(Path(f"/{HOSTILE}") for _ in known.clips),
    )


@pytest.mark.parametrize("task", ["classification", "tagging", "detection"])
def test_nothing_from_outside_is_markup(task, tmp_path):
    one = Section(
        HOSTILE,
        {HOSTILE: hostile(task)},
        histories={HOSTILE: [{"epoch": 1, HOSTILE: 1.0, "loss": 2.0}]},
        model={"class": HOSTILE, "settings": {HOSTILE: HOSTILE}},
        published={HOSTILE: Published(0.5, HOSTILE)},
        notes=[HOSTILE],
        sizes={HOSTILE: Sizes(1)},
        saved=HOSTILE,
    )
    path = Report(HOSTILE, {HOSTILE: HOSTILE}, [one], {HOSTILE: HOSTILE}, data={HOSTILE: HOSTILE}).save(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert not {tag for tag, _ in parsed(text)} & {"script", "b1"}
    assert not re.search(r"<script|[\x00-\x09\x0b-\x1f\u202e]", text)
    assert "{{ 7*7 }}" in html.unescape(text)  # no template either
    assert "49" not in re.sub(r"data:[^\"]+|<svg.*?</svg>", "", text, flags=re.DOTALL)
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not re.search(r"(?<!\\)(?:<script|\*a\*|`)|[\x00-\x09\x0b-\x1f]|^# h", markdown, re.MULTILINE)
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["sections"][0]["pooled"]["labels"][0]["clips"] == 6


def test_the_page_of_scores_names_its_files_its_date_and_the_version(tmp_path):
    events = [Event(0, 2, HOSTILE.replace("\udce9", ""))]
    material = scoring.Material({"a": events, "b": []}, (events[0].label,), {"a": events, "b": []}, durations={"a": 4.0, "b": 4.0})
    files = {"reference": Path("my/ref.tsv"), "estimate": tmp_path / HOSTILE}
    text = score_page(HOSTILE, [scoring.score("segment_f1", material, repeats=10)], material, files=files)
    parsed(text)
    assert "<script" not in text
    assert "my/ref.tsv" in text
    assert str(tmp_path) in text
    assert re.search(r"20\d\d-\d\d-\d\d \d\d:\d\d UTC", text)
    assert f"dcasekit {dcasekit.__version__}" in text


def test_the_page_of_scores_says_what_was_left_out():
    events = [Event(0, 2, "dog"), Event(1, 2, "dog", 0.2), Event(0, 1, "cat")]
    durations = {"a": 4.0, "b": 1000.0}  # only a is scored
    material = scoring.Material({"a": events}, ("dog",), {"a": events[:1]}, durations=durations, omitted={"clips": 7})
    text = score_page("Scores", [scoring.score("segment_f1", material)], material, files={})
    assert "Left out: 7 clips of the reference without an estimate" in text
    assert "1 clips · 3 events of 1 labels · 4.0 s of audio" in text
    assert "1 events of labels that are not evaluated" in text
    assert "1 reference events of weight 0.5 or less" in text


def test_the_page_of_scores_explains_what_is_on_it_and_nothing_else():
    events = {"a": [Event(0, 2, "dog")], "b": [Event(1, 2, "dog")]}
    material = scoring.Material(events, ("dog",), events, durations={"a": 4.0, "b": 4.0})
    text = score_page("Scores", [scoring.score("segment_f1", material)], material, files={})
    assert "Intervals are" not in text
    assert "begins with best" not in text
    assert "Intervals are" in score_page("Scores", [scoring.score("segment_f1", material, repeats=10)], material, files={})


def test_numbers_of_all_folds_as_a_frame():
    pytest.importorskip("pandas")
    one = report(section("detection"), section("classification"))
    frame = one.to_frame()
    assert list(frame.columns) == ["section", "fold", "number", "value"]
    means = frame[frame["number"] == "f1/micro"].groupby("section")["value"].mean()
    assert means.to_dict() == pytest.approx({one.sections[0].name: one.sections[0].spread("f1/micro")[0]})


def test_templates_and_style_sheet_are_files_of_the_package():
    folder = importlib.resources.files("dcasekit.report") / "templates"
    names = {entry.name for entry in folder.iterdir()}
    assert {"page.html", "report.html", "scores.html", "parts.html", "style.css"} <= names
    assert "prefers-color-scheme: dark" in (folder / "style.css").read_text(encoding="utf-8")


def measured(task="detection", **changes):
    published = {
        "Baseline <2018>": Published(0.1406, "its published score", measure="event_f1"),
        "Winner": Published(0.3240, "an ensemble"),
        "Baseline, segments": Published(0.61, "segments of 1 s", measure="error rate"),
    }
    own = {
        "measures": {"event_f1": 0.151, "error rate": 1.25, "lwlrap": 0.4},
        "intervals": {"event_f1": (0.12, 0.18), "error rate": (1.1, 1.4)},
    }
    return replace(section(task), **{"published": published, **own, **changes})


def test_measures_of_a_recipe_stand_beside_the_published_numbers_of_the_same_measure():
    one = measured()
    assert one.headline == "event_f1"
    [table] = [table for table in tables(one) if table.title == PUBLISHED]
    assert table.columns == ("measure", "system", "value", "95 % interval", "what differs")
    assert table.rows == [
        ("event-based F1", "this run", "15.1 %", "12.0 % to 18.0 %", ""),
        ("event-based F1", "Baseline <2018>", "14.1 %", "", "its published score"),
        ("event-based F1", "Winner", "32.4 %", "", "an ensemble"),
        ("error rate", "this run", "1.250", "1.100 to 1.400", ""),
        ("error rate", "Baseline, segments", "0.610", "", "segments of 1 s"),
        ("lwlrap", "this run", "40.0 %", "–", ""),
    ]
    assert table.highlight == [0, 3, 5]
    content = one.to_dict()
    assert content["headline"] == {"name": "event_f1", "value": 0.151, "deviation_of_folds": None}
    assert content["measures"]["error rate"] == {"value": 1.25, "interval_95": [1.1, 1.4]}
    assert content["measures"]["lwlrap"] == {"value": 0.4, "interval_95": [None, None]}
    assert content["published"]["Winner"]["measure"] is None
    text, page = report(one).to_markdown(), html.unescape(report(one).to_html())
    parsed(report(one).to_html())
    for found in (text, page):
        for said in ("event-based F1, 95 % interval 12.0 % to 18.0 %", "1.100 to 1.400", "an ensemble", "script"):
            assert said in found
    assert len(re.findall("of this run and of published systems", page)) == 2, "a picture for each measure with published numbers"
    assert page.count('class="ours"') == 3


def test_without_measures_of_its_own_a_section_is_judged_by_its_task():
    one = section("classification")
    assert one.headline == "accuracy"
    assert one.to_dict()["measures"] == {
        "accuracy": {"value": pytest.approx(one.spread("accuracy")[0]), "interval_95": pytest.approx(list(one.pooled.interval))}
    }
    more = replace(one, published=one.published | {"other": Published(0.5, "mean of classes", measure="accuracy/macro")})
    [table] = [table for table in tables(more) if table.title == PUBLISHED]
    assert [row[:2] for row in table.rows][2:] == [("mean recall of classes", "this run"), ("mean recall of classes", "other")]


@pytest.mark.parametrize(
    "changes",
    [{"intervals": {"psds": (0.1, 0.2)}}, {"published": {"x": Published(0.5, "", measure="psds")}}],
    ids=["interval", "published"],
)
def test_what_was_not_measured_is_refused_by_name(changes):
    with pytest.raises(MetricError, match=r"has no measure 'psds'; its measures and numbers are: event_f1, error rate, lwlrap, f1/micro"):
        measured(**changes)
