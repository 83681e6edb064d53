"""Every block of README and the site runs: Python in order, commands through the command line, and output is as shown.

A comment ``<!-- not run: why -->`` before a block leaves it out; Python must then still be Python, and commands and options must exist.
"""

import doctest
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from dcasekit.core import discover
from dcasekit.features import presets

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("*_*/*.md"))]
BLOCK = re.compile(
    r"(?P<skip><!-- not run:[^\n]*-->\n\s*)?^```(?P<language>python|pycon|console)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE

pytestmark = pytest.mark.usefixtures("one_thread")


def blocks(page):
    return list(BLOCK.finditer(page.read_text(encoding="utf-8")))


def run_python(text, names, where):
    if ">>>" not in text:
        exec(compile(text, where, "exec"), names)
        return
    test = doctest.DocTestParser().get_doctest(text, names, where, where, 0)
    said = []
    doctest.DocTestRunner(optionflags=FLAGS).run(test, out=said.append, clear_globs=False)
    names.update(test.globs)
    assert not said, "".join(said)


def commands(text):
    """Give each command and the output that is shown below it."""
    for part in re.split(r"^\$ ", text.replace("\\\n", " "), flags=re.MULTILINE)[1:]:
        command, _, shown = part.partition("\n")
        yield shlex.split(command, comments=True), shown


def run_command(words, shown):
    from dcasekit.cli import app

    done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    if shown.strip():
        assert doctest.OutputChecker().check_output(shown, done.stdout, FLAGS), done.stdout


def look_up(words):
    """Refuse a command or an option that does not exist."""
    from dcasekit.cli import app

    command, rest = typer.main.get_command(app), words[1:]
    while rest and (inner := getattr(command, "commands", {}).get(rest[0])):
        command, rest = inner, rest[1:]
    known = {name for each in command.params for name in [*each.opts, *each.secondary_opts]} | {"--help", "--version", "--debug"}
    assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), words
    assert {word for word in rest if re.fullmatch(r"--?[a-zA-Z][\w-]*", word)} <= known, words


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: str(page.relative_to(ROOT)))
def test_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = {"__name__": "__main__"}
    for block in blocks(page):
        where = f"{page.name}, line {page.read_text(encoding='utf-8')[: block.start('text')].count(chr(10)) + 1}"
        if block["language"] != "console":
            if block["skip"]:
                compile(block["text"], where, "exec")
            else:
                run_python(block["text"], names, where)
            continue
        for words, shown in commands(block["text"]):
            if words[0] == "dcasekit":
                look_up(words)
                if not block["skip"]:
                    run_command(words, shown)


def test_readme_is_short_and_counts_rightly():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert text.count("\n") <= 120
    assert (ROOT / "docs/_static/detection.png").stat().st_size < 100_000
    counted = {
        f"{len(discover.names('datasets')) - 3} public ones": "datasets but Folder, Soundscapes and SyntheticSounds",
        f"{len(presets())} published front ends": "presets",
        f"{sum('.' not in name for name in discover.names('models'))} networks": "models of PyTorch",
        f"{len(discover.names('recipes'))} published systems": "recipes",
    }
    assert [told for told in counted if told not in text] == []


def test_a_figure_is_a_row_and_no_cell_is_longer_than_a_line():
    rows = [line for line in (ROOT / "docs/figures.md").read_text(encoding="utf-8").splitlines() if line.startswith("|")]
    assert len(rows) > 60
    assert [cell for row in rows for cell in row.split("|") if len(cell) > 90] == []


# ---- the site


@pytest.fixture(scope="module")
def generate():
    spec = importlib.util.spec_from_file_location("docs_generate", ROOT / "docs" / "generate.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_pages_that_are_generated_can_be(generate, tmp_path):
    (tmp_path / "recipes_intro.md").write_text("# Recipes\n")
    generate.write_pages(tmp_path)
    commands_page = (tmp_path / "generated/commands/index.md").read_text()
    assert "## datasets convert" in commands_page
    assert "$ dcasekit predict dog.wav --model esc10" in commands_page
    recipe = (tmp_path / "generated/recipes/dcase2018_task4.rst").read_text()
    assert "14.7 %" in recipe
    assert "autoclass:: dcasekit.datasets.ESC50" in (tmp_path / "generated/reference/datasets.rst").read_text()


def test_every_public_name_has_its_page_and_most_an_example(generate):
    share, lacking = generate.share_in_examples(ROOT)
    print(f"{share:.1%} of the public names are used in an example; not: {', '.join(lacking)}")
    assert share >= 0.75, lacking  # 85 % today; new names come with an example


def test_every_how_to_page_shows_a_file_that_is_tested():
    shown = {
        name
        for page in (ROOT / "docs" / "how_to").glob("*.md")
        for name in re.findall(r"literalinclude\} \.\./examples/(\w+)\.py", page.read_text(encoding="utf-8"))
    }
    assert shown == {path.stem for path in (ROOT / "docs" / "examples").glob("*.py")}
