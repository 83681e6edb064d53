"""What is killed: commands and calls that write, each on small inputs of its own."""

import http.server
import sys
import threading
import zipfile
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from pathlib import Path

import numpy as np

import dcasekit.containers.keras
import dcasekit.containers.sklearn
import dcasekit.containers.torch  # noqa: F401 - once, before children are forked
from dcasekit import cli, testing
from dcasekit.datasets import ESC50, Soundscapes
from dcasekit.download import RemoteFile, download

SMALL = ["-F", "sr=8000", "-F", "audio_win=256", "-F", "audio_hop=200", "-F", "mel.bands=8", "-F", "sequence_time=0.5"]
MLP = ["-M", "hidden_layers_size=[4]", "-M", "dropout_rates=[0.2]", "-T", "device=cpu"]


def run(*args: object) -> None:
    """Run a command of dcasekit."""
    sys.argv = ["dcasekit", *map(str, args)]
    try:
        cli.app(prog_name="dcasekit", standalone_mode=True)
    except SystemExit as end:
        if end.code:
            raise


def inputs(folder: Path) -> None:
    """Make what the commands read."""
    testing.make_dataset("esc50", folder / "esc50", clips=20, seconds=0.6, sr=8000)
    testing.make_dataset("urban_sound8k", folder / "urban_sound8k", clips=40, seconds=0.6, sr=22050)
    testing.make_dataset("urban_sed", folder / "urban_sed", clips=20, seconds=0.6, sr=8000)
    (folder / "served").mkdir()
    (folder / "served" / "list.csv").write_bytes(np.random.default_rng(0).bytes(200_000))
    with zipfile.ZipFile(folder / "served" / "audio.zip", "w") as archive:
        for number in range(20):
            archive.writestr(f"top/audio/{number}.bin", np.random.default_rng(number).bytes(20_000))
    run(
        *("train", "--dataset", "esc50", "--data", folder / "esc50", "--cache", folder / "cache", "--model", "mlp"),
        *(*SMALL, *MLP, "--epochs", 1, "--out", folder / "run"),
    )


