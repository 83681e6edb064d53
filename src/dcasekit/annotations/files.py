"""Annotation files of one recording, and lists of the events of several: read and written."""

import importlib
import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from pathlib import Path, PurePath
from types import ModuleType

from dcasekit.annotations.formats import tsv
from dcasekit.annotations.formats.base import Row, read_first_line, refuse_lossy, several_annotators
from dcasekit.annotations.nouns import LONGEST, Event
from dcasekit.core import discover
from dcasekit.core.cells import shorten
from dcasekit.core.files import write_rows
from dcasekit.core.trees import list_tree
from dcasekit.core.units import PathLike, Seconds
from dcasekit.errors import AnnotationError

EVENT_COLUMNS = ("filename", "onset", "offset", "event_label")


def annotation_formats() -> dict[str, str]:
    """List the formats of annotation files, each with what the names of its files end in.

    >>> annotation_formats()["audacity"]
    '.txt'
    """
    return {name: format.ENDING for name, format in _load_formats().items()}


def read_annotation(path: PathLike, *, format: str | None = None, annotator: str | None = None) -> list[Event]:
    """Read the events of one recording from the annotation file beside it, in the order of the file.

    Parameters
    ----------
    path : the annotation file, UTF-8, with or without a byte order mark. Times are seconds; a decimal comma is read as well.
    format : one of these, or ``"package.module"`` of your own; ``None`` (default) decides by the suffix and the first line.

        - ``"tsv"`` (.tsv, .csv, .txt, .ann, .lab; tab, comma, or semicolon): with a header, columns found by name (``onset`` ...,
          ``event_label``, ``label`` ..., ``weight``, ``confidence`` ..., ``annotator``) and all others ignored; without one,
          ``onset offset label``, ``onset offset label weight`` (soft labels) or
          ``path [scene] onset offset label ...`` (the DCASE challenges' lists). A row that names the recording alone: no event.
        - ``"audacity"`` (.txt): a label track, ``start end label`` with tabs between; a point is an event of no length; the
          lines of frequencies, which begin with a backslash, are skipped. ``dog [weight 0.87]`` is a dog of this weight.
        - ``"raven"`` (.txt with ``Begin Time (s)`` in its header): a selection table; the label is the column ``Annotation``,
          ``Species``, ``Common Name`` ...; the weight ``Confidence`` or ``Score``, in [0, 1] or per cent; the rows of a selection's several
          views become one event, and times count from the beginning of its file. The frequencies are left out.
        - ``"elan"`` (.txt with ``Begin Time - ss.msec`` in its header): ELAN's tab-delimited text, a tier for each label; the weight is in
          a column ``Score``.
        - ``"jams"`` (.jams, .json): the namespaces ``segment_open``, ``tag_open``, ``tag_urbansound``, ``tag_audioset`` and Scaper's
          ``scaper`` and ``sound_event``, of which the background is no event. The confidence is the weight; null is 1.
    annotator : whose events, where a file has those of several: a name in a table's column ``annotator`` or in JAMS (there
        ``"annotation 0"`` ... where several of one namespace name nobody).

    Raises
    ------
    AnnotationError : the file does not fit the format, lists several recordings, or several annotators of whom none is chosen; the message
        gives file and line.

    Notes
    -----
    Labels lose the blanks around them. Sources: the manuals of Audacity and Raven Pro; Humphrey et al., "JAMS", ISMIR 2014; Salamon et
    al., "Scaper", WASPAA 2017.
    """
    rows = list(_read(path, format))
    if annotator is not None or len({row[1:] for row in rows}) > 1:
        rows = list(choose_annotator(path, iter(rows), annotator))
        if len(files := sorted({row.file for row in rows})) > 1:
            some = ", ".join(files[:3])[:300]
            raise AnnotationError(f"{path} lists {len(files)} recordings ({some} ...), not one; split it, or read it with read_events")
    return [event for event, _, _ in rows if event is not None]


