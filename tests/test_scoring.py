"""Files of any system against a reference: how they are read, what each named metric gives, and how far it may be off."""

import itertools
import json
import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from dcasekit import cli, to_events
from dcasekit.annotations import Event, read_events, write_annotation, write_events
from dcasekit.cli.settings import METRIC_NAMES
from dcasekit.core import parallel
from dcasekit.errors import AnnotationError, MetricError, NameNotFoundError
from dcasekit.metrics import bootstrap, event, intersection, psds, segment, statistics
from dcasekit.results import scoring
from dcasekit.results.scoring import METRICS, Material
from dcasekit.scores import Scores, write_scores

LABELS = ("cat", "dog", "never")


def system(clips=40, seed=0, frames=50):
    """A reference of 10-s clips, and noisy scores of it."""
    rng = np.random.default_rng(seed)
    reference, scores = {}, {}
    for number in range(clips):
        events = [
            Event(round(start, 3), round(start + rng.uniform(0.5, 3), 3), label)
            for label, start in (("cat", rng.uniform(0, 3)), ("dog", rng.uniform(0, 6)), ("cat", rng.uniform(6.2, 7)))
            if rng.random() < 0.7
        ]
        values = rng.normal(0.2, 0.15, (frames, 3))
        for one in events:
            step = 10 / frames
            values[int(one.onset / step) : int(one.offset / step) + 1, LABELS.index(one.label)] += 0.5
        reference[f"c{number}"] = events
        scores[f"c{number}"] = Scores(values, np.arange(frames + 1) * 10 / frames, LABELS)
    return reference, scores, dict.fromkeys(reference, 10.0)


@pytest.fixture(scope="module")
def material():
    reference, scores, durations = system()
    return Material(reference, LABELS, {clip: to_events(one) for clip, one in scores.items()}, scores, durations)


@pytest.fixture
def files(tmp_path, material):
    write_events(tmp_path / "ref.tsv", {f"audio/{clip}.wav": events for clip, events in material.reference.items()})
    write_events(tmp_path / "est.tsv", {f"{clip}.wav": events for clip, events in material.estimate.items()})
    for clip, one in material.scores.items():
        write_scores(tmp_path / "scores" / f"{clip}.tsv", one)
    (tmp_path / "durations.tsv").write_text("".join(f"{clip}.wav\t10.0\n" for clip in material.durations))
    return tmp_path


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_has_a_number_and_an_interval_around_it(material, name):
    found = scoring.score(name, material, repeats=200)
    assert np.isfinite(found.value)
    low, high = found.interval
    assert low <= found.value <= high
    assert found.interval == scoring.score(name, material, repeats=200).interval
    assert np.isnan(scoring.score(name, material).interval).all()
    assert found.numbers == pytest.approx(scoring.score(name, material).numbers, nan_ok=True)


def drawing(name, material):
    """Give the statistic whose draws are the metric itself; what an interval is drawn from frees PSDS of chance."""
    metric = scoring.find_metric(name)
    itself = {"unbiased": False} if metric.function is psds.psds else {}
    return scoring._STATISTICS[metric.needs](metric, material, {**metric.settings, **itself})


@pytest.mark.parametrize("name", METRICS)
def test_with_every_clip_counted_once_a_draw_is_the_number_itself(material, name):
    value = drawing(name, material)(np.ones((1, len(material.reference)), np.float32))
    assert value == pytest.approx([scoring.score(name, material).value], abs=2e-3 if name == "segment_auroc" else 1e-6)


@pytest.mark.parametrize("name", [name for name in METRICS if name not in ("psds2", "psds_2020_cross_trigger")])
def test_a_draw_is_the_number_of_the_clips_that_were_drawn(material, name):
    """Clips drawn twice are two clips: the metric of that set, computed anew, is what the counts of each clip give."""
    rng = np.random.default_rng(1)
    clips, function = list(material.reference), drawing(name, material)
    for _ in range(3):
        weights = np.bincount(rng.integers(len(clips), size=len(clips)), minlength=len(clips))
        ids = {f"{clip}-{copy}": clip for clip, times in zip(clips, weights, strict=True) for copy in range(times)}
        parts = [
            {new: part[old] for new, old in ids.items()}
            for part in (material.reference, material.estimate, material.scores, material.durations)
        ]
        again = Material(parts[0], LABELS, parts[1], parts[2], parts[3])
        exact, near = scoring.score(name, again).value, function(weights[None].astype(np.float32))[0]
        # Over all thresholds the draw has its own best ones, which need not be among those that are kept.
        assert near == pytest.approx(exact, abs=0.01 if METRICS[name].needs == "scores" else 1e-6)


