"""What is computed on clusters of processes on this machine: the same bytes as without one, also where a worker is killed."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from dcasekit import audio
from dcasekit.features import MelSpectrogram
from dcasekit.models import CompactCNN

pytestmark = pytest.mark.usefixtures("one_thread")

# In a process of its own: what a cluster starts imports the script that started it.
SCRIPT = """
import json, os, signal, sys, threading, time
from functools import partial
from pathlib import Path
import numpy as np
from dcasekit import AugmentedDataset
from dcasekit.cli import app
from dcasekit.core.parallel import map_clips
from dcasekit.datasets import Folder
from dcasekit.features import MelSpectrogram
from dcasekit.metrics import bootstrap, paired

root, backend, victim = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "kill"
killed = []

def kill(workers, seen):
    for _ in range(3000):
        if seen():
            for pid in workers():
                os.kill(pid, signal.SIGKILL)
                killed.append(pid)
                return
        time.sleep(0.01)

def predict(name, *more):
    app(["predict", str(root / "rec"), "--model", str(root / "model"), "--out", str(root / name), "--write", "events,labels,windows,jams",
         "--threshold", "0.4", "--device", "cpu", "-q", *more], standalone_mode=False)

def extract(name, **more):
    features = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128)
    features.extract(Folder(root / "rec", cache=root / name, task="classification"), **more)

def augment(name, **more):
    data = Folder(root / "rec", cache=root / name, task="classification")
    AugmentedDataset(data, [{"type": "white_noise", "snr": 10}, {"type": "gain", "min_db": -6, "max_db": 0}]).process(**more)

def draw(name, marker, **more):
    right = np.random.default_rng(0).integers(2, size=(2, 40_000))
    def share(weights):
        (root / marker).touch()
        time.sleep(0.02)
        return weights @ np.concatenate([right[0], 0 * right[1]]) / weights[:, :40_000].sum(axis=1).clip(1)
    mapper = partial(map_clips, batch=1, **more) if more else None
    found = [paired.bootstrap(share, 40_000, mapper=mapper), paired.permutation(share, 40_000, repeats=500, mapper=mapper)]
    (root / name).mkdir()
    (root / name / "intervals.json").write_text(json.dumps(found))

def work(address, workers):
    def watch(seen):
        if victim:
            threading.Thread(target=kill, args=(workers, seen)).start()
    where = {"backend": backend, "address": address, "jobs": 2}
    watch(lambda: any((root / "cluster").rglob("*.jams")))
    predict("cluster", "--backend", backend, "--address", address, "--jobs", "2")
    watch(lambda: any((root / "store").rglob("part-*.log")))
    extract("store", **where)
    watch(lambda: any((root / "copies").rglob("*.wav.json")))
    augment("copies", **where)
    watch(lambda: (root / "drawing").exists())
    draw("drawn", "drawing", **where)

if __name__ == "__main__":
    if backend == "dask":
        from distributed import Client, LocalCluster
        with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
            work(cluster.scheduler_address, lambda: list(client.run(os.getpid).values())[:1])
    else:
        import psutil, ray
        ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
        busy = lambda: [p.pid for p in psutil.process_iter(["cmdline"]) if (p.info["cmdline"] or [""])[0].startswith("ray::_each")][:1]
        work("auto", busy)
        ray.shutdown()
    print(json.dumps(killed))
"""


def tree(folder, but=("run.json", ".lock", ".dcasekit", "journal.jsonl", "summary.json", "index.json")):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file() and path.name not in but}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    root = tmp_path_factory.mktemp("cluster")
    rng = np.random.default_rng(0)
    for number in range(40):
        path = root / "rec" / ("dog", "cat")[number % 2] / f"{number:02}.wav"
        path.parent.mkdir(parents=True, exist_ok=True)
        audio.write(path, (0.2 * rng.standard_normal(8000 * (1 + number % 3))).astype(np.float32), 8000)
    features = MelSpectrogram(sr=8000, audio_win=256, audio_hop=128, sequence_time=0.512, sequence_hop_time=0.256)
    model = CompactCNN().build((features.sequence_frames, features.dims), ("dog", "cat"), task="classification", seed=1)
    model.features = features
    model.save(root / "model")
    return root


@pytest.mark.timeout(300)
@pytest.mark.parametrize("victim", ["kill", "none"])
@pytest.mark.parametrize("backend", ["dask", "ray"])
def test_a_cluster_gives_the_same_bytes(world, tmp_path, backend, victim):
    pytest.importorskip({"dask": "distributed"}.get(backend, backend), reason=f"needs the extra {backend!r}")
    for name in ("rec", "model"):
        (tmp_path / name).symlink_to(world / name)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "RAY_DISABLE_IMPORT_WARNING": "1"}
    (tmp_path / "script.py").write_text(SCRIPT)
    command = [sys.executable, str(tmp_path / "script.py"), str(tmp_path), backend, victim]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout.splitlines()[-1])) == (4 if victim == "kill" else 0)
    local = (
        "import sys; from script import *; predict('local', '--jobs', '1'); extract('here', jobs=1); augment('own', jobs=1); "
        "draw('drawn here', 'drawing here')"
    )
    subprocess.run(
        [sys.executable, "-c", local, str(tmp_path), "none", "none"], env=environment, check=True, cwd=tmp_path, stdout=subprocess.DEVNULL
    )
    assert tree(tmp_path / "cluster") == tree(tmp_path / "local")
    assert tree(tmp_path / "store") == tree(tmp_path / "here")
    assert tree(tmp_path / "here")
    assert tree(tmp_path / "copies", but=(".lock", ".dcasekit")) == tree(tmp_path / "own", but=(".lock", ".dcasekit"))
    assert len(list((tmp_path / "copies").rglob("*.wav"))) == 80
    assert tree(tmp_path / "drawn") == tree(tmp_path / "drawn here")
    (difference, low, high), p = json.loads((tmp_path / "drawn" / "intervals.json").read_text())
    assert low < difference < high
    assert p == 1 / 501
