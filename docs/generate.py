"""What the site says of the package is taken from the package: reference, command line, recipes."""

import importlib
import inspect
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import typer

from dcasekit.core import discover
from dcasekit.core.docstrings import list_settings
from dcasekit.core.units import FloatArray, PathLike
from dcasekit.report.words import name as in_words

# Page of the reference -> the modules on it, in the order in which data pass them.
REFERENCE = {
    "dcasekit": ("The package", ("dcasekit", "dcasekit.errors")),
    "annotations": ("Annotations", ("dcasekit.annotations",)),
    "audio": ("Audio", ("dcasekit.audio",)),
    "datasets": ("Datasets", ("dcasekit.datasets",)),
    "augmentations": (
        "Augmentations",
        ("dcasekit.augmentations", "dcasekit.batch_augmentations"),
    ),
    "features": ("Features", ("dcasekit.features",)),
    "generator": ("Batches", ("dcasekit.generator", "dcasekit.generator.scaler")),
    "models": ("Models", ("dcasekit.models",)),
    "models_keras": ("Models in Keras", ("dcasekit.models.keras",)),
    "models_sklearn": ("Models of scikit-learn", ("dcasekit.models.sklearn",)),
    "containers": (
        "Training",
        (
            "dcasekit.containers.base",
            "dcasekit.containers.training",
            "dcasekit.containers.objectives",
            "dcasekit.containers.schedules",
            "dcasekit.containers.stopping",
            "dcasekit.containers.torch",
            "dcasekit.containers.torch_model",
            "dcasekit.containers.keras",
            "dcasekit.containers.sklearn",
            "dcasekit.containers.heads",
            "dcasekit.containers.trained",
            "dcasekit.containers.streaming",
            "dcasekit.containers.calibration",
            "dcasekit.containers.projection",
        ),
    ),
    "scores": ("From scores to events", ("dcasekit.scores", "dcasekit.scores.postprocessing")),
    "metrics": (
        "Metrics",
        tuple(f"dcasekit.metrics.{name}" for name in discover.names("metrics")),
    ),
    "results": ("Results", ("dcasekit.results", "dcasekit.results.scoring", "dcasekit.results.inspection")),
    "report": ("Reports and plots", ("dcasekit.report", "dcasekit.plots")),
    "export": ("Export", ("dcasekit.export",)),
    "recipes": ("Recipes", ("dcasekit.recipes",)),
    "testing": ("Checks for classes of your own", ("dcasekit.testing",)),
}
# What modules share among themselves, without an underscore; nothing that a user calls.
INNER = {
    *(
        "Cutting",
        "ClipWindows",
        "Data",
        "FileWindows",
        "answer_clips",
        "answer_parts",
        "batch_bounds",
        "file_windows",
        "steps_of",
        "whole_frames",
    ),
    *("first_line", "as_torch", "limits", "odd_frames", "find_score_files", "per_label", "in_blocks", "Span", "PerClip", "settings_of"),
    *("HEADLINES", "PER_LABEL", "Picture", "describe_left_out", "plain", "describe"),
}

FAMILIES = {f"dcasekit.{family}": family for family in ("datasets", "augmentations", "features", "models")}
FAMILIES |= {
    "dcasekit.models.keras": "models.keras",
    "dcasekit.models.sklearn": "models.sklearn",
}


def public_names(module: ModuleType) -> list[str]:
    """List the public names of a module: ``__all__``, or what it defines, and the leaves of a family."""
    own = getattr(module, "__all__", None)
    if own is None:
        found = ((name, thing) for name, thing in vars(module).items() if inspect.isfunction(thing) or inspect.isclass(thing))
        own = [name for name, thing in found if not name.startswith("_") and thing.__module__ == module.__name__]
    family = FAMILIES.get(module.__name__)
    leaves = [discover.load(family, stem).__name__ for stem in discover.names(family) if "." not in stem] if family else []
    names = [name for name in dict.fromkeys([*own, *leaves]) if name not in INNER]
    return [name for name in names if not isinstance(getattr(module, name), ModuleType)]


def every_public_name() -> Iterator[tuple[str, str]]:
    """Give (module, name) of everything that is on a page of the reference."""
    for _, modules in REFERENCE.values():
        for name in modules:
            yield from ((name, each) for each in public_names(importlib.import_module(name)))