def alike(clips, rng):
    """Three labels that are equally hard, in half of the clips each."""
    labels, reference, scores = ("a", "b", "c"), {}, {}
    for number in range(clips):
        values, events = rng.normal(0.2, 0.15, (40, 3)), []
        for column in np.flatnonzero(rng.random(3) < 0.5):
            onset = rng.uniform(0, 7)
            events.append(Event(onset, onset + rng.uniform(0.5, 3), labels[column]))
            values[int(onset * 4) : int(events[-1].offset * 4) + 1, column] += rng.normal(0.55, 0.15)
        reference[f"{number}"], scores[f"{number}"] = events, Scores(values, np.arange(41) / 4, labels)
    return reference, scores, dict.fromkeys(reference, 10.0)


def test_an_interval_of_psds_is_about_the_psds_of_endless_clips():
    """Labels that are equally hard differ by chance alone: with all clips there are, `alpha_st` takes off nothing."""
    rng, setting, ones = np.random.default_rng(0), {"dtc": 0.7, "gtc": 0.7}, np.ones((1, 40), np.float32)
    true = psds.psds(*alike(1000, rng), **setting)["psds"]
    found = []
    for _ in range(12):
        data = alike(40, rng)
        found.append([statistics.psds(*data, **setting, alpha_st=1.0, unbiased=unbiased)(ones)[0] for unbiased in (False, True)])
        assert found[-1][1] > found[-1][0] == psds.psds(*data, **setting, alpha_st=1.0)["psds"]
    figure, unbiased = np.abs(np.mean(found, axis=0) - true)
    assert unbiased < figure / 3


def test_without_a_penalty_for_differing_labels_there_is_no_chance_to_take_off(material):
    weights = np.random.default_rng(0).integers(3, size=(5, 40)).astype(np.float32)
    data, setting = (material.reference, material.scores, material.durations), {"dtc": 0.5, "gtc": 0.5}
    plain, freed = (statistics.psds(*data, **setting, unbiased=unbiased)(weights) for unbiased in (False, True))
    assert np.array_equal(plain, freed)


@pytest.mark.parametrize("name", ["psds1", "psds2", "psds_2020_macro"])
def test_one_clip_with_events_beside_two_without_has_an_interval(name):
    reference, scores, durations = system(clips=3)
    reference = {clip: events if clip == "c0" else [] for clip, events in reference.items()}
    found = scoring.score(name, Material(reference, LABELS, None, scores, durations), repeats=50)
    assert 0 <= found.interval[0] <= found.interval[1] <= 1


def test_kept_thresholds_are_bounded(material, monkeypatch):
    full = drawing("psds1", material)(np.ones((1, 40), np.float32))
    monkeypatch.setattr(statistics, "LEVELS", 20)
    assert drawing("psds1", material)(np.ones((1, 40), np.float32)) == pytest.approx(full, abs=0.02)


def test_names_stand_for_the_published_settings(material):
    reference, scores, durations = material.reference, material.scores, material.durations
    assert scoring.score("psds2", material).value == psds.psds(reference, scores, durations, **psds.PSDS2)["psds"]
    zero = {"labels": LABELS, "empty_output": "zero", "absent": "nan"}
    assert scoring.score("event_f1", material).numbers == pytest.approx(event.evaluate(reference, material.estimate, **zero), nan_ok=True)
    wide = scoring.score("event_f1", material, settings={"onset_collar": 0.5, "offset_collar": None})
    assert wide.value == event.evaluate(reference, material.estimate, **zero, onset_collar=0.5, offset_collar=None)["f1/macro"]
    assert scoring.score("segment_error_rate", material).headline == "error_rate/micro"
    best = segment.best_f1(reference, scores, durations, labels=LABELS)
    assert scoring.score("best_segment_f1", material).numbers == pytest.approx(best, nan_ok=True)
    assert set(METRICS) == set(METRIC_NAMES)