def serve(folder: Path) -> int:
    """Serve a folder from a thread; give the port."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def fetch(inputs: Path, out: Path, *, port: int) -> None:
    files = [RemoteFile(f"http://127.0.0.1:{port}/{name}") for name in ("audio.zip", "list.csv")]
    download(files, out / "data", flatten="top")


def train(inputs: Path, out: Path, *, model: str, folds: bool = False, waveforms: bool = False) -> None:
    more = ["--epochs", 4, *MLP] if "mlp" in model else []
    more += ["--buffer", 8, "--front-end", "device", "-F", "log.top_db=none"] if waveforms else []
    given = ["--dataset", "esc50", "--data", inputs / "esc50", "--cache", out / "cache", "--model", model, *SMALL]
    more += ["--fold", "all", "-A", "reverse"] if folds else []
    run("train", *given, *more, "--scores", out / "scores", "--out", out / "run")


def tune(inputs: Path, out: Path) -> None:
    given = ["--dataset", "esc50", "--data", inputs / "esc50", "--cache", out / "cache", "--epochs", 3]
    run("fine-tune", "--model", inputs / "run" / "model", *given, "--freeze", "none", "--out", out / "run")


def extract(inputs: Path, out: Path, *, jobs: int) -> None:
    run("extract", "--dataset", "esc50", "--data", inputs / "esc50", *SMALL, "--cache", out, "--jobs", jobs)


def augment(inputs: Path, out: Path) -> None:
    run("augment", "--dataset", "esc50", "--data", inputs / "esc50", "-A", "gain:min_db=3,max_db=3", "-A", "reverse", "--cache", out)


def resample(inputs: Path, out: Path) -> None:
    ESC50(inputs / "esc50", cache=out).change_sampling_rate(4000)


def mix(inputs: Path, out: Path) -> None:
    Soundscapes(out, foreground=ESC50(inputs / "esc50"), clips=8, seconds=2.0).download()


def convert(inputs: Path, out: Path, *, form: str) -> None:
    run("datasets", "convert", "urban_sed", "--data", inputs / "urban_sed", "--to", form, "--out", out)


def split(inputs: Path, out: Path) -> None:
    run("datasets", "split", "esc50", "--data", inputs / "esc50", "--out", out)


def evaluate(inputs: Path, out: Path) -> None:
    given = ["--dataset", "esc50", "--data", inputs / "esc50", "--cache", out / "cache"]
    run("evaluate", "--model", inputs / "run" / "model", *given, "--scores", out / "scores", "--out", out / "report")


def score(inputs: Path, out: Path) -> None:
    reference = inputs / "urban_sed" / "annotations" / "test"
    run("score", "--reference", reference, "--estimate", reference, "--metric", "event_f1", "--html", out / "page.html")


def predict(inputs: Path, out: Path) -> None:
    with (out / "answers.tsv").open("w") as file, redirect_stdout(file):
        run("predict", *sorted((inputs / "esc50" / "audio").iterdir()), "--model", inputs / "run" / "model", "--format", "tsv")


def export(inputs: Path, out: Path) -> None:
    run("models", "export", inputs / "run" / "model", "--to", out / "model.pt2")


def recipe(inputs: Path, out: Path, *, name: str, settings: list[str], runs: int = 1) -> None:
    # Of synthetic sounds in float32 libsndfile notes when they were written; whoever notes what it was made of, reads sounds that stay.
    given = {"esc10": "esc50", "esc10_nested": "esc50", "backends": "esc50", "salamon2017_sbcnn": "urban_sound8k"}.get(name)
    data = ["--data", inputs / given] if given else []
    more = ["--runs", runs] if runs > 1 else []
    run("run", name, "--quick", *data, *(word for setting in settings for word in ("--set", setting)), *more, "--out", out)


def scenarios(port: int) -> dict[str, Callable[[Path, Path], None]]:
    """Name -> what is run, of the folder of the inputs and that of the outputs."""
    return {
        "extract": partial(extract, jobs=1),
        "augment": augment,
        "train": partial(train, model="mlp"),
        "train keras": partial(train, model="keras.mlp"),
        "train sklearn": partial(train, model="sklearn.logistic_regression"),
        "train on waveforms": partial(train, model="mlp", waveforms=True),
        "train on all folds": partial(train, model="mlp", folds=True),
        "fine-tune": tune,
        "download": partial(fetch, port=port),
        "resample": resample,
        "convert": partial(convert, form="jams"),
        "convert to a list": partial(convert, form="events"),
        "split": split,
        "evaluate": evaluate,
        "score": score,
        "predict": predict,
        "soundscapes": mix,
        "quickstart": partial(recipe, name="quickstart", settings=["seconds=1", "clips=100", "epochs=1"]),
        "quickstart twice": partial(recipe, name="quickstart", settings=["seconds=1", "clips=100", "epochs=1"], runs=2),
        "esc10": partial(recipe, name="esc10", settings=["epochs=2"]),
        "esc10_nested": partial(recipe, name="esc10_nested", settings=["seeds=1"]),
        "esc10_yamnet": partial(recipe, name="esc10_yamnet", settings=[]),
        "asc_tutorial": partial(recipe, name="asc_tutorial", settings=["epochs=3", "best_from=1", "clips=60"]),
        "dcase2018_task4": partial(
            recipe, name="dcase2018_task4", settings=["epochs=4", "delay=1", "clips=48", "filters=[2,2,2]", "units=2"]
        ),
        "dcase2023_task4a": partial(
            recipe, name="dcase2023_task4a", settings=["epochs=3", "clips=98", "batch=[2,2,2]", "filters=[2,2,2,2]", "units=2"]
        ),
        "dcase2024_task4": partial(
            recipe, name="dcase2024_task4", settings=["epochs=3", "clips=98", "batch=[2,1,1,2,2]", "filters=[2,2,2,2]", "units=2"]
        ),
        "extract in two processes": partial(extract, jobs=2),
        "backends": partial(recipe, name="backends", settings=[]),
        "dcase2023_task4b": partial(recipe, name="dcase2023_task4b", settings=["seconds=2", "window=2", "epochs=3"]),
        "dcasenet": partial(recipe, name="dcasenet", settings=["epochs=2", "steps=2"]),
        "salamon2017_sbcnn": partial(recipe, name="salamon2017_sbcnn", settings=["folds=1", "snrs=[]", "epochs=2", "filters=[4,4,4]"]),
        "salamon2017_scaper": partial(recipe, name="salamon2017_scaper", settings=["clips=60", "epochs=3"]),
        "adavanne2017_acrnn": partial(recipe, name="adavanne2017_acrnn", settings=["epochs=2", "filters=4"]),
        "export": export,
        "zinemanas2019_endtoend": partial(
            recipe, name="zinemanas2019_endtoend", settings=["clips=30", "epochs=3", "front_epochs=2", "pair_epochs=2", "filters=8"]
        ),
        "zinemanas2019_mavd": partial(recipe, name="zinemanas2019_mavd", settings=["clips=30", "epochs=2", "filters=8"]),
        "dcase2025_task1": partial(recipe, name="dcase2025_task1", settings=["epochs=4", "tuned_epochs=2", "rise=4", "clips=120"]),
        "dcase2020_task1": partial(recipe, name="dcase2020_task1", settings=["epochs=4"]),
    }
