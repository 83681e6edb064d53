"""Seeded damage to files: bytes, text or JSON, whatever they hold."""

import json
import random
from collections.abc import Callable, Sequence
from typing import Any

# Numbers at some edge, in bytes and as people and tools write them.
EXTREMES = [0, 1, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, 1 << 63]
NUMBERS = ["0", "-1", "1e8", "1e19", "1e308", "1e999", "-1e999", "nan", "inf", "1_0", "0x10", "1,5", "٣", "9" * 400, "1e-400", "2147483648"]
WORDS = [
    *("", " ", "\x00", "\x1b[2J", "\r", "\t", "\n", '"', "'", "\ufeff", "\u202e", "\u2028", "\\", "/", "..", "../../x", "/etc/passwd"),
    *("C:\\x", "b" * 300, "é" * 200, "null", "true", "{", "[", "]", ":", ",", ";", "|", "%", "=cmd()", "os:system", "builtins:dict"),
]
VALUES: list[Any] = [
    *(None, True, False, 0, 1, -1, 2, 0.5, -0.5, 1e8, 1e19, 1e308, 10**400, float("nan"), float("inf"), float("-inf"), 2**31, 2**63, 10**7),
    *(
        "",
        "0",
        "1_0",
        "nan",
        "dog",
        "../x",
        "/etc/passwd",
        "\x00",
        "\x1b[2J",
        "\ud800",
        "x" * 3000,
        [],
        {},
        [[]],
        [0],
        {"": 0},
        [None] * 50,
    ),
]


def damage(rng: random.Random, content: bytes, others: Sequence[bytes] = ()) -> bytes:
    """Damage a file once to three times: as JSON if it is some, as text if it is some, as bytes; or put another in its place."""
    if others and rng.random() < 0.05:
        return rng.choice(others)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        content = rng.choice(_ways(content))(rng, content)
    return content


def _ways(content: bytes) -> list[Callable[[random.Random, bytes], bytes]]:
    try:
        content.decode()
    except UnicodeDecodeError:
        return _BYTES
    return _TREES * 3 + _TEXTS if content[:1] in (b"{", b"[") else _TEXTS * 2 + _BYTES


# ---- bytes


def place(rng: random.Random, content: bytes) -> int:
    """Draw a byte: of the beginning as often as of all the rest."""
    return rng.randrange(min(len(content), 256) if rng.random() < 0.5 else len(content)) if content else 0


