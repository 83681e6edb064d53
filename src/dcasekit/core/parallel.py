"""One function: map over clips, on this machine's cores or on a Dask or Ray cluster."""

import os
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal, TypeVar

from dcasekit.errors import MissingExtraError

Item = TypeVar("Item")
Result = TypeVar("Result")
Backend = Literal["processes", "threads", "dask", "ray"]

# Starting a worker process costs about a second, as much as this many clips of a few seconds each.
_CLIPS_WORTH_A_PROCESS = 100


def map_clips(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    jobs: int | None = None,
    backend: Backend = "processes",
    address: str | None = None,
    progress: str | None = None,
) -> Iterator[Result]:
    """Apply a function to every item and yield the results in order.

    Parameters
    ----------
    function : importable by name (a module's function or a `functools.partial` of one), because it travels.
    items : what it is applied to, one call each.
    jobs : number of workers; ``None`` takes one per core, but one process alone for fewer than some 100 items.
    backend : ``"processes"`` or ``"threads"`` on this machine; ``"dask"`` or ``"ray"`` on a cluster, whose workers must see
        the same files (extras ``dask`` and ``ray``).
    address : of the cluster's scheduler, e.g. ``"tcp://10.0.0.1:8786"``; ``None`` starts a cluster on this machine.
    progress : description of a progress bar on standard error; ``None`` shows none.

    Examples
    --------
    >>> list(map_clips(abs, [-1, 2, -3]))
    [1, 2, 3]
    """
    if jobs is not None and jobs < 1:
        raise ValueError(f"jobs must be at least 1 or None (one per core); got {jobs}")
    jobs = jobs or min(os.cpu_count() or 1, max(1, len(items) // _CLIPS_WORTH_A_PROCESS))
    if jobs == 1 and backend in ("processes", "threads"):
        yield from track(map(function, items), len(items), progress)
        return
    from joblib import Parallel, delayed

    with _cluster(backend, address, jobs) as config, warnings.catch_warnings():
        # joblib renews a worker whose memory grew much, as it does when a large package is imported there, and warns of it.
        warnings.filterwarnings("ignore", message="A worker stopped while some jobs")
        # Several items travel at once; few enough for the work to be even and for the progress bar to move.
        batch = max(1, min(32, len(items) // (8 * jobs)))
        results = Parallel(n_jobs=jobs, batch_size=batch, **config)(delayed(function)(item) for item in items)
        tracked = track(results, len(items), progress)
        try:
            for result in tracked:  # noqa: UP028 - where the reader breaks off, `finally` is to come first
                yield result
        finally:
            _cancel(results)


def track(iterable: Iterable[Result], total: int, progress: str | None) -> Iterator[Result]:
    """Pass items through, with a progress bar on standard error if `progress` names one."""
    if progress is None:
        yield from iterable
        return
    from rich.console import Console
    from rich.progress import track as rich_track

    yield from rich_track(iterable, progress, total=total, console=Console(stderr=True), transient=True)


def _cancel(results: Iterable[Any]) -> None:
    """Stop work whose results are not wanted any more; whoever stopped reading knows why, joblib's warning adds nothing."""
    if isinstance(results, Generator):
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"\d+ tasks (which were still being|have been successfully)", UserWarning)
            results.close()


@contextmanager
def _cluster(backend: Backend, address: str | None, jobs: int) -> Iterator[dict[str, Any]]:
    """Connect to the cluster for as long as the map lasts; give joblib's settings for it."""
    from joblib import parallel_config

    if backend == "dask":
        try:
            from dask.distributed import Client
        except ImportError as error:
            raise MissingExtraError("dask.distributed", "dask") from error
        local = {} if address else {"n_workers": jobs, "threads_per_worker": 1, "dashboard_address": None}
        with Client(address, **local), parallel_config(backend="dask"):
            yield {"return_as": "generator"}
    elif backend == "ray":
        try:
            import ray
            from ray.util.joblib import register_ray
        except ImportError as error:
            raise MissingExtraError("ray", "ray") from error
        started_here = not ray.is_initialized()
        if started_here:
            ray.init(address=address, num_cpus=None if address else jobs, include_dashboard=False, log_to_driver=False)
        register_ray()
        try:
            with parallel_config(backend="ray"):
                yield {"return_as": "list"}  # Ray's backend for joblib knows no generators
        finally:
            if started_here:
                ray.shutdown()
    else:
        yield {"backend": {"processes": "loky", "threads": "threading"}[backend], "return_as": "generator"}