def write_pages(docs: Path) -> None:
    """Write all generated pages below ``generated``."""
    out = docs / "generated"
    for kept in ("reference", "recipes", "commands"):
        shutil.rmtree(out / kept, ignore_errors=True)
        (out / kept).mkdir(parents=True)
    _write_reference(out / "reference")
    _write_commands(out / "commands")
    _write_recipes(out / "recipes")


def _write(path: Path, text: str) -> None:
    if not path.exists() or path.read_text(encoding="utf-8") != text:  # a page that has not changed is not read again
        path.write_text(text, encoding="utf-8")


# ---- reference


def _write_reference(out: Path) -> None:
    seen: set[int] = set()
    for page, (title, modules) in REFERENCE.items():
        parts = [f"{title}\n{'=' * len(title)}\n"]
        for name in modules:
            module = importlib.import_module(name)
            if len(modules) > 1:
                parts.append(f"{name}\n{'-' * len(name)}\n")
            parts.append(f".. automodule:: {name}\n   :no-members:\n")
            shown = [each for each in public_names(module) if page == "dcasekit" or id(getattr(module, each)) not in seen]
            again = page == name == "dcasekit"
            parts += [_directive(name, each, getattr(module, each), again=again) for each in shown]
            if page != "dcasekit":
                seen |= {id(getattr(module, each)) for each in shown}
        _write(out / f"{page}.rst", "\n".join(parts))
    pages = "\n   ".join(REFERENCE)
    _write(
        out / "index.rst",
        "Reference\n=========\n\nEvery public name, from the docstrings, in the order in which data pass them.\n\n"
        f".. toctree::\n   :maxdepth: 1\n\n   {pages}\n",
    )


def _directive(module: str, name: str, thing: object, *, again: bool) -> str:
    if again:  # explained on the page of its own module
        home = next(home for home, other in every_public_name() if other == name and home != "dcasekit")
        return f"- `{name} <{home}.{name}>`: {_first_line(thing)}\n"
    if inspect.isclass(thing):
        return f".. autoclass:: {module}.{name}\n   :members:\n   :show-inheritance:\n"
    if callable(thing) and not _is_alias(thing):
        return f".. autofunction:: {module}.{name}\n"
    return f".. py:data:: {module}.{name}\n\n   A constant{f': ``{thing!r}``' if isinstance(thing, int | float | str) else ''}.\n"


def _is_alias(thing: object) -> bool:
    return not (inspect.isfunction(thing) or inspect.isbuiltin(thing))


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").split("\n")[0]


_SECTIONS = ("Parameters", "Attributes", "Returns", "Yields", "Raises", "Other Parameters")
_ENTRY = re.compile(r"^(\*{0,2}[\w.*]+(?:, \*{0,2}[\w.*]+)*|[^:`]{1,80}?) : (.+)$")


def read_descriptions(app, what, name, obj, options, lines) -> None:  # noqa: ARG001 - Sphinx calls it
    """Turn ``name : what it is`` into ``name``, and below it what it is: behind the colon numpydoc expects a type."""
    section, at, result = "", 0, []
    while at < len(lines):
        line = lines[at]
        under = lines[at + 1] if at + 1 < len(lines) else ""
        if under and set(under) == {"-"} and len(under) >= 3:
            section = line.strip()
            result += [line, under]
            at += 2
            continue
        if section in _SECTIONS and line and not line.startswith(" ") and (entry := _ENTRY.match(line)):
            result += [entry[1], f"    {entry[2]}"]
        elif section in ("Returns", "Yields") and line and not line.startswith(" ") and not line.startswith("-"):
            result.append(line)
        else:
            result.append(line)
        at += 1
    lines[:] = result


def shorten_signature(app, what, name, obj, options, signature, returned) -> tuple[str | None, str | None]:  # noqa: ARG001, PLR0913 - Sphinx calls it
    """Write types that have a name of their own by it, not as what they stand for."""
    from numpy.typing import ArrayLike
    from sphinx.util.typing import stringify_annotation

    names = {ArrayLike: "ArrayLike", FloatArray: "FloatArray", PathLike: "PathLike"}
    for kind, short in names.items():
        for mode in ("smart", "fully-qualified-except-typing", "fully-qualified"):
            long = stringify_annotation(kind, mode)
            signature, returned = (text and text.replace(long, short) for text in (signature, returned))
    return signature, returned