def write_annotation(path: PathLike, events: Iterable[Event], *, format: str | None = None, duration: Seconds | None = None) -> Path:
    """Write the events of one recording so that `read_annotation` gives them back; times keep nine decimals (nanoseconds).

    Parameters
    ----------
    path : the file.
    events : in the order to write.
    format : as in `read_annotation`; ``None`` (default): by the name: ``.tsv``; ``.txt`` is Audacity's; ``.selections.txt`` is Raven's, as
        Raven itself names its tables; ``.elan.txt``; ``.jams``. Where any weight is not 1, TSV gets a column ``weight``, Raven and ELAN
        ``Score``, JAMS a confidence; Audacity has no place for it but the label: ``dog [weight 0.87]``. Raven's boxes, which must have a
        height, go from 0 to 4000 Hz.
    duration : seconds, of the recording; for JAMS, which the package of that name does not load without it. The other formats have no place
        for it.

    Raises
    ------
    AnnotationError : the name tells no format, or a label would not be read back: it has blanks around it, or a tab or a line break and the
        format cannot hold it.
    """
    if duration is not None and not 0 <= duration <= LONGEST:
        raise AnnotationError(f"{path}: duration must be from 0 to {LONGEST:.0f} seconds, or None; got {duration}")
    if format is None:
        endings = annotation_formats()
        fitting = [name for name, ending in endings.items() if Path(path).name.lower().endswith(ending)]
        if not fitting:
            raise AnnotationError(f"{path}: the name must end in {', '.join(endings.values())}, or give format=: {', '.join(endings)}")
        format = max(fitting, key=lambda name: len(endings[name]))
    return Path(_find_format(format).write(path, list(events), duration))


def read_events(path: PathLike, *, format: str | None = None, annotator: str | None = None) -> dict[str, list[Event]]:
    """Read an event list: ``filename onset offset event_label``, with tabs, commas or semicolons between, with or without a header.

    With a header the columns are found by name, in any order, and a column ``weight``, ``confidence``, ``score`` ... gives the weights;
    without one, other columns may stand between the file name and the times (a scene) and, with tabs, after the label. A decimal comma is
    read as well. A row with a file name alone says that the file holds no event. A Raven table of several files gives each its own times.
    A file of another format has the events of one recording, which then is called as the file without its suffix.

    Parameters
    ----------
    path : the list.
    format, annotator : as in `read_annotation`.

    Returns
    -------
    dict : file name -> events in the order of the file.

    Raises
    ------
    AnnotationError : a row has too few or too many fields, its times are not numbers, or a recording has several annotators of whom none is
        chosen; the message gives file and line.
    """
    found: dict[str, list[Event]] = {}
    for event, file, _ in choose_annotator(path, _read(path, format or _recognise(path) or "tsv", several=True), annotator):
        events = found.setdefault(file or _name_recording(path), [])
        if event is not None:
            events.append(event)
    return found


def read_events_folder(folder: PathLike, *, annotator: str | None = None) -> dict[str, list[Event]]:
    """Read all annotation files in a folder and the folders in it, one per recording or lists of several, each of any format.

    What is hidden, and what dcasekit made there, is not looked at.

    Returns
    -------
    dict : recording -> events. A recording is called as its annotation file, by the path below `folder` without the suffix
        (``site1/a.selections.txt``: ``site1/a``); those of a list of others as the list names them.

    Raises
    ------
    AnnotationError : there is no annotation file, one is wrong, or two are of the same recording; the message names the files.
    """
    suffixes = {suffix for format in _load_formats().values() for suffix in format.SUFFIXES}
    folder, found, source = Path(folder), dict[str, list[Event]](), dict[str, Path]()
    for path in (folder / name for name in list_tree(folder).files):
        if path.suffix.lower() in suffixes:
            rows = list(choose_annotator(path, _read(path, None), annotator))
            own = (path.parent.relative_to(folder) / _name_recording(path)).as_posix()
            is_list = not {PurePath(row.file).stem for row in rows} <= {"", PurePath(own).name}
            listed: dict[str, list[Event]] = {} if is_list else {own: []}
            for row in rows:
                listed.setdefault(row.file if is_list else own, []).extend([row.event] if row.event else [])
            if twice := sorted(listed.keys() & found.keys()):
                raise AnnotationError(f"{path} and {source[twice[0]]} are both of the recording {shorten(twice[0])}; keep one of them")
            found |= listed
            source |= dict.fromkeys(listed, path)
    if not found:
        raise AnnotationError(f"there is no annotation file in {folder}; expected names that end in {', '.join(sorted(suffixes))}")
    return found