def test_intersection_counts_add_up(material):
    counts = intersection.counts(material.reference, material.estimate, labels=LABELS)
    numbers = intersection.f1(material.reference, material.estimate, labels=LABELS)
    assert numbers["f1/micro"] == pytest.approx(2 * counts.hits.sum() / (counts.reference.sum() + counts.estimate.sum()))
    assert counts.hits.shape == (40, 3)


def test_what_a_metric_cannot_have_is_refused(material):
    silent = Material(material.reference, LABELS, material.estimate)
    with pytest.raises(MetricError, match="psds1 needs scores over time; give a folder"):
        scoring.score("psds1", silent)
    assert scoring.score("event_f1", silent).value == scoring.score("event_f1", material).value
    with pytest.raises(NameNotFoundError, match="Did you mean 'psds1'"):
        scoring.score("psd1", material)
    with pytest.raises(MetricError, match="event_f1 has no setting 'collar'; its settings are: onset_collar"):
        scoring.score("event_f1", material, settings={"collar": 1})
    with pytest.raises(MetricError, match="no interval can be computed with the setting thresholds"):
        scoring.score("psds1", material, settings={"thresholds": [0.5]}, repeats=10)
    for key in ("f1/cat", "accuracy", "psds"):
        with pytest.raises(MetricError, match="there is no interval for"):
            statistics.figure_of(event.counts(material.reference, material.estimate, labels=LABELS), key)


# ---- files


def test_files_give_the_same_numbers_as_objects(files, material):
    for estimate in ("est.tsv", "scores"):
        read = scoring.read(files / "ref.tsv", files / estimate, durations=files / "durations.tsv", labels=LABELS)
        assert sorted(read.reference) == sorted(material.reference)
        for name in ("segment_f1", "event_f1", "intersection_f1"):
            assert scoring.score(name, read).numbers == pytest.approx(scoring.score(name, material).numbers, nan_ok=True)
    read = scoring.read(files / "ref.tsv", files / "scores")
    assert read.labels == LABELS  # those of the scores
    assert read.durations == material.durations
    assert scoring.score("psds1", read).value == scoring.score("psds1", material).value


@pytest.mark.parametrize(("delimiter", "header"), list(itertools.product("\t,", (True, False))))
def test_with_and_without_header_comma_or_tab(files, delimiter, header):
    for name in ("ref.tsv", "est.tsv"):
        lines = (files / name).read_text().splitlines()
        (files / name).write_text("\n".join(line.replace("\t", delimiter) for line in (lines if header else lines[1:])) + "\n")
    assert len(scoring.read(files / "ref.tsv", files / "est.tsv").reference) == 40


def test_clips_that_do_not_agree_are_an_error(files):
    text = (files / "ref.tsv").read_text()
    (files / "ref.tsv").write_text("".join(line for line in text.splitlines(keepends=True) if "c3.wav" not in line))
    with pytest.raises(MetricError, match=r"est.tsv has clip 'c3', which is not in .*ref.tsv; list it there with empty event fields"):
        scoring.read(files / "ref.tsv", files / "est.tsv")
    read = scoring.read(files / "ref.tsv", files / "est.tsv", durations=files / "durations.tsv")
    assert read.reference["c3"] == ()  # the durations say that it is there
    (files / "scores" / "c3.tsv").unlink()
    with pytest.raises(MetricError, match="has no scores of clip 'c3'"):
        scoring.read(files / "ref.tsv", files / "scores", durations=files / "durations.tsv")
    (files / "est.tsv").write_text("c1.wav\t2\t1\tdog\n")
    with pytest.raises(AnnotationError, match=r"est.tsv, line 1: .*onset=2.0, offset=1.0"):
        scoring.read(files / "ref.tsv", files / "est.tsv")
    (files / "est.tsv").write_text("c1.wav\t0\t1\tdog\nc1.flac\t0\t1\tdog\n")
    with pytest.raises(MetricError, match=r"lists clip 'c1' under two names: c1.wav, c1.flac"):
        scoring.read(files / "ref.tsv", files / "est.tsv")


