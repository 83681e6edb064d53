"""DESED: sound event detection at home from weak, unlabelled and synthetic clips, 10 classes."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from dcasekit.annotations import Clip, events_to_tags, read_events, read_tag_list
from dcasekit.datasets._protocols import TrainValidateTest
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.errors import DatasetError

# Fold -> its list below metadata, and the folder of its clips below audio.
_STRONG = {
    "strong": ("train/audioset_strong.tsv", "train/strong_label_real"),
    "synthetic": ("train/synthetic21_train/soundscapes.tsv", "train/synthetic21_train/soundscapes"),
    "synthetic_validation": ("validation/synthetic21_validation/soundscapes.tsv", "validation/synthetic21_validation/soundscapes"),
    "validation": ("validation/validation.tsv", "validation/validation"),
    "public": ("eval/public.tsv", "eval/public"),
}


class DESED(Dataset):
    """DESED, as DCASE 2021 to 2024 task 4 use it: clips of 10 s, ten classes of sounds at home, recorded (AudioSet) and synthetic.

    Folds: weak (1,578 clips with labels, without times), unlabelled (14,412), synthetic (10,000 soundscapes, times known), strong (3,470
    recorded clips with times, which a system may leave out and says so), synthetic_validation (2,500), validation (1,168 recorded clips)
    and public (692, the evaluation set of 2019). Results are published on validation and on public, each tested on by itself; a system is
    chosen on synthetic_validation, and on a tenth of weak, which is yours to draw. `split` trains on weak, unlabelled and synthetic. A
    recorded clip's group is its film. The list of strong clips names films that are in validation, too: these clips are left out.

    **The recorded audio is handed out on request** (AudioSet's films), and many copies lack some of it. Clips without a file are left out
    and counted as `missing`; numbers from different copies are compared with care.

    Layout, that of the baseline (github.com/DCASE-REPO/DESED_task): ``metadata/train/{weak,audioset_strong}.tsv``,
    ``metadata/validation/validation.tsv``, ``metadata/eval/public.tsv``,
    ``audio/{train/weak,train/unlabel_in_domain,train/strong_label_real,validation/validation,eval/public}/*.wav``; and, in the same folders
    or in ``dcase_synth``, ``metadata/{train/synthetic21_train,validation/synthetic21_validation}/soundscapes.tsv``,
    ``audio/{train/synthetic21_train,validation/synthetic21_validation}/soundscapes/*.wav``. The columns are ``filename``, ``event_labels``
    of weak, else ``filename``, ``onset``, ``offset``, ``event_label``. What is not there is no fold; weak and validation must be.
    Known from code that reads the files: none was seen.

    Examples
    --------
    >>> DESED("/data/desed").folds
    ('weak', 'unlabelled', 'synthetic', 'strong', 'synthetic_validation', 'validation', 'public')
    """

    task = "detection"
    labels = (
        "Alarm_bell_ringing", "Blender", "Cat", "Dishes", "Dog",
        "Electric_shaver_toothbrush", "Frying", "Running_water", "Speech", "Vacuum_cleaner",
    )  # fmt: skip
    folds = ("weak", "unlabelled", "synthetic", "strong", "synthetic_validation", "validation", "public")
    protocol = TrainValidateTest(
        train=("weak", "unlabelled", "synthetic"), validate=("synthetic_validation",), test=("validation", "public")
    )
    files_may_lack = True
    licence = "CC BY 4.0 for lists and soundscapes; each recorded sound is its uploader's, under YouTube's terms"
    citation = "N. Turpault, R. Serizel, A. Parag Shah, J. Salamon, 'Sound event detection in domestic environments with weakly labeled data and soundscape synthesis', DCASE Workshop, 2019. Synthetic clips: R. Serizel, N. Turpault, A. Shah, J. Salamon, 'Sound event detection in synthetic domestic environments', ICASSP, 2020"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the lists in ``metadata``."""
        metadata, clips = self.root / "metadata", self.root / "audio" / "train" / "unlabel_in_domain"
        for name, tags in read_tag_list(metadata / "train" / "weak.tsv").items():
            yield _clip(self.root / "audio" / "train" / "weak" / name, "weak", tags=tags)
        listed = metadata / "train" / "unlabel_in_domain.tsv"
        names = [row["filename"] for row in read_table(listed, ("filename",))] if listed.exists() else _names(clips)
        for name in names:
            yield _clip(clips / name, "unlabelled")
        tested = {_film(name) for name in read_events(metadata / _STRONG["validation"][0])}
        for fold in _STRONG:
            for clip in self._strong(fold):
                if fold != "strong" or clip.group not in tested:
                    yield clip

    def _strong(self, fold: str) -> Iterator[Clip]:
        table, folder = _STRONG[fold]
        for root in (self.root, self.root / "dcase_synth"):
            if (path := root / "metadata" / table).exists():
                for name, events in read_events(path).items():
                    yield _clip(root / "audio" / folder / name, fold, tags=events_to_tags(events), events=tuple(events))
                return

    def download(self, *, force: bool = False, progress: bool = False) -> bool:  # noqa: ARG002
        """Say how to come by the files; there is nothing to fetch. ``False`` once they are marked as there, see `set_as_downloaded`.

        Raises
        ------
        DatasetError : they are not.
        """
        if not force and self.check_if_downloaded():
            return False
        raise DatasetError(
            f"{self.name} has no archive of its own: fetch the recorded clips and the lists with generate_dcase_task4_2023.py of "
            f"github.com/DCASE-REPO/DESED_task, recipes/dcase2023_task4_baseline, the soundscapes from zenodo.org/record/6026841, and put "
            f"metadata and audio into {self.root}; missing clips are left out and counted"
        )


def _clip(path: Path, fold: str, **known: object) -> Clip:
    """Make a clip; films and soundscapes of several folds have the same file names."""
    return Clip(id=f"{fold}/{path.stem}", path=path, fold=fold, group=_film(path.name) or f"{fold}/{path.stem}", **known)  # type: ignore[arg-type]


def _film(name: str) -> str:
    """Name the film that a recorded clip, ``Y<film>_<start>_<end>.wav``, was cut from."""
    return name[1:12] if name.startswith("Y") and len(name) > 12 and name[12] == "_" else ""


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.wav"))
