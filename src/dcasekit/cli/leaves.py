"""What the command line calls by name: datasets, features, models and recipes, listed without being imported."""

import ast
import importlib
import inspect
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import typer

from dcasekit.cli.output import document, table, text
from dcasekit.cli.settings import assignments, keywords
from dcasekit.core import discover
from dcasekit.core.docstrings import Setting, list_settings
from dcasekit.errors import DatasetError, DcasekitError, NameNotFoundError

if TYPE_CHECKING:
    from dcasekit.augmentations import Augmentation
    from dcasekit.datasets import Dataset


def leaves(family: str) -> list[dict[str, Any]]:
    """Return name, first docstring line and settings of each leaf of a family; its file is read, not run, so no extra is needed."""
    folder = Path(__file__).parent.parent
    return [{"name": name, **_describe(folder.joinpath(family, *name.split(".")).with_suffix(".py"))} for name in discover.names(family)]


def show_leaves(family: str, *, as_json: bool) -> None:
    """Print the leaves of a family."""
    found = leaves(family)
    if as_json:
        return document(found)
    return table(("name", "about", "settings"), [(leaf["name"], leaf["about"], ", ".join(leaf["settings"])) for leaf in found])


def show_feature(name: str, *, as_json: bool) -> None:
    """Print what a feature or a published front end is, and its settings."""
    from dcasekit.features import make_feature, presets

    found, front = make_feature(name), presets().get(name)
    _show_settings(name, front.source if front else _about(type(found)), {"default": list_settings(found)}, as_json=as_json)


def show_recipe(name: str, *, as_json: bool) -> None:
    """Print what a recipe is, which datasets it takes, and its settings."""
    module = recipe(name)
    columns = {"default": list_settings(module.Config())}
    if hasattr(module, "QUICK"):
        columns["quick"] = list_settings(module.QUICK)
    _show_settings(name, _about(module), columns, as_json=as_json, datasets=list(getattr(module, "DATASETS", ())))


def _show_settings(
    name: str, about: str, columns: Mapping[str, Sequence[Setting]], *, as_json: bool, datasets: Sequence[str] | None = None
) -> None:
    if as_json:
        titles = ("name", *columns, "about")
        settings = [dict(zip(titles, _row(same), strict=True)) for same in zip(*columns.values(), strict=True)]
        return document({"name": name, "about": about, **({} if datasets is None else {"datasets": datasets}), "settings": settings})
    text(f"{name}: {about}\n" + (f"\ndatasets: {', '.join(datasets)}\n" if datasets else ""))
    return table_of_settings(columns)


def table_of_settings(columns: Mapping[str, Sequence[Setting]]) -> None:
    """Print settings with their descriptions; of several objects of one class, title -> settings, each one's values."""
    rows = [_row(same) for same in zip(*columns.values(), strict=True)]
    values = [[value if isinstance(value, str) and value else json.dumps(value) for value in row[1:-1]] for row in rows]
    return table(("setting", *columns, "what it is"), [(row[0], *shown, row[-1]) for row, shown in zip(rows, values, strict=True)])


def _row(same: Sequence[Setting]) -> list[Any]:
    """Return name, values as JSON has them (what it does not have: as text), and description of one setting of several objects."""
    return [same[0].name, *json.loads(json.dumps([one.default for one in same], default=str)), same[0].about]


def _about(found: object) -> str:
    """Return the first paragraph of a docstring, on one line."""
    return " ".join((inspect.getdoc(found) or "").partition("\n\n")[0].replace("`", "").split())


def show_presets(*, as_json: bool) -> None:
    """Print the published front ends."""
    from dcasekit.features import FeatureExtractor, presets

    if as_json:
        return document(
            [{"name": name, "about": one.source, "settings": FeatureExtractor.preset(name).settings} for name, one in presets().items()]
        )
    return table(
        ("name", "feature", "scaler", "about"), [(name, one.feature, one.scaler or "none", one.source) for name, one in presets().items()]
    )


def facts(name: str, dataset: "Dataset") -> dict[str, Any]:
    """Return the facts of a dataset that are known without its files."""
    return {
        "name": name,
        "about": _first_line(dataset.__doc__),
        "task": _read_fact(dataset, "task"),
        "labels": list(_read_fact(dataset, "labels") or ()),
        "folds": list(_read_fact(dataset, "folds") or ()),
        "protocol": type(protocol).__name__ if (protocol := _read_fact(dataset, "protocol")) else None,
        "licence": dataset.licence,
        "citation": dataset.citation,
    }