def skip_inherited(app, what, name, obj, skip, options) -> bool | None:  # noqa: ARG001 - Sphinx calls it
    """Leave out what has no docstring of its own."""
    return True if name.startswith("_") else None


# ---- command line


def commands() -> Iterator[tuple[str, object]]:
    """Give each command's words and what typer knows of it."""
    from dcasekit.cli import app

    def below(command, words):
        for name, each in sorted(getattr(command, "commands", {}).items()):
            if getattr(each, "commands", None):
                yield from below(each, [*words, name])
            else:
                yield " ".join([*words, name]), each

    yield from below(typer.main.get_command(app), ["dcasekit"])


def _write_commands(out: Path) -> None:
    parts = [
        "# The command line\n",
        "Everything the package does, from a shell. This page is made of what `--help` says.\n",
    ]
    parts.append(
        "Standard output carries the answer alone: a table, or with `--json` one document. Progress, warnings and errors go to standard "
        "error. Exit codes: 0 done; 1 an error, or problems found; 2 wrong usage; 130 interrupted.\n"
    )
    for words, command in commands():
        parts.append(f"## {words.removeprefix('dcasekit ')}\n")
        parts.append(_plain(command.help or "") + "\n")
        if lines := _examples(command):
            parts.append("```console\n" + "\n".join(f"$ {line}" for line in lines) + "\n```\n")
        rows = [_parameter(each) for each in command.params if each.name != "help" and not getattr(each, "hidden", False)]
        if rows:
            parts.append("| option | what it does |\n|---|---|\n" + "\n".join(rows) + "\n")
    _write(out / "index.md", "\n".join(parts))


def _plain(text: str) -> str:
    text = re.sub(r"\\\[default: (.*?)\]", r"(default: \1)", text)
    text = re.sub(r"\[/?(?:bold|dim|cyan|italic)[^\]]*\]", "", text)
    return inspect.cleandoc(text)


def _examples(command: object) -> list[str]:
    text = _plain(getattr(command, "epilog", "") or "")
    return [line.strip().removeprefix("$ ") for line in text.splitlines() if line.strip().startswith("$ dcasekit ")]


def _parameter(parameter: object) -> str:
    names = ", ".join(f"`{name}`" for name in [*parameter.opts, *parameter.secondary_opts])
    if parameter.param_type_name == "argument":
        names = f"`{parameter.metavar or parameter.name.upper()}`"
    elif parameter.metavar and not getattr(parameter, "is_flag", False):
        names += f" `{parameter.metavar}`"
    text = _plain(getattr(parameter, "help", "") or "").replace("\n", " ")
    default = parameter.default
    if default not in (None, False, (), "") and not callable(default) and getattr(parameter, "show_default", True):
        text += f" (default: {default})"
    return f"| {names.replace('|', chr(92) + '|')} | {text.replace('|', chr(92) + '|').replace('<', '&lt;')} |"


# ---- recipes


def _write_recipes(out: Path) -> None:
    names = discover.names("recipes")
    table = ["| recipe | what it is | datasets |", "|---|---|---|"]
    for name in names:
        module = discover.module("recipes", name)
        title = _first_line(module).rstrip(".")
        table.append(f"| [`{name}`]({name}.rst) | {title} | {', '.join(f'`{each}`' for each in module.DATASETS)} |")
        _write(out / f"{name}.rst", _recipe(name, module))
    intro = (out.parent.parent / "recipes_intro.md").read_text(encoding="utf-8")
    toc = "```{toctree}\n:hidden:\n\n" + "\n".join(names) + "\n```\n"
    _write(out / "index.md", f"{intro}\n" + "\n".join(table) + f"\n\n{toc}")


