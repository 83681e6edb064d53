"""FSDKaggle2019: tagging of Freesound clips with few clean and many noisy labels, 80 classes."""

from collections.abc import Iterable
from os.path import splitext

from dcasekit.annotations import Clip
from dcasekit.datasets._protocols import TrainTest
from dcasekit.datasets._tables import read_table
from dcasekit.datasets.base import Dataset
from dcasekit.download import RemoteFile

_FOLDS = {  # fold: its table, and the column that names what a clip was taken from
    "train_curated": ("train_curated_post_competition.csv", "freesound_id"),
    "train_noisy": ("train_noisy_post_competition.csv", "flickr_video_URL"),
    "test": ("test_post_competition.csv", "freesound_id"),
}
_PARTS = {"audio_train_curated": "audio/train_curated", "audio_test": "audio/test", "meta": "meta", "doc": "doc"}
_NOISY = ("z01", "z02", "z03", "z04", "z05", "z06", "zip")  # one archive in seven parts
_RENAMED = dict.fromkeys(("f76181c4", "77b925c2", "6a1f682a", "c7db12aa", "7752cc8a"), "wrong label")
_PROBLEMS = {f"train_curated/{name}": problem for name, problem in (_RENAMED | {"1d44b0bd": "no signal"}).items()}


class FSDKaggle2019(Dataset):
    """FSDKaggle2019: 29,266 clips of 0.3 to 30 s with some of 80 AudioSet labels (DCASE 2019, task 2).

    44.1 kHz, mono, 16 bit, some 25 GB. Folds: train_curated (4,970 Freesound clips, 10.5 h, labels right but perhaps not all), train_noisy
    (19,815 soundtracks of Flickr videos, 80 h, labelled by a machine: many are wrong), test (4,481 Freesound clips, 12.9 h, all labels;
    ``extra["usage"]`` is ``"Public"`` or ``"Private"``, the challenge's leaderboard). Both train folds are trained on;
    ``select(["train_curated"])`` gives the clean ones. The challenge's score is lwlrap on the private test clips.

    Six curated clips are known to be bad and stay in, as published: ``extra["known_problem"]`` is ``"wrong label"`` (five) or
    ``"no signal"`` (one, which `validate` reports as silent).

    A clip's group is its Freesound sound or Flickr video within its fold, so that the published split stands as it is. **Checksums of
    the archives are not published where we could read them: what the server sends is taken as it is**, but each archive checks its members.

    Layout: ``audio/<fold>/*.wav``, ``meta/train_curated_post_competition.csv``, ``meta/train_noisy_post_competition.csv``,
    ``meta/test_post_competition.csv``; several labels of a clip stand in one cell, with commas between.

    Examples
    --------
    >>> FSDKaggle2019("/data/FSDKaggle2019").labels[-1]
    'Zipper_(clothing)'
    """

    task = "tagging"
    labels = (
        "Accelerating_and_revving_and_vroom", "Accordion", "Acoustic_guitar", "Applause", "Bark", "Bass_drum", "Bass_guitar",
        "Bathtub_(filling_or_washing)", "Bicycle_bell", "Burping_and_eructation", "Bus", "Buzz", "Car_passing_by", "Cheering",
        "Chewing_and_mastication", "Child_speech_and_kid_speaking", "Chink_and_clink", "Chirp_and_tweet", "Church_bell", "Clapping",
        "Computer_keyboard", "Crackle", "Cricket", "Crowd", "Cupboard_open_or_close", "Cutlery_and_silverware",
        "Dishes_and_pots_and_pans", "Drawer_open_or_close", "Drip", "Electric_guitar", "Fart", "Female_singing",
        "Female_speech_and_woman_speaking", "Fill_(with_liquid)", "Finger_snapping", "Frying_(food)", "Gasp", "Glockenspiel", "Gong",
        "Gurgling", "Harmonica", "Hi-hat", "Hiss", "Keys_jangling", "Knock", "Male_singing", "Male_speech_and_man_speaking",
        "Marimba_and_xylophone", "Mechanical_fan", "Meow", "Microwave_oven", "Motorcycle", "Printer", "Purr", "Race_car_and_auto_racing",
        "Raindrop", "Run", "Scissors", "Screaming", "Shatter", "Sigh", "Sink_(filling_or_washing)", "Skateboard", "Slam", "Sneeze",
        "Squeak", "Stream", "Strum", "Tap", "Tick-tock", "Toilet_flush", "Traffic_noise_and_roadway_noise", "Trickle_and_dribble",
        "Walk_and_footsteps", "Water_tap_and_faucet", "Waves_and_surf", "Whispering", "Writing", "Yell", "Zipper_(clothing)",
    )  # fmt: skip
    folds = tuple(_FOLDS)
    protocol = TrainTest(train=("train_curated", "train_noisy"), test=("test",))
    archives = tuple(
        RemoteFile(f"https://zenodo.org/records/3612637/files/FSDKaggle2019.{name}", into=into)
        for name, into in (
            *((f"{part}.zip", into) for part, into in _PARTS.items()),
            *((f"audio_train_noisy.{end}", "audio/train_noisy") for end in _NOISY),
        )
    )
    flatten = tuple(f"FSDKaggle2019.{part}" for part in (*_PARTS, "audio_train_noisy"))
    licence = "CC BY 4.0 as a whole; each clip's own licence (CC0, CC BY, CC BY-SA, CC BY-NC or CC Sampling+) is in extra['license']"
    citation = "E. Fonseca, M. Plakal, F. Font, D. P. W. Ellis, X. Serra, 'Audio Tagging with Noisy Labels and Minimal Supervision', DCASE Workshop, 2019. arXiv:1906.02975"  # noqa: E501

    def load(self) -> Iterable[Clip]:
        """Read the three tables in ``meta``."""
        for fold, (table, source) in _FOLDS.items():
            usage = ("usage",) if fold == "test" else ()
            for row in read_table(self.root / "meta" / table, ("fname", "labels", source, "license", *usage)):
                name = f"{fold}/{splitext(row['fname'])[0]}"
                extra = {name: text for name, text in row.items() if name not in ("fname", "labels")}
                yield Clip(
                    id=name,
                    path=self.root / "audio" / fold / row["fname"],
                    fold=fold,
                    group=f"{fold}/{row[source]}",
                    tags=dict.fromkeys(row["labels"].split(","), 1.0),
                    extra=extra | ({"known_problem": _PROBLEMS[name]} if name in _PROBLEMS else {}),
                )