def write_events(path: PathLike, events: Mapping[str, Iterable[Event]], *, spreadsheet: bool = False) -> Path:
    """Write an event list as TSV with a header; a file without events gets one row with empty fields.

    Times keep nine decimals (nanoseconds); where any weight is not 1, a column ``weight`` holds them.

    Parameters
    ----------
    path : the list.
    events : file name -> its events.
    spreadsheet : put an apostrophe before cells that a spreadsheet would take for formulas; such a list is not read back as it was.

    Raises
    ------
    AnnotationError : a name or a label would not be read back: it is empty, has blanks around it, or is no Unicode.
    """
    listed = {name: list(each) for name, each in events.items()}
    refuse_lossy(path, [*listed, *(event.label for each in listed.values() for event in each)])
    soft = any(event.weight != 1 for each in listed.values() for event in each)
    table: list[tuple[str, ...]] = [(*EVENT_COLUMNS, *(("weight",) if soft else ()))]
    for name, each in listed.items():
        table += [(name, *tsv.write_cells(event, soft=soft)) for event in each] or [(name, *[""] * (len(table[0]) - 1))]
    return write_rows(path, table, spreadsheet=spreadsheet)


def choose_annotator(path: PathLike, rows: Iterable[Row], annotator: str | None) -> Iterator[Row]:
    """Pass on the rows of one annotator; of all, if none is chosen and no recording has several."""
    if annotator is None:
        whose: dict[str, str] = {}
        for row in rows:
            _, file, who = row
            if (first := whose.setdefault(file, who)) != who:
                raise several_annotators(path, file, {first, who, *(other.annotator for other in rows if other.file == file)})
            yield row
        return
    known = set()
    for row in rows:
        known.add(row.annotator)
        if row.annotator == annotator:
            yield row
    if known and annotator not in known:
        names = ", ".join(filter(None, sorted(known)))[:300] or "not named"
        raise AnnotationError(f"{path} has no annotator {annotator!r}; its annotators are: {names}")


def _read(path: PathLike, format: str | None, *, several: bool = False) -> Iterator[Row]:
    if format is None and (format := _recognise(path)) is None:
        raise AnnotationError(f"{path}: no format has the suffix {Path(path).suffix!r}; give format=, one of: {', '.join(_load_formats())}")
    return iter(_find_format(format).read(path, several=several))


@cache
def _load_formats() -> dict[str, ModuleType]:
    return {name: discover.module("annotations.formats", name) for name in discover.names("annotations.formats")}


def _find_format(name: str) -> ModuleType:
    if name in _load_formats():
        return _load_formats()[name]
    try:
        own = importlib.import_module(name) if "." in name or name in sys.modules else None
    except ImportError as error:
        raise AnnotationError(f"cannot import the annotation format {name!r}: {error}") from error
    if own is None or not all(hasattr(own, part) for part in ("read", "write")):
        known = ", ".join(_load_formats())
        raise AnnotationError(f"no annotation format {name!r}; the formats are: {known}. Your own: 'package.module' with read and write")
    return own


def _recognise(path: PathLike) -> str | None:
    """Ask the formats that know a file's suffix which of them it is, by its first line."""
    fitting = _find_fitting(os.path.splitext(path)[1].lower())
    if len(fitting) < 2:
        return next(iter(fitting), None)
    first = read_first_line(path).split("\t")
    return max(fitting, key=lambda name: fitting[name].recognise(first))


@lru_cache(maxsize=64)
def _find_fitting(suffix: str) -> dict[str, ModuleType]:
    return {name: format for name, format in _load_formats().items() if suffix in format.SUFFIXES}


def _name_recording(path: PathLike) -> str:
    """Name the recording beside an annotation file; Raven and BirdNET write more behind it."""
    return re.sub(r"(\.Table\.\d+)?(\.BirdNET)?(\.(selections|results|elan))?\.[^.]+$", "", Path(path).name)
