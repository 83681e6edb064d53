"""Files of annotations and scores that nobody meant to write: good ones damaged, random ones of known words. Seeded."""

import json
import random
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from mutations import damage

from dcasekit.annotations import Event, annotation_formats, read_annotation, read_events, read_events_folder, read_tag_list
from dcasekit.results.material import read
from dcasekit.scores import read_durations, read_scores, read_scores_folder

TABLE = "filename\tonset\toffset\tevent_label\tweight\tannotator\na.wav\t0.5\t1.25\tdog\t0.5\tann\nb.wav\na.wav\t2\t3\tcar horn\t1\tann\n"
GOOD = {
    "tsv": [
        TABLE,
        TABLE.replace("\t", ","),
        "onset;offset;label\n0,5;1,25;dog\n",
        '0\t1\t"say ""hi""\nthere"\t0.25\n',
        "street/a.wav\tstreet\t0\t1\tdog\tm\n",
    ],
    "audacity": ['0.5\t1.25\tdog\n\\\t200.0\t6928.4\n2.15\t2.15\ta "click"\n', "0,5\t1,25\tdog [weight 0.87]\n2,5\tclick\n"],
    "raven": [
        "Selection\tView\tChannel\tBegin Time (s)\tEnd Time (s)\tLow Freq (Hz)\tHigh Freq (Hz)\t"
        "Begin File\tBegin Path\tFile Offset (s)\tScore\tAnnotation\n"
        "1\tWaveform 1\t1\t6.7\t15.09\t1739\t3798\ta.wav\tD:\\x\\a.wav\t6.7\t0.5\twren\n"
        "2\tSpectrogram 1\t1\t61\t62\t0\t4000\ta.wav\tD:\\y\\a.wav\t1\t87 %\trobin\n"
    ],
    "jams": [
        json.dumps(
            {
                "annotations": [
                    {
                        "namespace": namespace,
                        "data": [{"time": 0.5, "duration": 0.75, "value": value, "confidence": 0.5}],
                        "annotation_metadata": {"annotator": {"name": "Ann"}},
                        "sandbox": {},
                    }
                    for namespace, value in (("segment_open", "dog"), ("scaper", {"label": "siren", "role": "foreground"}))
                ],
                "file_metadata": {"duration": 10.0, "jams_version": "0.3.4"},
                "sandbox": {},
            }
        )
    ],
    "tags": [
        "filename\tevent_labels\na.wav\tdog,rain\nb.wav\t\n",
        "filename,label,value\na.wav,dog,0.5\na.wav,cat,unknown\n",
        "filename,fold,dog,rain\na.wav,1,yes,x\nb.wav,2,no,\n",
        "a.wav,dog|rain\n",
    ],
    "scores": ["onset\toffset\tdog\tcar horn\n0\t0.5\t0.25\t1e-3\n0.5\t1\t0.75\t.5\n", "onset,offset,dog\n0,1,0.5\n"],
    "durations": ["filename\tduration\na.wav\t10.0\nb.wav\t3\n", "a.wav,10\n"],
}
WORDS = (
    *(
        "",
        " ",
        "0",
        "1",
        "-1",
        "5",
        "1e8",
        "1e19",
        "1e999",
        "1_0",
        "nan",
        "inf",
        "0,5",
        "1.250,5",
        "٣",
        "0x10",
        "9" * 400,
        "87 %",
        "%",
        "1e-400",
    ),
    *(
        "dog",
        "dog;rain|cat",
        '"',
        '"dog',
        'd"og',
        "a\tb",
        "\r",
        "\x00",
        "\x1b[2J",
        "\ufeff",
        "\u202e",
        "\u2028",
        "x",
        "yes",
        "?",
        "\\",
        "[weight ",
        "[weight nan]",
    ),
    *(
        "filename",
        "onset",
        "offset",
        "event_label",
        "label",
        "labels",
        "weight",
        "annotator",
        "Begin Time (s)",
        "End Time (s)",
        "File Offset (s)",
    ),
    *("Begin File", "Begin Path", "Selection", "C:\\", "/", "..", "a.wav", "b" * 300),
)
KEYS = (
    "annotations",
    "namespace",
    "data",
    "time",
    "duration",
    "value",
    "confidence",
    "label",
    "role",
    "annotation_metadata",
    "annotator",
    "name",
)
VALUES = (None, True, 0, -1, 0.5, 1e8, 1e308, 10**400, "", "dog", "segment_open", "scaper", "background", "1_0", [], {})