def _recipe(name: str, module: ModuleType) -> str:
    title, _, body = inspect.getdoc(module).partition("\n")
    parts = [
        f"{name}\n{'=' * len(name)}\n",
        f"**{title}**\n",
        body.strip() + "\n",
        "How to run\n----------\n",
    ]
    data = " ".join(f"--data {each}=data/{each}" for each in module.DATASETS)
    data = data if len(module.DATASETS) > 1 else f"--data data/{module.DATASETS[0]}"
    lines = [
        f"$ dcasekit run {name} --quick",
        *(f"$ dcasekit datasets download {each} --data data/{each}" for each in module.DATASETS),
        f"$ dcasekit run {name} {data}",
    ]
    if published := getattr(module, "BANDS", None):
        lines.append(f"$ dcasekit reproduce {name} {data}")
    parts.append("``--quick`` tries it on a small synthetic dataset with small settings, in about a minute; its numbers prove nothing.")
    if published:
        parts.append("``reproduce`` runs the recipe, or takes up its finished run, and writes a certificate.")
    parts.append("")
    parts.append(".. code-block:: console\n\n   " + "\n   ".join(lines) + "\n")
    if figures := getattr(module, "PUBLISHED", {}):
        parts.append("Published\n---------\n")
        rows = [
            (system, _number(one, module), _measure(one.measure) if one.measure else "the main number", one.differs)
            for system, one in figures.items()
        ]
        parts.append(
            _list_table(
                ("system", "figure", "measure", "how it came about, and how it differs"),
                rows,
                (30, 12, 18, 40),
            )
        )
    if measured := list(_measured(name)):
        parts.append("Measured here\n-------------\n")
        parts.append(_list_table(("what", "figure"), measured, (70, 30)))
    if published:
        parts.append("Accepted by ``dcasekit reproduce``\n----------------------------------\n")
        parts.append(
            _list_table(
                ("measure", "from", "to"),
                [(_measure(key), f"{a:g}", f"{b:g}") for key, (a, b) in published.items()],
                (60, 20, 20),
            )
        )
    parts.append("Settings\n--------\n\nWith ``--set NAME=VALUE``; the last column is what ``--quick`` takes.\n")
    rows = [
        (f"``{one.name}``", f"``{one.default!r}``", f"``{small.default!r}``", one.about)
        for one, small in zip(list_settings(module.Config()), list_settings(module.QUICK), strict=True)
    ]
    parts.append(_list_table(("setting", "default", "quick", "what it is"), rows, (20, 22, 22, 36)))
    return "\n".join(parts)


def _measure(key: str) -> str:
    """Write a measure in words, and in brackets as commands and files name it."""
    section, colon, measure = key.rpartition(": ")
    return f"{section}{colon}{in_words(measure)} (``{measure}``)"


def _measured(name: str) -> Iterator[tuple[str, str]]:
    """Give the rows of figures.md that a recipe's command made; "the same" is the command of the row above."""
    command = ""
    for line in (Path(__file__).parent / "figures.md").read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if line.startswith("|") and len(cells) == 3:
            command = command if cells[2].startswith("the same") else cells[2].replace("make demo", "dcasekit run quickstart")
            if f"dcasekit run {name} " in f"{command.strip('`')} ":
                yield cells[0], cells[1]


def _number(one: object, module: ModuleType) -> str:
    as_decimals = "error" in (one.measure or "") or one.value > 1
    return f"{one.value:.3g}" if as_decimals else f"{one.value:.1%}".replace("%", " %")


def _list_table(head: tuple[str, ...], rows: list[tuple[str, ...]], widths: tuple[int, ...]) -> str:
    lines = [
        ".. list-table::",
        "   :header-rows: 1",
        f"   :widths: {' '.join(map(str, widths))}",
        "",
    ]
    for row in [head, *rows]:
        lines += [f"   {'*' if n == 0 else ' '} - {str(cell).replace('*', chr(92) + '*')}" for n, cell in enumerate(row)]
    return "\n".join(lines) + "\n"


# ---- what is used in an example


def share_in_examples(root: Path) -> tuple[float, list[str]]:
    """Count the public names that occur in an example: a page, a script, a notebook, or the example of a docstring; and list the others."""
    texts = [path.read_text(encoding="utf-8") for folder in ("docs", "notebooks") for path in sorted((root / folder).rglob("*.py"))]
    pages = [
        root / "README.md",
        *(path for path in (root / "docs").rglob("*.md") if "generated" not in path.parts),
    ]
    for path in pages:
        texts += re.findall(
            r"^```(?:python|pycon)\n(.*?)^```$",
            path.read_text(encoding="utf-8"),
            re.MULTILINE | re.DOTALL,
        )
    for path in (root / "src").rglob("*.py"):
        texts += re.findall(r"^\s*(?:>>>|\.\.\.) .*$", path.read_text(encoding="utf-8"), re.MULTILINE)
    words = set(re.findall(r"\w+", "\n".join(texts)))
    names = list(dict.fromkeys(every_public_name()))
    lacking = [f"{module.removeprefix('dcasekit.')}.{name}" for module, name in names if name not in words]
    return 1 - len(lacking) / len(names), lacking
