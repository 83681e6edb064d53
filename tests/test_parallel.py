"""Mapping over clips: the same results in the same order, wherever the work is done."""

import os
import pickle
import re
import subprocess
import sys
import threading
from functools import partial

import pytest

from dcasekit.core import parallel
from dcasekit.core.parallel import map_clips, total_size
from dcasekit.errors import DcasekitError, MissingExtraError, WorkerError

LOCAL = pytest.mark.parametrize(
    ("backend", "jobs"), [("processes", 1), ("processes", 2), ("threads", 1), ("threads", 3), ("processes", None), ("threads", None)]
)

NEEDS_RAY = "not in the extra 'test', as it is large: python -m pip install 'dcasekit[ray]'"

# The functions that travel are built in or wrapped ones: a worker does not know this file as a module.
SQUARE = partial(pow, exp=2)
INVERSE = partial(divmod, 12)  # divmod(12, x): fails at 0


@LOCAL
@pytest.mark.parametrize("count", [0, 1, 3, 50])
def test_results_come_in_the_order_of_the_items(backend, jobs, count):
    assert list(map_clips(SQUARE, range(count), jobs=jobs, backend=backend)) == [x**2 for x in range(count)]


@LOCAL
def test_an_error_reaches_the_caller_as_it_is(backend, jobs):
    with pytest.raises(ZeroDivisionError):
        list(map_clips(INVERSE, [3, 2, 0, 1], jobs=jobs, backend=backend))


@LOCAL
def test_what_came_before_an_error_was_given(backend, jobs):
    results = map_clips(INVERSE, [6, 5, 0], jobs=jobs, backend=backend)
    if jobs in (1, None):  # with several workers the error may come first
        assert next(results) == (2, 0)
    with pytest.raises(ZeroDivisionError):
        list(results)


@LOCAL
def test_a_reader_may_stop_early_without_a_warning(backend, jobs):
    results = map_clips(abs, list(range(-300, 0)), jobs=jobs, backend=backend)
    assert next(results) == 300
    results.close()


def test_workers_are_other_processes_threads_or_this_one():
    here = os.getpid()
    assert set(map_clips(partial(eval, "__import__('os').getpid()"), [{}] * 4, jobs=1)) == {here}
    assert here not in set(map_clips(partial(eval, "__import__('os').getpid()"), [{}] * 4, jobs=2))
    threads = set(map_clips(lambda _: threading.get_ident(), range(50), jobs=2, backend="threads"))
    assert threading.get_ident() not in threads


GB = 1 << 30


@pytest.mark.parametrize(
    ("items", "size", "cores", "expected"),
    [
        (49, GB, 8, 8),  # MAESTRO: 49 recordings of 3 to 5 minutes
        (49, GB, 64, 32),
        (3, GB, 8, 3),
        (240, 100 << 20, 2, 2),
        (99, 1 << 20, 8, 1),
        (10_000, 0, 8, 8),
        (1, 10 * GB, 8, 1),
        (0, 0, 8, 1),
    ],
)
def test_workers_are_as_many_as_the_work_is_worth_and_the_process_may_use(monkeypatch, items, size, cores, expected):
    monkeypatch.setattr("joblib.cpu_count", lambda: cores)
    assert parallel._worthwhile_jobs(items, size) == expected


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="affinity is Linux's")
def test_workers_follow_the_affinity_of_the_process():
    code = "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); from dcasekit.core import parallel; "
    code += "print(parallel._worthwhile_jobs(1000, 0))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


def test_sizes_of_files_are_added_up_and_one_that_lacks_counts_nothing(tmp_path):
    for name, size in (("a", 3), ("b", 4)):
        (tmp_path / name).write_bytes(bytes(size))
    assert total_size([tmp_path / "a", tmp_path / "b", tmp_path / "c"]) == 7


def test_a_killed_worker_is_one_line_that_says_what_to_do():
    kill = partial(eval, "__import__('os').kill(__import__('os').getpid(), 9)")
    with pytest.raises(
        WorkerError, match=r"a worker process was killed .*memory.*what is done is kept.*fewer workers than 2 \(jobs=, --jobs\)"
    ):
        list(map_clips(kill, [{}] * 4, jobs=2))
    assert list(map_clips(abs, [-1, -2], jobs=2)) == [1, 2], "the next map has new workers"


def test_an_error_about_a_missing_package_travels_from_a_worker():
    error = pickle.loads(pickle.dumps(MissingExtraError("sox", "sox")))
    assert str(error) == str(MissingExtraError("sox", "sox"))