def test_one_label_of_many_is_evaluated_by_every_metric_and_the_others_are_counted(files, material):
    read = scoring.read(files / "ref.tsv", files / "scores", labels=["dog"])
    assert read.labels == ("dog",)
    others = [one for listed in (*material.reference.values(), *material.estimate.values()) for one in listed if one.label != "dog"]
    assert read.left_out == {"clips": 0, "strangers": 0, "other": len(others), "events": 0, "cut": 0}
    only = Material(
        *(
            {clip: [one for one in listed if one.label == "dog"] for clip, listed in part.items()} if at != 1 else ("dog",)
            for at, part in enumerate((material.reference, (), material.estimate))
        ),
        {clip: Scores(each.values[:, [1]], each.edges, ("dog",)) for clip, each in material.scores.items()},
        material.durations,
    )
    for name in METRICS:
        assert scoring.score(name, read).numbers == pytest.approx(scoring.score(name, only).numbers, nan_ok=True), name
    args = ["--reference", files / "ref.tsv", "--estimate", files / "scores", "--labels", "dog", "--html", files / "page.html"]
    assert f"left out: {len(others)} events of labels that are not evaluated" in run("score", *args)[0]
    assert "labels that are not evaluated" in (files / "page.html").read_text()


def test_a_label_that_the_scores_do_not_know_is_refused_unless_it_is_not_evaluated(files, material):
    (files / "ref.tsv").write_text((files / "ref.tsv").read_text() + "audio/c1.wav\t1\t2\tcow\n")
    with pytest.raises(MetricError, match=r"ref.tsv has events of label 'cow', for which .*scores has no scores; give the labels"):
        scoring.read(files / "ref.tsv", files / "scores")
    read = scoring.read(files / "ref.tsv", files / "scores", labels=LABELS)
    assert read.left_out["other"] == 1
    assert scoring.score("psds1", read).value == scoring.score("psds1", material).value
    with pytest.raises(MetricError, match="unknown label 'cow' in clip 'c1'; the scores' labels are: cat, dog, never. Give the labels"):
        psds.psds(read.reference, material.scores, material.durations, **psds.PSDS1)


def test_clips_of_one_name_in_several_folders_are_told_apart_in_every_file(tmp_path):
    write_events(tmp_path / "ref.tsv", {f"audio/site{site}/a.wav": [Event(site, site + 1, "dog")] for site in (1, 2)})
    write_events(tmp_path / "est.tsv", {f"/data/rec/site{site}/a.flac": [Event(site, site + 1, "dog")] for site in (2, 1)})
    (tmp_path / "durations.tsv").write_text("site1/a\t10\nsite2/a\t10\n")
    read = scoring.read(tmp_path / "ref.tsv", tmp_path / "est.tsv", durations=tmp_path / "durations.tsv")
    assert set(read.reference) == set(read.estimate) == set(read.durations) == {"site1/a", "site2/a"}
    assert scoring.score("event_f1", read).value == 1
    write_events(tmp_path / "est.tsv", {"site1\\a.wav": [Event(1, 2, "dog")]})
    read = scoring.read(tmp_path / "ref.tsv", tmp_path / "est.tsv", partial=True)
    assert {clip: list(events) for clip, events in read.estimate.items()} == {"site1/a": [Event(1, 2, "dog")]}


def test_one_letter_in_two_forms_is_one_name(tmp_path):
    write_events(tmp_path / "ref.tsv", {"Gr\u00fcnfink.wav": [Event(0, 1, "dog")]})
    write_events(tmp_path / "est.tsv", {"Gru\u0308nfink.wav": [Event(0, 1, "dog")]})  # as macOS writes it
    assert scoring.score("event_f1", scoring.read(tmp_path / "ref.tsv", tmp_path / "est.tsv")).value == 1


