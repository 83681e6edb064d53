"""The architecture of docs/design.md, section 2, enforced: layers, cycles, heavy packages, sizes, and what no file may do.

The rules are functions of a source tree, so each is also fed a tree that breaks it: a rule that finds nothing proves nothing.
"""

import ast
import itertools
import json
import subprocess
import sys
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import dcasekit

SOURCE = Path(dcasekit.__file__).parent
PACKAGE = "dcasekit"

LAYERS = [
    {"", "errors", "core"},
    {"annotations", "scores", "audio", "download"},
    {"datasets", "augmentations", "features", "metrics"},
    {"generator", "results", "batch_augmentations"},
    {"containers", "models"},
    {"export", "report", "plots"},
    {"recipes", "testing"},
    {"cli", "app", "__main__"},
]
# Who in a folder of the same layer may use whom, besides what the layers allow.
SIDEWAYS = {
    ("features.base", "datasets.base"),
    ("augmentations._dataset", "datasets.base"),
    ("augmentations._dataset", "datasets._protocols"),
    ("augmentations._dataset", "datasets._hold_out"),
    ("augmentations._dataset", "datasets._labels"),
    ("models*", "containers.*"),
    ("report*", "plots*"),
    ("recipes*", "testing"),
    ("scores*", "annotations*"),
    ("core*", "errors"),
    ("cli.web", "app"),
}
# A private file is used by its own folder alone; the split and the store are every higher layer's.
OPEN = {
    "datasets._protocols",
    "datasets._hold_out",
    "datasets._labels",
    "features._store",
    "augmentations._dataset",
    "recipes._runs",
    "recipes._sweep",
    "recipes._certificate",
}
# A leaf that is a variant of another leaf; all other leaves stand alone.
VARIANTS = {("datasets.esc10", "datasets.esc50"), ("features.looped_mel", "features.mel_spectrogram")}
FAMILIES = {"datasets", "augmentations", "features", "models", "recipes"}

HEAVY = {
    "torch": [
        "containers/torch.py",
        "containers/torch_model.py",
        "containers/_torch_*.py",
        "containers/front_ends.py",
        "containers/objectives.py",
        "containers/_weight_files.py",
        "models/*.py",
        "export/*.py",
    ],
    "keras": ["containers/keras.py", "containers/_keras_*.py", "models/keras/*.py"],
    "h5py": ["containers/_weight_files.py"],
    **dict.fromkeys(["onnx", "onnxruntime", "onnxscript"], ["export/*.py", "containers/_onnx_weights.py"]),
    "sounddevice": ["cli/watching.py"],
    "joblib": ["core/parallel.py"],
    "dask": ["core/parallel.py"],
    "distributed": ["core/parallel.py"],
    "ray": ["core/parallel.py"],
    "rich": ["core/parallel.py", "download/*.py", "cli/*.py"],
    "typer": ["cli/*.py"],
    "jinja2": ["report/pages.py"],
    **dict.fromkeys(["matplotlib", "PIL"], ["plots/*.py"]),
    "soundfile": ["audio/*.py", "report/__init__.py"],
    "soxr": ["audio/*.py"],
    "codecarbon": ["core/energy.py"],
    **dict.fromkeys(["optuna", "sqlalchemy"], ["recipes/_sweep.py"]),
    **{package: [f"containers/loggers/{package.lower().rstrip('x')}.py"] for package in ("tensorboardX", "wandb", "mlflow")},
    "sox": ["augmentations/_sox.py"],
    "umap": ["containers/projection.py"],
    "sklearn": ["containers/projection.py", "containers/sklearn.py", "models/sklearn/*.py"],
    **dict.fromkeys(["pandas", "pyarrow"], ["core/frames.py"]),
    **dict.fromkeys(["dash", "plotly", "flask", "werkzeug"], ["app/*.py"]),
    **dict.fromkeys(["tensorflow", "jax", "librosa"], []),
}

FILE_LINES, BODY_LINES, PUBLIC_METHODS = 400, 40, 10


