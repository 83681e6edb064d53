"""One function: map over clips, on this machine's cores or on a Dask or Ray cluster."""

import os
import threading
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from queue import Full, Queue
from typing import Any, Literal, TypeVar

from dcasekit.core.units import PathLike
from dcasekit.errors import MissingExtraError, WorkerError

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["processes", "threads", "dask", "ray"]

# Starting a worker process costs about a second, as much as so many clips of a few seconds each, or so many bytes of audio.
_ITEMS_WORTH_A_PROCESS = 100
_BYTES_WORTH_A_PROCESS = 32 << 20
# Items that travel at once to a cluster: ten million clips are 10,000 tasks.
_SHARD = 1000

# What joblib, Dask and Ray raise when a worker dies.
_KILLED = (
    "TerminatedWorkerError", "BrokenProcessPool", "KilledWorker",
    "WorkerCrashedError", "RayActorError", "ActorDiedError", "NodeDiedError", "OutOfMemoryError",
)  # fmt: skip


def map_clips(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int | None = None,
    backend: Backend = "processes",
    address: str | None = None,
    size: int = 0,
    batch: int | None = None,
    progress: str | None = None,
) -> Iterator[Result]:
    """Apply a function to every item and yield the results in order.

    Parameters
    ----------
    function : importable by name (a module's function or a `functools.partial` of one), because it is sent to the workers.
    items : what it is applied to, one call each.
    jobs : number of workers; ``None``: one per core that this process may use, and no more than the work is worth: a worker per 100 items
        or 32 MiB, whichever gives more.
    backend : ``"processes"`` or ``"threads"`` on this machine; ``"dask"`` or ``"ray"`` on a cluster, whose workers must see
        the same files (extras ``dask`` and ``ray``).
    size : bytes that the items stand for, see `total_size`; 0: not known.
    batch : items sent to a worker at a time; ``None``: as many as leave each worker several turns, so that the work is even and the
        progress bar moves; to a cluster 1,000 at most.
    address : of the cluster's scheduler, e.g. ``"tcp://10.0.0.1:8786"``; ``None`` starts a cluster on this machine.
    progress : description of a progress bar on standard error; ``None`` shows none.

    Raises
    ------
    WorkerError : a worker process was killed.

    Examples
    --------
    >>> list(map_clips(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1 or None (one per core); got {jobs}")
    jobs = jobs or _worthwhile_jobs(len(items), size)
    if jobs == 1 and backend in ("processes", "threads"):
        yield from track(map(function, items), len(items), progress)
        return
    if backend in ("processes", "threads"):
        batch = batch or evenly(len(items), jobs, most=32)
    clusters = {"dask": partial(_on_dask, address=address), "ray": partial(_on_ray, address=address)}
    results = clusters.get(backend, partial(_with_joblib, backend=backend))(function, items, jobs=jobs, batch=batch)
    try:
        yield from track(results, len(items), progress)
    except Exception as error:
        if type(error).__name__ not in _KILLED:
            raise
        raise WorkerError(
            f"a worker process was killed ({type(error).__name__}), most often because memory ran out; what is done is kept: "
            f"run it again, with fewer workers than {jobs} (jobs=, --jobs)"
        ) from error
    finally:
        results.close()


def _with_joblib(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int, batch: int | None, backend: Backend
) -> Generator[Result, None, None]:
    from joblib import Parallel, delayed

    with warnings.catch_warnings():
        # joblib renews a worker whose memory grew much, as it does when a large package is imported there, and warns of it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        kind = {"processes": "loky", "threads": "threading"}[backend]
        results = Parallel(n_jobs=jobs, batch_size=batch or 1, backend=kind, return_as="generator")(
            delayed(function)(item) for item in items
        )
        try:
            for result in results:  # noqa: UP028 - where the reader breaks off, `finally` is to come first
                yield result
        finally:
            _cancel(results)


def _on_dask(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int, batch: int | None, address: str | None
) -> Generator[Result, None, None]:
    """Map on a Dask cluster, by its own means: joblib's wait for ever for a task whose worker died."""
    try:
        from dask.distributed import Client
    except ImportError as error:
        raise MissingExtraError("dask.distributed", "dask") from error
    local = {} if address else {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
    with Client(address, **local) as client:
        batch = batch or evenly(len(items), sum(client.nthreads().values()) or jobs, most=_SHARD)
        batches = [items[first : first + batch] for first in range(0, len(items), batch)]
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Sending large graph", UserWarning)  # which a function's data may be
            shared = client.submit(_same, function, pure=False)  # once, not with every task
        futures = client.map(_each, batches, function=shared, pure=False)
        try:
            for future in futures:
                yield from future.result()
                future.release()  # what was read need not be kept there
        finally:
            client.cancel([*futures, shared])


def _on_ray(
    function: Callable[[Item], Result], items: Sequence[Item], *, jobs: int, batch: int | None, address: str | None
) -> Generator[Result, None, None]:
    """Map on a Ray cluster, by its own means: joblib's give nothing before all is done, and do no task again whose worker died."""
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray") from error
    started_here = not ray.is_initialized()
    if started_here:
        ray.init(address=address, num_cpus=None if address else jobs, include_dashboard=False, log_to_driver=False)
    try:
        batch = batch or evenly(len(items), int(ray.cluster_resources().get("CPU", jobs)), most=_SHARD)
        each, shared = ray.remote(max_retries=3)(_each), ray.put(function)
        tasks = [each.remote(items[first : first + batch], shared) for first in range(0, len(items), batch)]
        try:
            while tasks:
                yield from ray.get(tasks.pop(0))
        finally:
            for task in tasks:
                ray.cancel(task, force=True)
    finally:
        if started_here:
            ray.shutdown()


def evenly(items: int, workers: int, *, most: int) -> int:
    """Say how many items travel at once: as many as leave each worker several turns, and no more than `most`.

    >>> evenly(10_000_000, 1000, most=1000), evenly(100, 8, most=1000)
    (1000, 1)
    """
    return max(1, min(most, items // (8 * max(1, workers))))


def _each(items: Iterable[Item], function: Callable[[Item], Result]) -> list[Result]:
    return [function(item) for item in items]


def _same(function: Callable[[Item], Result]) -> Callable[[Item], Result]:
    return function


def total_size(paths: Iterable[PathLike]) -> int:
    """Add up the sizes of files, in bytes; one that is not there counts 0."""
    total = 0
    for path in paths:
        with suppress(OSError):
            total += os.stat(path).st_size
    return total


def usable_cores() -> int:
    """Count the cores that this process may use: those of its affinity, as far as its share in a container goes."""
    from joblib import cpu_count

    return int(cpu_count())


def _worthwhile_jobs(items: int, size: int) -> int:
    wanted = min(items, max(items // _ITEMS_WORTH_A_PROCESS, size // _BYTES_WORTH_A_PROCESS))
    return 1 if wanted <= 1 else min(wanted, usable_cores())


def track(iterable: Iterable[Result], total: int, progress: str | None) -> Iterator[Result]:
    """Pass items through, with a progress bar on standard error if `progress` names one."""
    if progress is None:
        yield from iterable
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(iterable, progress, total=total, console=Console(stderr=True), transient=True)


@contextmanager
def follow(title: str, total: int, *, shown: bool) -> Iterator[Callable[[int, str], None]]:
    """Tell on standard error how long work goes: a bar in a terminal, else a line per step; nothing unless it is to be shown.

    Yields a function of the steps done and how the last one went.
    """
    if not shown:
        yield lambda done, text: None  # noqa: ARG005 - nobody looks
        return
    from rich.console import Console
    from rich.markup import escape
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, soft_wrap=True)
    if not console.is_terminal:
        yield lambda done, text: console.print(f"{title}: {done} of {total}, {text}", markup=False, highlight=False)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[told]}"), console=console, transient=True) as bar:
        task = bar.add_task(escape(title), total=total, told="")
        yield lambda done, text: bar.update(task, completed=done, told=escape(text))


def prefetch(items: Iterable[Item], ahead: int) -> Iterator[Item]:
    """Pass items through, made by a thread of its own a few ahead of the reader; what it raises is raised here.

    >>> list(prefetch(range(3), 2))
    [0, 1, 2]
    """
    queue: Queue[tuple[Item | None, BaseException | None]] = Queue(maxsize=ahead)
    stopped = threading.Event()

    def put(item: Item | None, error: BaseException | None) -> None:
        while not stopped.is_set():
            with suppress(Full):
                queue.put((item, error), timeout=0.1)
                return

    def work() -> None:
        try:
            for item in items:
                put(item, None)
                if stopped.is_set():
                    return
        except BaseException as error:  # noqa: BLE001 - raised where the items are read
            put(None, error)
        else:
            put(None, StopIteration())

    worker = threading.Thread(target=work, name="dcasekit-prefetch", daemon=True)
    worker.start()
    try:
        while True:
            item, error = queue.get()
            if isinstance(error, StopIteration):
                return
            if error is not None:
                raise error
            yield item  # type: ignore[misc]
    finally:
        stopped.set()
        worker.join()


def _cancel(results: Iterable[Any]) -> None:
    """Stop work whose results are not wanted any more; whoever stopped reading knows why, joblib's warning adds nothing."""
    if isinstance(results, Generator):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\d+ tasks (which were still being|have been successfully)", UserWarning)
            results.close()
