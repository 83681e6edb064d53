"""Small trees of every dataset, a label file of which is damaged, or lies where another belongs."""

import random
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from mutations import damage

from dcasekit import testing
from dcasekit.annotations import Clip
from dcasekit.core import discover
from dcasekit.core.files import unsafe
from dcasekit.datasets import Dataset
from dcasekit.errors import DatasetError

TEXTS = (".csv", ".tsv", ".txt", ".ann", ".json", ".jams", ".yaml", "")
NAMES = discover.names("datasets")
LISTS = {
    "events.tsv": "filename\tonset\toffset\tevent_label\tfold\tgroup\n"
    "{0}.wav\t0\t0.1\tdog\t1\ta\n{1}\t\t\t\t2\tb\n{2}.wav\t0.05\t0.2\tcat\t1\tc\n",
    "tags.csv": 'filename,label,split,note\n{0}.wav,"dog,cat",train,x\n{1},,test,y\nsite/{2}.wav,dog,test,\n',
    "labels.csv": "filename,fold,dog,cat\n{0}.wav,1,1,0\n{1}.wav,2,0,1\n{2}.wav,1,0.25,\n",
}
DATASETS: dict[str, Dataset] = {}
FILES: dict[str, dict[str, bytes]] = {}


def prepare(folder: Path) -> None:
    """Make the trees."""
    for name in NAMES:
        DATASETS[name] = testing.make_dataset(name, folder / name, clips=12, seconds=0.2, sr=8000)
    for name, text in LISTS.items():
        DATASETS[name] = made = testing.make_dataset("folder", folder / name, clips=8, seconds=0.2, sr=8000)
        (made.root / name).write_text(text.format(*sorted(path.stem for path in made.root.glob("*.wav"))))
    for name, made in DATASETS.items():
        paths = sorted(path for path in made.root.rglob("*") if path.is_file() and path.suffix.lower() in TEXTS)
        FILES[name] = {path.relative_to(made.root).as_posix(): path.read_bytes() for path in paths}


def case(seed: int) -> tuple[str, bytes]:
    """Give a label file of a dataset, (dataset and path, content)."""
    rng = random.Random(seed)
    files = FILES[dataset := rng.choice(list(FILES))]
    folder = rng.choice(sorted({Path(name).parent for name in files}))  # of many alike one counts
    name = dataset if dataset in LISTS else rng.choice([name for name in files if Path(name).parent == folder])
    return f"{dataset}/{name}", damage(rng, files[name], list(files.values())[:20])


def attempts(folder: Path, name: str, content: bytes) -> Iterator[Callable[[], object]]:  # noqa: ARG001 - the tree lies elsewhere
    """Read the labels and all that follows from them."""
    dataset = DATASETS[name.partition("/")[0]]
    path = dataset.root / name.partition("/")[2]
    path.write_bytes(content)

    def read() -> None:
        clips = fresh(dataset).listed
        assert all(isinstance(clip, Clip) and not unsafe(clip.id) for clip in clips)
        for follow in (dataset.split, dataset.summary, lambda: dataset.validate(content=False, jobs=1)):
            with suppress(DatasetError):
                str(follow())

    try:
        yield read
    finally:
        path.write_bytes(FILES[dataset.root.name][name.partition("/")[2]])


def fresh(dataset: Dataset) -> Dataset:
    """Forget what was read."""
    for name in set(vars(dataset)) - set(vars(type(dataset)(dataset.root))):
        del vars(dataset)[name]
    return dataset