def tree(folder):
    """Relative module name -> (path, syntax tree) of a package's files."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = path.relative_to(folder).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = (path, ast.parse(path.read_text(encoding="utf-8")))
    return found


def imports(modules, name):
    """Modules of the package that one imports, wherever in the file: at the top, in a function, under TYPE_CHECKING."""
    path, syntax = modules[name]
    here = [] if not name else name.split(".")
    if path.name != "__init__.py":
        here = here[:-1]
    for node in ast.walk(syntax):
        if isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.partition(".")[0] == PACKAGE:
                    yield alias.name.partition(".")[2], node.lineno
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                base = ".".join([*here[: len(here) - node.level + 1], *filter(None, [node.module])])
            elif node.module.partition(".")[0] == PACKAGE:
                base = node.module.partition(".")[2]
            else:
                continue
            for alias in node.names:
                inner = f"{base}.{alias.name}".strip(".")
                yield (inner if inner in modules else base), node.lineno


def top(name):
    """The file or folder at the top that a module belongs to."""
    return name.partition(".")[0]


def layer(name):
    return next((number for number, members in enumerate(LAYERS) if top(name) in members), None)


def layer_problems(folder):
    modules = tree(folder)
    for name in modules:
        if layer(name) is None:
            yield f"{name}: in no layer; add it to LAYERS"
            continue
        for target, line in imports(modules, name):
            where = f"{name}, line {line}: imports {target or PACKAGE}"
            if layer(target) is None:
                yield f"{where}, which is in no layer"
            elif top(target) != top(name):
                yield from (f"{where}: {why}" for why in _crossing(name, target))
            elif top(name) in FAMILIES and (name, target) not in VARIANTS and _leaf(name) and _leaf(target) and name != target:
                yield f"{where}: a leaf uses another leaf; share through an underscore module"


def _crossing(name, target):
    sideways = any(fnmatch(name, a) and fnmatch(target, b) for a, b in SIDEWAYS)
    single_files = "." not in name + target and top(name) not in FAMILIES | {"metrics", "containers", "app"}
    if layer(target) > layer(name) or (layer(target) == layer(name) and not (sideways or single_files)):
        yield f"layer {layer(target)} is not below layer {layer(name)}"
    if target.rpartition(".")[2].startswith("_") and target not in OPEN:
        yield "a private module belongs to its own folder"


def _leaf(name):
    return "." in name and name.rpartition(".")[2] != "base" and not name.rpartition(".")[2].startswith("_")


def cycle_problems(folder):
    modules = tree(folder)
    graph = {name: {target for target, _ in imports(modules, name) if target != name} for name in modules}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield "cycle: " + " <- ".join(error.args[1])


def heavy_problems(folder):
    for path, syntax in tree(folder).values():
        file = path.relative_to(folder).as_posix()
        for node in ast.walk(syntax):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            for package in {name.partition(".")[0] for name in names}:
                if not any(fnmatch(file, allowed) for allowed in HEAVY.get(package, ["*"])):
                    yield f"{file}, line {node.lineno}: imports {package}; allowed in {HEAVY[package] or 'no file'}"


def body_lines(function):
    """Lines of a function after its signature, without its docstring."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant) and isinstance(body[0].value.value, str):
        body = body[1:]
    return body[-1].end_lineno - body[0].lineno + 1 if body else 0


def size_problems(folder):
    for path, syntax in tree(folder).values():
        file = path.relative_to(folder).as_posix()
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines >= FILE_LINES:
            yield f"{file}: {lines} lines; fewer than {FILE_LINES} are allowed"
        for node in ast.walk(syntax):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) >= BODY_LINES:
                yield f"{file}: {node.name} has a body of {body_lines(node)} lines; fewer than {BODY_LINES} are allowed"
            if isinstance(node, ast.ClassDef) and len(methods := list(_public(node))) > PUBLIC_METHODS:
                yield f"{file}: {node.name} has {len(methods)} public methods; {PUBLIC_METHODS} are allowed"


def _public(node):
    for method in node.body:
        if isinstance(method, ast.FunctionDef) and not method.name.startswith("_"):
            decorators = {ast.unparse(decorator).rpartition(".")[2] for decorator in method.decorator_list}
            if not decorators & {"property", "cached_property", "setter"}:
                yield method.name


