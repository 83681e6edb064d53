"""The files of a folder, however deep, with links followed: every directory is listed once."""

import hashlib
import os
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from dcasekit.core.files import MARK, is_ours
from dcasekit.core.origin import origin
from dcasekit.core.units import PathLike

_DERIVED = ("features", "augmented audio", "resampled audio")  # what dcasekit makes of recordings and puts beside them


@dataclass(frozen=True, slots=True, order=True)
class LeftOut:
    """A file or folder that is not used, by its path below the dataset's folder, and why."""

    path: str
    why: str


@dataclass(frozen=True, slots=True)
class Tree:
    """The files below a folder: path below it -> where the file really lies, sorted; and what is not among them."""

    files: dict[str, str]
    left_out: list[LeftOut]


def fingerprint(root: PathLike) -> tuple[int, str]:
    """Count the files below a folder, and return a checksum of their names, sizes, beginnings, middles and ends; as `list_tree` finds them.

    It is the same wherever the folder lies and whenever it was copied.
    """
    digest, files = hashlib.sha256(), list_tree(Path(root)).files
    for name, path in files.items():
        found = origin(path)
        digest.update(f"{name}\0{found.size}\0{found.digest}\n".encode("utf-8", "surrogateescape"))
    return len(files), digest.hexdigest()


def list_tree(root: Path) -> Tree:
    """List the files below a folder.

    What is hidden and what dcasekit makes is left out. Links are followed, except those that lead back: a folder they lie in, or, behind
    another link, one that is read already.
    """
    files: dict[str, str] = {}
    left_out: list[LeftOut] = []
    top = os.path.realpath(root)
    seen, folders, links = {top}, [("", top, False)], deque[tuple[str, str, bool]]()
    while folders or links:
        path, real, linked = folders.pop() if folders else links.popleft()  # links come after all that lies here
        try:
            with os.scandir(real) as listed:
                entries = list(listed)
        except OSError as error:
            left_out.append(LeftOut(path or str(root), f"cannot be opened ({error.strerror})"))
            continue
        if path and MARK in {entry.name for entry in entries} and any(is_ours(real, kind) for kind in _DERIVED):
            left_out.append(LeftOut(path, "made by dcasekit"))
            continue
        for entry in entries:
            name, is_link = path + entry.name, entry.is_symlink()
            if why := _refusal(entry):
                left_out.append(LeftOut(name, why))
            elif not entry.is_dir():
                files[name] = os.path.realpath(entry.path) if is_link else entry.path
            elif not is_link:
                seen.add(entry.path)
                folders.append((f"{name}/", entry.path, linked))
            else:
                target = os.path.realpath(entry.path)
                if _lies_in(real, target) or _lies_in(top, target) or (linked and target in seen):
                    left_out.append(LeftOut(name, "a link back to a folder that is read already"))
                else:
                    seen.add(target)
                    links.append((f"{name}/", target, True))
    return Tree(dict(sorted(files.items())), sorted(left_out))


def _refusal(entry: "os.DirEntry[str]") -> str:
    """Say why an entry of a directory is not looked at; empty: it is."""
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir() or entry.is_file():
        return ""
    return "a link to nothing" if entry.is_symlink() else "neither a file nor a folder"


def _lies_in(path: str, folder: str) -> bool:
    return f"{path}/".startswith(f"{folder.rstrip('/')}/")