def dataset(
    name: str, data: Path | None, cache: Path | None = None, *, settings: Sequence[str] | None = None, exists: bool = True
) -> "Dataset":
    """Make a dataset object.

    Parameters
    ----------
    data : its folder; ``None``: none is needed, because only facts are asked for.
    settings : ``key=value`` of its constructor; ``labels=`` chooses labels, see `Dataset.with_labels`, and ``corrections=`` names a file
        of corrections, see `Dataset.with_corrections`.
    exists : whether the folder must be there.
    """
    kind = discover.load("datasets", name)
    texts = assignments(settings, option="-D")
    chosen = None if "labels" in inspect.signature(kind).parameters else texts.pop("labels", None)  # some have a setting of that name
    corrections = None if "corrections" in inspect.signature(kind).parameters else texts.pop("corrections", None)
    values = keywords(kind, texts, option="-D", but=("cache",))
    if exists and data is not None and not data.is_dir():
        fetched = kind.archives or "download" in vars(kind)
        fetch = f", or run: dcasekit datasets download {name} --data {data}" if fetched else ""
        raise DatasetError(f"there is no folder {data}; check --data{fetch}")
    found: Dataset = kind(data or Path("no folder"), cache=cache, **values)
    found = found if corrections is None else found.with_corrections(corrections)
    return found if chosen is None else found.with_labels(_choice(chosen, found))


def _choice(text: str, dataset: "Dataset") -> Any:
    """Read a choice of labels: the name of a set, a list with commas, or JSON, a list or an object of old to new labels."""
    if text in dataset.label_sets:
        return text
    if not text.startswith(("[", "{")):
        return [label.strip() for label in text.split(",")]
    try:
        return json.loads(text)
    except ValueError as error:
        raise typer.BadParameter(f"labels must be a list of labels or JSON; got {text!r} ({error})", param_hint="-D") from error


def augmentation(text: str) -> "Augmentation":
    """Make an augmentation from ``name:key=value,key=value``; a package's class is named ``package.module:Class``."""
    from dcasekit.augmentations import Augmentation

    head, colon, tail = text.rpartition(":")
    name, pairs = (head, tail.split(",")) if colon and ("=" in tail or not tail) else (text, [])
    kind = discover.load("augmentations", name)
    if not (isinstance(kind, type) and issubclass(kind, Augmentation)):
        raise NameNotFoundError(f"{name!r} is not an augmentation")
    return Augmentation.from_dict({"type": name, **keywords(kind, assignments([pair for pair in pairs if pair], option="-A"), option="-A")})


def augmented(source: "Dataset", texts: Sequence[str] | None, *, seed: int, jobs: int | None, progress: bool) -> "Dataset":
    """Return a dataset with transformed copies of its clips, made if they are not there yet; without augmentations as it is."""
    if not texts:
        return source
    from dcasekit import AugmentedDataset

    made = AugmentedDataset(source, [augmentation(text) for text in texts], seed=seed)
    made.process(jobs=jobs, progress=progress)
    return made


def recipe(name: str) -> ModuleType:
    """Import a recipe: a leaf's name, or ``package.module`` of one's own."""
    if "." not in name:
        found = discover.module("recipes", name)
    else:
        try:
            found = importlib.import_module(name)
        except DcasekitError:
            raise
        except ImportError as error:
            raise NameNotFoundError(f"cannot import the recipe {name!r}: {error}") from error
    if missing := [part for part in ("Config", "run") if not hasattr(found, part)]:
        raise NameNotFoundError(f"{found.__file__} is not a recipe: it has no {missing[0]}; a recipe has Config, QUICK and run")
    return found


def _read_fact(dataset: "Dataset", fact: str) -> Any:
    """Return a fact; ``None`` where it is read from files, as for a dataset of one's own, and there are no files."""
    try:
        return getattr(dataset, fact)
    except DatasetError:
        return None


def _describe(path: Path) -> dict[str, Any]:
    """Read a leaf's first docstring line and the fields of its class, or of a recipe's Config; those of its bases in the package, too."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    nodes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    found = discover.public(nodes, path.stem)
    return {"about": _first_line(ast.get_docstring(found or tree)), "settings": _fields(found or nodes.get("Config"), tree, nodes)}


def _fields(node: ast.AST | None, tree: ast.Module, nodes: Mapping[str, ast.AST]) -> list[str]:
    """Name the fields of a dataclass, its bases' first."""
    if not isinstance(node, ast.ClassDef):
        return []
    names: list[str] = []
    for base in (base.id for base in node.bases if isinstance(base, ast.Name)):
        if base in nodes:
            names += _fields(nodes[base], tree, nodes)
        for line in (line for line in tree.body if isinstance(line, ast.ImportFrom)):
            if any(alias.name == base for alias in line.names) and (line.module or "").startswith("dcasekit."):
                path = Path(__file__).parent.parent.joinpath(*str(line.module).split(".")[1:])
                inner = ast.parse((path / "__init__.py" if path.is_dir() else path.with_suffix(".py")).read_text(encoding="utf-8"))
                theirs = {each.name: each for each in inner.body if isinstance(each, ast.ClassDef)}
                names += _fields(theirs.get(base), inner, theirs)
    if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
        stated = (line for line in node.body if isinstance(line, ast.AnnAssign) and "ClassVar" not in ast.unparse(line.annotation))
        names += [line.target.id for line in stated if isinstance(line.target, ast.Name)]
    return list(dict.fromkeys(names))


def _first_line(docstring: str | None) -> str:
    return (docstring or "").strip().partition("\n")[0]