def test_an_annotator_of_the_reference_is_chosen(tmp_path):
    (tmp_path / "ref.tsv").write_text("filename\tonset\toffset\tevent_label\tannotator\na.wav\t0\t1\tdog\tann\na.wav\t2\t3\tdog\tbob\n")
    write_events(tmp_path / "est.tsv", {"a.wav": [Event(2, 3, "dog")]})
    args = ["score", "--reference", str(tmp_path / "ref.tsv"), "--estimate", str(tmp_path / "est.tsv"), "--metric", "event_f1", "--json"]
    refused = CliRunner().invoke(cli.app, args)
    assert refused.exit_code == 1
    assert "annotated by several: ann, bob; choose one with annotator=" in refused.output
    values = [
        json.loads(CliRunner().invoke(cli.app, [*args, "--annotator", name]).output)["metrics"][0]["value"] for name in ("ann", "bob")
    ]
    assert values == [0, 1]


@pytest.mark.parametrize("ending", [".txt", ".selections.txt", ".jams", ".tsv"])
def test_a_folder_of_event_files_of_any_format_is_a_list(files, ending):
    for kind in ("ref", "est"):
        for name, events in read_events(files / f"{kind}.tsv").items():
            write_annotation(files / kind / name.replace(".wav", ending), events)
    whole, each = scoring.read(files / "ref.tsv", files / "est.tsv"), scoring.read(files / "ref", files / "est")
    assert {clip: list(events) for clip, events in each.reference.items()} == {
        clip: list(events) for clip, events in whole.reference.items()
    }
    assert {clip: list(events) for clip, events in each.estimate.items()} == {clip: list(events) for clip, events in whole.estimate.items()}


def test_the_clips_that_both_have_are_scored_and_the_others_counted(files, material):
    kept = [f"c{i}" for i in range(10)]
    for clip in set(material.reference) - set(kept):
        (files / "scores" / f"{clip}.tsv").unlink()
    with pytest.raises(MetricError, match=r"has no scores of clip 'c\d+', one of 30 of 40, .*--partial"):
        scoring.read(files / "ref.tsv", files / "scores", durations=files / "durations.tsv")
    read = scoring.read(files / "ref.tsv", files / "scores", durations=files / "durations.tsv", partial=True)
    assert list(read.reference) == list(read.estimate) == list(read.scores)
    assert (set(read.reference), read.left_out["clips"]) == (set(kept), 30)
    few = Material(
        *({clip: part[clip] for clip in kept} if part else LABELS for part in (material.reference, None, material.estimate)),
        {clip: material.scores[clip] for clip in kept},
        material.durations,
    )
    for name in METRICS:
        assert scoring.score(name, read).value == scoring.score(name, few).value
    lines = (files / "est.tsv").read_text().splitlines(keepends=True)
    (files / "est.tsv").write_text("".join(line for line in lines if not line.startswith("c3.")) + "stranger.wav\t0\t1\tcat\t1\n")
    read = scoring.read(files / "ref.tsv", files / "est.tsv", partial=True)
    assert (read.left_out["clips"], read.left_out["strangers"], len(read.reference)) == (1, 1, 39)
    args = ["score", "--reference", files / "ref.tsv", "--estimate", files / "est.tsv", "--metric", "event_f1", "--partial"]
    assert "left out: 1 clips of the reference without an estimate, 1 estimated clips that are not in the reference" in run(*args)[0]
    assert json.loads(run(*args, "--json")[0])["left_out"]["clips"] == 1
    (files / "est.tsv").write_text("other.wav\t0\t1\tcat\n")
    assert "have no clip in common" in run(*args, code=1)[1]