ENDINGS = {**annotation_formats(), "tags": ".csv", "scores": ".tsv", "durations": ".csv"}


def case(seed: int) -> tuple[str, bytes]:
    """Give a file, (format and name, content): a good one damaged, or one of known words at random."""
    rng = random.Random(seed)
    format = rng.choice(list(GOOD))
    if rng.random() < 0.25:
        content = (json.dumps(_tree(rng, 5)) if format == "jams" else _table(rng)).encode(errors="surrogatepass")
    else:
        content = rng.choice(GOOD[format]).encode()
        if rng.random() < 0.4:
            content = damage(rng, content, [text.encode() for texts in GOOD.values() for text in texts])
        else:
            for _ in range(rng.randint(1, 4)):
                content = _damaged(rng, content)
    return f"{format}/a{ENDINGS[format]}", content


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:
    """Read a file as what it was meant to be, and as everything that it may be taken for."""
    format = name.partition("/")[0]
    path = folder / Path(name).name
    path.write_bytes(content)
    fitting = {"tags": read_tag_list, "scores": read_scores, "durations": read_durations}.get(
        format, partial(read_annotation, format=format)
    )
    readers: list[Callable[[], object]] = [
        lambda: fitting(path),
        lambda: read_annotation(path),
        lambda: read_annotation(path, annotator="ann"),
        lambda: read_events(path),
        lambda: read_events_folder(folder),
        lambda: read_tag_list(path),
        lambda: read_tag_list(path, annotator="ann"),
        lambda: read_scores(path),
        lambda: read_events(path, format=format if format in annotation_formats() else None),
        lambda: read_scores_folder(folder),
        lambda: read_durations(path),
        lambda: read(path, path),
        lambda: read(folder, folder),
        lambda: read(path, path, durations=path, partial=True),
    ]
    yield from (_checked(reader) for reader in readers)


def _checked(reader: Callable[[], object]) -> Callable[[], None]:
    """Ask that what is read are events where they are promised."""

    def reading() -> None:
        found = reader()
        values = found.values() if isinstance(found, dict) else [found]
        assert all(isinstance(event, Event) for each in values if isinstance(each, list) for event in each)

    return reading


def _damaged(source: random.Random, content: bytes) -> bytes:
    at, to = sorted(source.randint(0, len(content)) for _ in range(2))
    to = min(to, at + 20)
    word = source.choice(WORDS).encode()
    mark = source.choice([b"\t", b",", b";", b"\n", b"\r\n", b'"', b"{", b"[", b"]", b"}", b":", b"\xff", b"\xed\xa0\x80"])
    return source.choice(
        [
            lambda: content[:at],
            lambda: content[:at] + content[to:],
            lambda: content[:at] + word + content[to:],
            lambda: content[:at] + mark + content[at:],
            lambda: content[:to] + content[at:to] * source.choice([1, 3, 3000]) + content[to:],
            lambda: content[:at] + bytes([source.randrange(256)]) + content[at + 1 :],
            lambda: b"".join(source.sample(lines := content.splitlines(keepends=True), len(lines))),
            lambda: content.replace(source.choice([b"\t", b"\n", b",", b"0", b'"']), mark),
            lambda: mark * source.choice([1, 50, 5000]) + content,
            lambda: b"\xef\xbb\xbf" + content,
        ]
    )()


def _table(source: random.Random) -> str:
    delimiter, width = source.choice("\t,;"), source.randint(1, 8)
    rows = ((source.choice(WORDS) for _ in range(max(1, width + source.choice([0, 0, 0, 0, -1, 1])))) for _ in range(source.randint(0, 6)))
    return source.choice(["\n", "\r\n", "\r"]).join(delimiter.join(row) for row in rows)


def _tree(source: random.Random, depth: int) -> object:
    kind = source.random()
    if depth == 0 or kind < 0.3:
        return source.choice(VALUES)
    if kind < 0.5:
        return [_tree(source, depth - 1) for _ in range(source.randint(0, 3))]
    return {source.choice(KEYS): _tree(source, depth - 1) for _ in range(source.randint(0, 6))}
