"""What lists of labels say of a recording besides its labels."""

from dcasekit.annotations.formats._table import find_columns, normalise
from dcasekit.core.files import read_rows
from dcasekit.core.units import PathLike
from dcasekit.errors import AnnotationError


def read_list_columns(path: PathLike) -> dict[str, dict[str, str]]:
    """Read the further columns of a list of labels or events, as `read_tag_list` and `read_events` read the others.

    Only a list with a header that names its column of files has such columns. One whose cells differ between the rows of a file is about
    labels and is left out; so are empty cells. Of a table with a column per label, these are columns as well.

    Returns
    -------
    dict : file name -> name of the column, in small letters with ``_`` for blanks -> text.

    Raises
    ------
    AnnotationError : the file cannot be read as a table.
    """
    rows = read_rows(path, error=AnnotationError)
    header = rows[0][1] if rows else []
    at = find_columns(header)
    if "file" not in at:
        return {}
    others = {index: normalise(name) for index, name in enumerate(header) if index not in at.values() and name.strip()}
    found: dict[str, dict[str, str]] = {}
    differing: set[str] = set()
    for _, row in rows[1:]:
        cells = {name: row[index].strip() for index, name in others.items() if index < len(row)}
        first = found.setdefault(row[at["file"]].strip(), cells) if len(row) > at["file"] else cells
        differing.update(name for name in others.values() if first.get(name) != cells.get(name))
    return {file: {name: text for name, text in cells.items() if text and name not in differing} for file, cells in found.items()}