def test_references_of_every_format_and_folders_of_files_are_read(tmp_path):
    true = {"a": [Event(1, 2, "dog")], "b": [Event(0.5, 4, "cat"), Event(3, 4, "dog")]}
    write_events(tmp_path / "list.tsv", true)
    for suffix in (".txt", ".selections.txt", ".jams"):
        for clip, events in true.items():
            write_annotation(tmp_path / suffix / f"{clip}{suffix}", events, duration=10.0)
        for estimate in (tmp_path / "list.tsv", tmp_path / suffix):
            assert scoring.read(tmp_path / suffix, estimate).reference == true
            assert scoring.score("event_f1", scoring.read(tmp_path / suffix, estimate)).value == 1
        one = scoring.read(tmp_path / suffix / f"b{suffix}", tmp_path / "list.tsv", partial=True)
        assert (one.reference, one.left_out["strangers"]) == ({"b": true["b"]}, 1)
        assert scoring.score("event_f1", one).value == 1
    out, _ = run("score", "--reference", tmp_path / ".jams", "--estimate", tmp_path / ".txt", "--metric", "event_f1", "--json")
    assert json.loads(out)["metrics"][0]["value"] == 1
    (tmp_path / "empty").mkdir()
    with pytest.raises(AnnotationError, match="there is no annotation file in .*empty"):
        scoring.read(tmp_path / "list.tsv", tmp_path / "empty")


@pytest.mark.realdata
@pytest.mark.skipif(not os.environ.get("DCASEKIT_DATA"), reason="set DCASEKIT_DATA to a folder that holds desed_scores")
def test_twenty_real_clips_of_a_reference_of_many_are_scored():
    folder = Path(os.environ["DCASEKIT_DATA"]) / "desed_scores"
    part = scoring.read(folder / "reference_all.tsv", folder / "scores", durations=folder / "durations_all.tsv", partial=True)
    own = scoring.read(folder / "reference.tsv", folder / "scores", durations=folder / "durations.tsv")
    assert (len(part.reference), part.left_out["clips"], own.left_out["clips"]) == (20, 672, 0)
    for name in METRICS:
        assert scoring.score(name, part).value == scoring.score(name, own).value


@pytest.mark.realdata
@pytest.mark.skipif(not os.environ.get("DCASEKIT_DATA"), reason="set DCASEKIT_DATA to a folder that holds desed_scores")
def test_twenty_real_clips_have_the_psds_that_others_compute():
    folder = Path(os.environ["DCASEKIT_DATA"]) / "desed_scores"
    material = scoring.read(folder / "reference.tsv", folder / "scores", durations=folder / "durations.tsv")
    assert {name: round(scoring.score(name, material).value, 4) for name in ("psds1", "psds2")} == {"psds1": 0.2697, "psds2": 0.5811}


def test_without_durations_no_event_is_cut_at_the_last_frame(files, material):
    late = {**material.reference, "c1": [Event(8.0, 12.0, "dog")]}
    write_events(files / "ref.tsv", {f"{clip}.wav": events for clip, events in late.items()})
    read = scoring.read(files / "ref.tsv", files / "scores")
    assert (read.durations["c1"], read.durations["c2"], read.left_out["cut"]) == (12.0, 10.0, 0)
    assert scoring.read(files / "ref.tsv", files / "scores", durations=files / "durations.tsv").left_out["cut"] == 1


@pytest.mark.parametrize(("onset", "there"), [(10 - 1e-6, False), (10 - 2e-6, True)])
def test_an_event_behind_the_end_is_no_tag_of_the_clip(onset, there):
    true = {"a": [Event(onset, 11, "x")], "b": []}
    scores = {clip: Scores([[value], [1.0]], [0, 10, 10.02], ("x",)) for clip, value in (("a", 0.9), ("b", 0.1))}
    found = scoring.score("clip_average_precision", Material(true, ("x",), {}, scores, dict.fromkeys("ab", 10.0)))
    assert found.value == 1 if there else np.isnan(found.value)


def test_the_figure_of_auroc_names_how_far_it_goes(material):
    assert scoring.score("segment_auroc", material).headline == "auroc@0.1/macro"
    found = scoring.score("segment_auroc", material, settings={"max_fpr": 0.25}, repeats=20)
    assert found.headline == "auroc@0.25/macro"
    assert (
        found.value
        == found.numbers["auroc@0.25/macro"]
        == segment.auroc(material.reference, material.scores, material.durations, max_fpr=0.25)["auroc@0.25/macro"]
    )