def _flip(rng: random.Random, content: bytes) -> bytes:
    changed = bytearray(content)
    for _ in range(rng.choice([1, 1, 2, 5, 50]) if content else 0):
        changed[place(rng, content)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _number(rng: random.Random, content: bytes) -> bytes:
    at, size = place(rng, content), rng.choice([1, 2, 4, 8])
    number = (rng.choice(EXTREMES) & (1 << 8 * size) - 1).to_bytes(size, rng.choice(["little", "big"]))
    return content[:at] + number + content[at + size :]


def _cut(rng: random.Random, content: bytes) -> bytes:
    return content[: place(rng, content)]


def _drop(rng: random.Random, content: bytes) -> bytes:
    at = place(rng, content)
    return content[:at] + content[at + rng.choice([1, 4, 100, 5000]) :]


def _insert(rng: random.Random, content: bytes) -> bytes:
    at, size = place(rng, content), rng.choice([1, 4, 100, 5000])
    return content[:at] + rng.choice([bytes(size), rng.randbytes(size), b"\xff" * size]) + content[at:]


def _repeat(rng: random.Random, content: bytes) -> bytes:
    first, last = sorted((place(rng, content), place(rng, content)))
    return content[:last] + content[first:last] * rng.choice([1, 3, max(1, 20_000 // (last - first + 1))]) + content[last:]


def _move(rng: random.Random, content: bytes) -> bytes:
    """Copy a piece to another place."""
    source, to, size = place(rng, content), place(rng, content), rng.choice([4, 16, 64, 1000])
    return content[:to] + content[source : source + size] + content[to + size :]


_BYTES = [_flip, _flip, _number, _number, _cut, _drop, _insert, _repeat, _move]


# ---- text


def _word(rng: random.Random, content: bytes) -> bytes:
    """Put a number or a word at odds with everything in place of some bytes, or between them."""
    at = place(rng, content)
    return content[:at] + rng.choice(NUMBERS + WORDS).encode() + content[at + rng.choice([0, 0, 1, 5]) :]


def _cell(rng: random.Random, content: bytes) -> bytes:
    """Put one in place of a cell of a table."""
    lines = content.split(b"\n")
    row = rng.randrange(min(len(lines), 4) if rng.random() < 0.5 else len(lines))
    mark = next((mark for mark in (b"\t", b";", b",") if mark in lines[row]), b"\t")
    cells = lines[row].split(mark)
    cells[rng.randrange(len(cells))] = rng.choice([rng.choice(NUMBERS).encode(), rng.choice(WORDS).encode(), rng.choice(cells)])
    return b"\n".join([*lines[:row], mark.join(cells), *lines[row + 1 :]])


def _lines(rng: random.Random, content: bytes) -> bytes:
    """Shuffle, double or drop lines."""
    lines = content.splitlines(keepends=True) or [b""]
    row = rng.randrange(len(lines))
    return b"".join(
        rng.choice(
            [rng.sample(lines, len(lines)), [*lines, lines[row]], [*lines[:row], *lines[row + 1 :]], [*lines[:row], *lines[row:] * 2]]
        )
    )


def _column(rng: random.Random, content: bytes) -> bytes:
    """Drop or double a column."""
    mark = next((mark for mark in (b"\t", b";", b",") if mark in content), b"\t")
    rows = [line.split(mark) for line in content.split(b"\n")]
    at, times = rng.randrange(max(map(len, rows))), rng.choice([0, 2])
    return b"\n".join(mark.join([*row[:at], *row[at : at + 1] * times, *row[at + 1 :]]) for row in rows)


def _encoding(rng: random.Random, content: bytes) -> bytes:
    """Write it in another encoding, or with characters that this encoding has otherwise."""
    text = content.decode(errors="replace")
    return rng.choice([
        lambda: text.encode("utf-16"),
        lambda: text.encode("utf-32"),
        lambda: text.replace("a", "ä").encode("latin-1", errors="replace"),
        lambda: b"\xef\xbb\xbf" + content,
        lambda: content.replace(b"\n", rng.choice([b"\r\n", b"\r", b"\x00", b"\n\n"])),
        lambda: content.replace(rng.choice([b"\t", b",", b" ", b".", b"1"]), rng.choice([b"\t", b",", b";", b'"', b"\xed\xa0\x80"])),
    ])()  # fmt: skip


_TEXTS = [_word, _word, _cell, _cell, _lines, _column, _encoding, _cut, _repeat, _flip]


# ---- JSON


def tree(rng: random.Random, value: Any) -> Any:
    """Change a JSON value somewhere: another value or type, a key gone or new, lists longer or in another order."""
    if isinstance(value, dict | list) and value and rng.random() < 0.8:
        value = value.copy()
        key = rng.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value[key] = tree(rng, value[key])
        return value
    return rng.choice(_changes(value))(rng)


def _changes(value: Any) -> list[Callable[[random.Random], Any]]:
    def other(rng: random.Random) -> Any:
        return rng.choice(VALUES)

    if isinstance(value, dict):
        return [
            other,
            lambda rng: {key: item for key, item in value.items() if rng.random() < 0.8},
            lambda rng: value | {rng.choice(["", "x", "../x", "\x00", "class", *map(str, value)]): rng.choice(VALUES)},
            lambda _: list(value.values()),
            lambda _: list(value.items()),
        ]
    if isinstance(value, list):
        return [
            other,
            lambda rng: rng.sample(value, len(value)),
            lambda rng: value * rng.choice([0, 2, 50]),
            lambda rng: [*value, rng.choice(VALUES)],
            lambda _: value[:-1],
            lambda _: dict(enumerate(value)),
        ]
    if isinstance(value, int | float):
        return [
            other,
            lambda _: -value,
            lambda _: value + 1,
            lambda _: value * 10**9,
            lambda _: str(value),
            lambda _: value / 3 if abs(value) < 1 << 1000 else value // 3,
        ]
    return [other, lambda _: [value], lambda _: {"value": value}, lambda rng: f"{value}{rng.choice(WORDS)}"]


def _json(rng: random.Random, content: bytes) -> bytes:
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        return _word(rng, content)
    for _ in range(rng.choice([1, 1, 2, 4])):
        found = tree(rng, found)
    return json.dumps(found).encode()


def _deep(rng: random.Random, content: bytes) -> bytes:
    """Nest it, or something in it, deeper than anybody can read."""
    depth, (opening, closing) = rng.choice([50, 900, 5000, 200_000]), rng.choice([(b"[", b"]"), (b'{"a":', b"}")])
    nested = opening * depth + b"1" + closing * (depth * rng.choice([0, 1, 1]))
    return rng.choice([nested, content.replace(rng.choice([b"{}", b"[]", b"null", b"0", b"1", b"true"]), nested, 1)])


_TREES = [_json, _json, _json, _json, _json, _json, _json, _deep]
