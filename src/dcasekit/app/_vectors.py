"""Vectors of clips, computed beside the pages: a thread works one request off after the other, and what is done is kept on disk."""

import hashlib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from dcasekit.annotations import Clip
from dcasekit.containers.projection import project
from dcasekit.core.files import replacing
from dcasekit.core.units import FloatArray
from dcasekit.errors import DcasekitError, ModelError, first_line

VectorOf = Callable[[Clip], FloatArray]


@dataclass(eq=False)
class Cloud:
    """Clips as vectors, and as points in two dimensions.

    Parameters
    ----------
    clips : the clips that could be read.
    vectors : a vector for each clip, (clips, values).
    points : their projections, (clips, 2).
    """

    clips: Sequence[Clip]
    vectors: FloatArray
    points: FloatArray

    @cached_property
    def places(self) -> Mapping[str, int]:
        """Id of a clip -> its position."""
        return {clip.id: place for place, clip in enumerate(self.clips)}

    def point_of(self, clip: str | None) -> FloatArray | None:
        """Return the point of the clip with this id; ``None``: it is not among these clips."""
        place = self.places.get(clip or "")
        return None if place is None else np.asarray(self.points[place])


@dataclass(eq=False)
class Job:
    """A computation in progress: number of clips done and in all, what it is doing now, and its result when it is done."""

    total: int
    done: int = 0
    step: str = "listening to the clips"
    cloud: Future[Cloud] = field(default_factory=Future)


class Vectors:
    """The computations of one server; `folder` keeps vectors between starts."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._pool, self._lock = folder, ThreadPoolExecutor(1), threading.Lock()
        self._jobs: dict[tuple[str, str], Job] = {}

    def ask(self, what: str, clips: Sequence[Clip], method: str, make: Callable[[], VectorOf]) -> Job:
        """Return the job that computes a cloud; start it if it has not been started, or has failed.

        Parameters
        ----------
        what : name of the vectors and the clips; the same name means the same vectors.
        clips : the clips.
        method : method of projection, see `dcasekit.containers.projection.project`.
        make : function without arguments that returns the function from a clip to its vector; it is called in the working thread.
        """
        key = hashlib.sha256(what.encode(errors="replace")).hexdigest()[:32]
        with self._lock:
            job = self._jobs.get((key, method))
            if job is None or (job.cloud.done() and job.cloud.exception() is not None):
                job = self._jobs[key, method] = Job(len(clips))
                while len(self._jobs) > 16:
                    self._jobs.pop(next(iter(self._jobs)))
                self._pool.submit(self._work, job, key, method, clips, make)
        return job

    def _work(self, job: Job, key: str, method: str, clips: Sequence[Clip], make: Callable[[], VectorOf]) -> None:
        try:
            vectors, places = self._vectors(job, key, clips, make)
            job.step = "laying them out"
            job.cloud.set_result(Cloud([clips[at] for at in places], vectors, project(vectors, method)))  # type: ignore[arg-type]
        except Exception as error:  # whatever it is, the page says it
            job.cloud.set_exception(error if isinstance(error, DcasekitError) else ModelError(first_line(error)))

    def _vectors(self, job: Job, key: str, clips: Sequence[Clip], make: Callable[[], VectorOf]) -> tuple[FloatArray, list[int]]:
        kept = self._folder / f"{key}.npy"
        if kept.is_file():
            table = np.load(kept, allow_pickle=False)
            return table[:, 1:], table[:, 0].astype(int).tolist()
        vector_of, rows, problem = make(), [], None
        for at, clip in enumerate(clips):
            try:
                rows.append(np.append(np.float32(at), vector_of(clip).astype(np.float32)))
            except DcasekitError as error:
                problem = error
            job.done += 1
        if not rows:
            raise problem or ModelError("there are no clips")
        table = np.stack(rows)
        with replacing(kept) as temporary:
            np.save(temporary, table)
        return table[:, 1:], table[:, 0].astype(int).tolist()


def name_audio(clips: Sequence[Clip]) -> str:
    """Return a name for the audio of clips, which changes when their files change."""
    return hashlib.sha256("\n".join(map(_name, clips)).encode(errors="replace")).hexdigest()


def _name(clip: Clip) -> str:
    """Name a clip's audio as it is now."""
    try:
        about = os.stat(clip.path)
        return f"{clip.path} {clip.channel} {about.st_size} {about.st_mtime_ns}"
    except OSError:
        return f"{clip.path} is gone"
