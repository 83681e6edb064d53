"""One table value: printed, as Markdown, and what a page's template needs of it."""

import math

import pytest

from dcasekit.core.tables import Table, markdown, visible


def test_text_and_markdown_show_the_same_cells():
    table = Table(("label", "clips", "note"), [("dog", 12, "a"), ("cat", 3, "bc")], title="Labels")
    assert str(table).splitlines() == ["label  clips  note", "dog       12  a", "cat        3  bc"]
    lines = table.markdown().splitlines()
    assert lines == ["### Labels", "", "| label | clips | note |", "| --- | --: | --- |", "| dog | 12 | a |", "| cat | 3 | bc |"]
    assert table.cells == [["dog", "12", "a"], ["cat", "3", "bc"]]
    assert table.numeric == [False, True, False]


def test_undefined_numbers_are_a_dash_and_columns_of_nothing_are_left_out():
    table = Table.of([{"label": "a", "mean_f1": math.nan, "none": None}, {"label": "b", "mean_f1": None, "none": None}])
    assert str(table).splitlines() == ["label  mean f1", "a            -", "b            -"]


@pytest.mark.parametrize("table", [Table.of([]), Table(("a", "b"), [])], ids=["no columns", "no rows"])
def test_an_empty_table_is_no_error(table):
    assert str(table) in ("", "a  b")
    assert table.numeric == [False] * len(table.columns)
    assert "nan" not in table.markdown()


def test_control_characters_are_shown_and_not_obeyed():
    assert visible("\x1b[2Jdog\x00\x7f\x9b") == "␛[2Jdog␀␡\ufffd"
    assert visible("two\r\nlines\tand\u2028more") == "two  lines and more"
    assert visible("exe.\u202egpj") == "exe.\ufffdgpj"
    assert visible("caf\udce9.wav").encode() == "caf\ufffd.wav".encode()
    assert "\x1b" not in str(Table(("a\x1b",), [("b\x1b",)])) + Table(("a\x1b",), [("b\x1b",)], title="c\x1b").markdown()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("*a*|b<script>", r"\*a\*\|b\<script\>"),
        ("__init__", r"\_\_init\_\_"),
        ("metro_station", "metro_station"),
        ("[x](http://y)", r"\[x\](http://y)"),
        ("a\\|b", r"a\\\|b"),
        ("# title", r"\# title"),
        ("- item", r"\- item"),
        ("12) item", r"12\) item"),
        ("-0.5", "-0.5"),
        ("12.3 %", "12.3 %"),
        ("&lt;", r"\&lt;"),
        ("$x$ ~~y~~ `z`", r"\$x\$ \~\~y\~\~ \`z\`"),
        ("a\n\n# b", "a  # b"),
    ],
)
def test_markdown_shows_a_text_as_it_is(text, shown):
    assert markdown(text) == shown


def test_a_label_with_markup_stays_one_cell():
    lines = Table(("label|x", "n"), [("*a*|b<script>\n", 1)]).markdown().splitlines()
    assert lines[0] == r"| label\|x | n |"
    assert lines[2] == r"| \*a\*\|b\<script\>  | 1 |"