def test_events_found_by_scores_are_counted_against_joined_reference_events(material):
    """Scores have one value per label and time: they cannot tell an event from one that touches it."""
    true = {"a": [Event(0, 2, "cat"), Event(2, 4, "cat")]}
    scores = {"a": Scores([[1.0], [1.0], [0.0]], [0, 2, 4, 6], ("cat",))}
    both = Material(true, ("cat",), {"a": to_events(scores["a"])}, scores, {"a": 6.0})
    assert scoring.score("event_f1", both).value == 1
    assert scoring.score("event_f1", both, settings={"join": False}).value == 0
    assert scoring.score("event_f1", Material(true, ("cat",), both.estimate)).value == 0
    assert scoring.score("event_f1", Material(true, ("cat",), true)).value == 1


def run(*args, code=0):
    result = CliRunner().invoke(cli.app, [str(arg) for arg in args])
    assert result.exit_code == code, (result.output, result.exception)
    return result.stdout, " ".join(result.stderr.replace("│", " ").split())


def test_the_command(files, material):
    args = ["score", "--reference", files / "ref.tsv", "--estimate", files / "scores", "--metric", "psds1,event_f1,best_event_f1"]
    found = json.loads(run(*args, "--json", "--bootstrap", "50")[0])
    assert (found["clips"], found["labels"]) == (40, list(LABELS))
    assert [one["metric"] for one in found["metrics"]] == ["psds1", "event_f1", "best_event_f1"]
    assert found["metrics"][0]["value"] == pytest.approx(scoring.score("psds1", material).value)
    assert found["metrics"][0]["interval_95"][0] <= found["metrics"][0]["value"]
    table, _ = run(*args, "--html", files / "page.html", "-S", "onset_collar=0.5", "-S", "event_f1.offset_collar=none")
    assert "psds1" in table
    assert "never" in table
    wide = scoring.score("event_f1", material, settings={"onset_collar": 0.5, "offset_collar": None}).value
    assert f"{wide:.4f}" in table
    page = (files / "page.html").read_text()
    assert page.count("<svg") == 5  # three of labels, two PSD-ROCs
    assert str(files / "ref.tsv") in page
    assert str(files / "scores") in page
    assert "nan" not in page.lower().replace("nano", "")
    assert "no metric asked for has a setting 'colar'" in run(*args, "-S", "colar=1", code=2)[1]
    assert "Did you mean 'psds1'" in run(*args[:-1], "psds_1", code=1)[1]


def test_what_is_freed_of_bias_is_not_freed_of_it_again(material):
    """BCa would correct draws of PSDS that are about the figure of endless clips already."""
    data, clips = (material.reference, material.scores, material.durations), len(material.reference)
    for name, method in (("psds1", "percentile"), ("psds_2020", "widened")):
        statistic = statistics.psds(*data, **scoring.find_metric(name).settings, unbiased=True)
        assert scoring.score(name, material, repeats=100).interval == bootstrap.interval(statistic, clips, repeats=100, method=method)


def test_intervals_are_the_same_from_several_processes(files, monkeypatch):
    """Of every kind of statistic, which travels whole; each process computes some blocks of draws."""
    monkeypatch.setattr(bootstrap, "_CELLS", 400)  # ten draws of 40 clips
    sizes = []
    spread = parallel.map_clips
    monkeypatch.setattr(
        "dcasekit.cli.scored.map_clips", lambda work, items, **how: sizes.append((len(items), how)) or spread(work, items, **how)
    )
    args = ["score", "--reference", files / "ref.tsv", "--estimate", files / "scores", "--durations", files / "durations.tsv", "--json"]
    names = ("segment_error_rate", "event_f1", "psds1", "psds2", "best_event_f1", "segment_auroc", "clip_average_precision", "clip_lwlrap")
    args += ["--metric", ",".join(names), "--bootstrap", "30"]
    here, there = (CliRunner().invoke(cli.app, [*map(str, args), *more]) for more in ((), ("--jobs", "2")))
    assert here.exit_code == there.exit_code == 0, there.output
    assert here.stdout == there.stdout
    assert len(json.loads(there.stdout)["metrics"]) == len(names)
    assert (3, {"jobs": 2, "backend": "processes", "address": None, "batch": 1}) in sizes