def conduct_problems(folder):
    for path, syntax in tree(folder).values():
        file = path.relative_to(folder).as_posix()
        # torch.load unpickles nothing but tensors where it is told so.
        calls = [node for node in ast.walk(syntax) if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load"]
        tensors_alone = {call.func for call in calls if "weights_only=True" in map(ast.unparse, call.keywords)}
        for node in ast.walk(syntax):
            where = f"{file}, line {getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.ExceptHandler) and node.type is None:
                yield f"{where}: bare except"
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                if node.func.id == "print" and not any(fnmatch(file, allowed) for allowed in ("cli*", "_cli*")):
                    yield f"{where}: print outside the command line; use logging"
                if node.func.id in ("eval", "exec", "compile", "__import__"):
                    yield f"{where}: {node.func.id}"
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            for name in names:
                if name.partition(".")[0] in ("pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal"):
                    yield f"{where}: {name}"
            if isinstance(node, ast.keyword) and node.arg == "allow_pickle" and ast.unparse(node.value) != "False":
                yield f"{where}: allow_pickle"
            pickling = isinstance(node, ast.Attribute) and ast.unparse(node) in ("torch.load", "torch.save", "joblib.load", "joblib.dump")
            if pickling and node not in tensors_alone:
                yield f"{where}: {ast.unparse(node)}, which is pickle"


RULES = [layer_problems, cycle_problems, heavy_problems, size_problems, conduct_problems]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_package_keeps_the_rule(rule):
    assert list(rule(SOURCE)) == []


def test_every_exception_is_still_needed():
    modules = tree(SOURCE)
    used = {(name, target) for name in modules for target, _ in imports(modules, name)}
    assert used >= VARIANTS
    unused = [pair for pair in SIDEWAYS if not any(fnmatch(a, pair[0]) and fnmatch(b, pair[1]) for a, b in used)]
    assert unused == []


LONG = "    x = 1\n"
VIOLATIONS = {
    "upward": (layer_problems, {"audio.py": "from dcasekit.features import MelSpectrogram"}, "layer 2 is not below layer 1"),
    "upward in a function": (layer_problems, {"audio.py": "def f():\n    import dcasekit.generator"}, "layer 3 is not below"),
    "upward for types": (
        layer_problems,
        {"scores.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from dcasekit.report import Report"},
        "layer 5 is not below layer 1",
    ),
    "upward, relative": (layer_problems, {"features/mfcc.py": "from ..containers import base"}, "layer 4 is not below layer 2"),
    "family to family": (
        layer_problems,
        {"features/mfcc.py": "from dcasekit.datasets.base import Dataset"},
        "layer 2 is not below layer 2",
    ),
    "metrics in containers": (layer_problems, {"metrics/psds.py": "from dcasekit.datasets import Dataset"}, "layer 2 is not below"),
    "containers use models": (layer_problems, {"containers/base.py": "from dcasekit.models import SB_CNN"}, "layer 4 is not below layer 4"),
    "another's private file": (layer_problems, {"generator.py": "from dcasekit.features._stft import compute_spectra"}, "private module"),
    "a private file from below": (layer_problems, {"results.py": "from dcasekit.report.html import page"}, "layer 5 is not below layer 3"),
    "leaf to leaf": (layer_problems, {"models/a.py": "from dcasekit.models.b import B"}, "a leaf uses another leaf"),
    "unknown place": (layer_problems, {"helpers.py": ""}, "in no layer"),
    "cycle": (
        cycle_problems,
        {"annotations.py": "from dcasekit import scores", "scores.py": "def f():\n    import dcasekit.annotations"},
        "cycle",
    ),
    "cycle through a package": (
        cycle_problems,
        {
            "features/__init__.py": "from dcasekit.features.base import F",
            "features/base.py": "def f():\n    from dcasekit import features",
        },
        "cycle",
    ),
    "torch outside": (heavy_problems, {"features/openl3.py": "def f():\n    import torch.nn as nn"}, "imports torch"),
    "pandas outside": (heavy_problems, {"cli/__init__.py": "from pandas import read_csv"}, "imports pandas; allowed in ['core/frames.py']"),
    "jax anywhere": (heavy_problems, {"cli/__init__.py": "from jax import jit"}, "imports jax; allowed in no file"),
    "rich outside": (heavy_problems, {"report/html.py": "from rich.console import Console"}, "imports rich"),
    "long file": (size_problems, {"audio.py": "x = 1\n" * FILE_LINES}, "400 lines"),
    "long function": (size_problems, {"audio.py": 'def f():\n    """Doc."""\n' + LONG * BODY_LINES}, "f has a body of 40 lines"),
    "large class": (
        size_problems,
        {"audio.py": "class A:\n" + "".join(f"    def m{n}(self): ...\n" for n in range(PUBLIC_METHODS + 1))},
        "A has 11 public methods",
    ),
    "print": (conduct_problems, {"audio.py": "print('done')"}, "print outside"),
    "bare except": (conduct_problems, {"audio.py": "try:\n    x = 1\nexcept:\n    pass"}, "bare except"),
    "eval": (conduct_problems, {"cli/__init__.py": "eval('1')"}, "eval"),
    "exec": (conduct_problems, {"cli/__init__.py": "exec('1')"}, "exec"),
    "pickle": (conduct_problems, {"core/files.py": "import pickle"}, "pickle"),
    "numpy's pickle": (conduct_problems, {"core/files.py": "import numpy as np\nnp.load('x', allow_pickle=True)"}, "allow_pickle"),
    "torch's pickle": (conduct_problems, {"containers/torch.py": "import torch\ntorch.load('x')"}, "torch.load"),
    "torch's pickle, allowed": (
        conduct_problems,
        {"containers/torch.py": "import torch\ntorch.load('x', weights_only=False)"},
        "torch.load",
    ),
    "torch's pickle, by another name": (conduct_problems, {"containers/torch.py": "import torch\nread = torch.load"}, "torch.load"),
}


@pytest.mark.parametrize(("rule", "files", "says"), VIOLATIONS.values(), ids=VIOLATIONS)
def test_a_violation_is_found(tmp_path, rule, files, says):
    good = {
        "__init__.py": "",
        "core/units.py": "",
        "annotations.py": "",
        "scores.py": "from dcasekit.annotations import Event",
        "generator.py": "",
        "report/__init__.py": "",
        "report/html.py": "",
        "datasets/__init__.py": "",
        "datasets/base.py": "",
        "features/__init__.py": "",
        "features/base.py": "from dcasekit.datasets.base import Dataset",
        "features/_stft.py": "",
        "features/mfcc.py": "from dcasekit.features.base import FeatureExtractor",
        "containers/__init__.py": "",
        "containers/base.py": "from dcasekit.generator import DataGenerator",
        "containers/_weight_files.py": "def f():\n    import torch\n    torch.load('x', weights_only=True)",
        "models/__init__.py": "",
        "models/b.py": "import torch\nfrom dcasekit.containers.base import ModelContainer",
    }
    for name, text in good.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert list(itertools.chain.from_iterable(rule(tmp_path) for rule in RULES)) == []
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    problems = list(rule(tmp_path))
    assert any(says in problem for problem in problems), problems


def test_a_docstring_and_a_property_do_not_count(tmp_path):
    doc = '    """' + "Long.\n" * 60 + '    """\n'
    many = "".join(f"    @property\n    def p{n}(self): ...\n    def _m{n}(self): ...\n" for n in range(20))
    (tmp_path / "audio.py").write_text(f"def f():\n{doc}    return 1\n\n\nclass A:\n{many}")
    assert list(size_problems(tmp_path)) == []


def python(code, *arguments):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_the_core_works_without_heavy_packages(tmp_path):
    code = """
import importlib.abc, json, sys

class Blocked(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        heavy = {"torch", "sklearn", "keras", "dask", "distributed", "ray", "pandas", "matplotlib", "plotly", "librosa"}
        if name.partition(".")[0] in heavy:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocked())
import numpy as np
import dcasekit
from dcasekit import Event, Results, Scaler, Scores, to_events
from dcasekit.core import discover
from dcasekit.features import MelSpectrogram
from dcasekit.metrics import classification, segment, tagging

for name in discover.names("datasets"):
    discover.load("datasets", name)
shape = MelSpectrogram().get_shape(2.0)
truth = np.eye(3)[[0, 1, 2, 2]]
numbers = classification.evaluate(truth, truth, labels=("a", "b", "c"))
try:
    discover.load("models", "mlp")
except dcasekit.DcasekitError as error:
    refusal = str(error)
print(json.dumps([discover.names("datasets"), shape, numbers["accuracy"], refusal]))
"""
    datasets, shape, accuracy, refusal = python(code)
    assert {"esc10", "esc50", "urban_sound8k"} <= set(datasets)
    assert shape == [3, 32, 64]
    assert accuracy == 1.0
    assert "dcasekit[torch]" in refusal


def test_importing_pulls_in_little_and_nothing_heavy():
    code = """
import dcasekit, json, sys
print(json.dumps(sorted(sys.modules)))
"""
    loaded = python(code)
    heavy = {"torch", "numpy", "pandas", "librosa", "scipy", "sklearn", "matplotlib", "soundfile", "joblib", "rich", "numba"}
    assert heavy.isdisjoint(loaded)
    assert len(loaded) < 200  # of which Python's own are more than thirty


def test_a_reader_sees_at_most_25_entries():
    assert len([path for path in SOURCE.iterdir() if path.name != "__pycache__"]) <= 25