@pytest.mark.parametrize("jobs", [0, -1])
def test_less_than_one_worker_is_refused(jobs):
    with pytest.raises(ValueError, match=f"at least 1 or None .*; got {jobs}"):
        list(map_clips(abs, [1], jobs=jobs))


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_progress_bar_goes_to_standard_error_and_changes_nothing(capsys, jobs):
    assert list(map_clips(abs, [-1, 2, -3], jobs=jobs, backend="threads", progress="Counting")) == [1, 2, 3]
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(("backend", "module", "line"), [("dask", "dask.distributed", "dcasekit[dask]"), ("ray", "ray", "dcasekit[ray]")])
def test_a_missing_extra_says_how_to_install_it(monkeypatch, backend, module, line):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(MissingExtraError) as caught:
        list(map_clips(abs, [1, 2], backend=backend))
    assert f"{module} is not installed" in str(caught.value)
    assert f"pip install '{line}'" in str(caught.value)
    assert isinstance(caught.value, DcasekitError)
    assert isinstance(caught.value, ImportError)


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore:.*:ResourceWarning")  # sockets and loops of a cluster that is closing
@pytest.mark.filterwarnings("ignore:.*:DeprecationWarning:(distributed|tornado|dask)")
def test_a_dask_cluster_gives_the_same_results_and_errors():
    distributed = pytest.importorskip("distributed", reason="needs the extra 'dask'")
    settings = {"n_workers": 2, "threads_per_worker": 1, "processes": False, "dashboard_address": None, "protocol": "tcp"}
    with distributed.LocalCluster(host="127.0.0.1", **settings) as cluster:
        over = partial(map_clips, backend="dask", address=cluster.scheduler_address)
        assert list(over(SQUARE, range(50))) == [x**2 for x in range(50)]
        assert list(over(SQUARE, [], jobs=2)) == []
        with pytest.raises(ZeroDivisionError):
            list(over(INVERSE, [3, 0, 1], jobs=2))
        assert list(over(SQUARE, [3], jobs=2)) == [9], "an error leaves the cluster usable"
        results = over(SQUARE, range(300))
        assert [next(results), next(results)] == [0, 1]
        results.close()  # the reader may stop early
    assert list(map_clips(SQUARE, range(5), jobs=2, backend="dask")) == [0, 1, 4, 9, 16], "a cluster of its own"


KILLS = """
import sys
from functools import partial
from dcasekit.core.parallel import map_clips
from dcasekit.errors import WorkerError
if __name__ == "__main__":
    try:
        list(map_clips(partial(eval, "__import__('os').kill(__import__('os').getpid(), 9)"), [{}] * 4, jobs=2, backend=sys.argv[1]))
    except WorkerError as error:
        print(error)
"""


@pytest.mark.timeout(120)
def test_a_killed_worker_of_a_dask_cluster_is_one_line_too(tmp_path):
    """joblib's backend for Dask waits for ever for it."""
    pytest.importorskip("distributed", reason="needs the extra 'dask'")
    (tmp_path / "kills.py").write_text(KILLS)
    # Dask starts the worker anew three times before it gives up a task; on a busy machine that takes a minute.
    once = {**os.environ, "DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "0"}
    done = subprocess.run([sys.executable, tmp_path / "kills.py", "dask"], env=once, capture_output=True, text=True, check=False)
    assert done.stdout.startswith("a worker process was killed (KilledWorker)"), done.stderr
    assert done.stdout.count("\n") == 1


@pytest.mark.timeout(180)
@pytest.mark.filterwarnings("ignore")  # Ray's own, of many kinds
def test_a_ray_cluster_gives_the_same_results_and_errors():
    ray = pytest.importorskip("ray", reason=NEEDS_RAY)
    assert list(map_clips(SQUARE, range(20), jobs=2, backend="ray")) == [x**2 for x in range(20)]
    with pytest.raises(ZeroDivisionError):
        list(map_clips(INVERSE, [3, 0, 1], jobs=2, backend="ray"))
    assert not ray.is_initialized(), "what was started here is stopped here"


@pytest.mark.timeout(180)
def test_a_killed_worker_of_a_ray_cluster_is_one_line_too(tmp_path):
    pytest.importorskip("ray", reason=NEEDS_RAY)
    (tmp_path / "kills.py").write_text(KILLS)
    done = subprocess.run([sys.executable, tmp_path / "kills.py", "ray"], capture_output=True, text=True, check=False)
    said = [line for line in done.stdout.splitlines() if "(raylet)" not in line]  # Ray reports deaths itself, too
    assert len(said) == 1, done.stdout + done.stderr
    assert re.match(r"a worker process was killed \(\w+\).*what is done is kept.*fewer workers than 2", said[0])
