"""Every error dcasekit raises on purpose, so that ``except DcasekitError`` catches them all and nothing else.

::

    DcasekitError
    ├── AnnotationError (ValueError)   events, clips, tags or a label file do not make sense
    ├── AudioError (OSError)           an audio file is missing, unreadable, empty or not finite
    ├── DatasetError                   files, meta data, folds or splits of a dataset are not as they should be
    │   └── DownloadError (OSError)    fetching or unpacking failed
    │       └── ChecksumError          the bytes are not those that were published
    ├── FeatureError (ValueError)      settings of a feature, a clip it cannot treat, or its store
    ├── ModelError (ValueError)        settings, shapes, weights or labels of a model
    ├── MetricError (ValueError)       what was asked to be scored cannot be scored
    ├── NameNotFoundError (LookupError)  no dataset, feature, model ... of that name
    ├── StorageError (OSError)         a file cannot be written: disk full, read-only, no locks, not ours, outside its folder
    ├── WorkerError (RuntimeError)     a worker process died
    └── MissingExtraError (ImportError)  an optional package is not installed

A message says what was given, what was expected and how to mend it, and names the file.
"""


class DcasekitError(Exception):
    """Base of all errors of this library."""


class AnnotationError(DcasekitError, ValueError):
    """Events, clips, tags or a label file do not make sense."""


class AudioError(DcasekitError, OSError):
    """An audio file is missing, unreadable, empty or not finite."""


class DatasetError(DcasekitError):
    """Files, meta data, folds or splits of a dataset are not as they should be."""


class DownloadError(DatasetError, OSError):
    """Fetching or unpacking failed."""


class ChecksumError(DownloadError):
    """The bytes are not those that were published."""


class FeatureError(DcasekitError, ValueError):
    """Settings of a feature, a clip it cannot treat, or its store."""


class ModelError(DcasekitError, ValueError):
    """Settings, shapes, weights or labels of a model."""


class MetricError(DcasekitError, ValueError):
    """What was asked to be scored cannot be scored."""


class NameNotFoundError(DcasekitError, LookupError):
    """No dataset, feature, model, metric or recipe of that name."""


class StorageError(DcasekitError, OSError):
    """A file cannot be written: the disk is full or read-only, knows no locks, or the file is not ours or outside its folder."""


class WorkerError(DcasekitError, RuntimeError):
    """A worker process died."""


class MissingExtraError(DcasekitError, ImportError):
    """An optional package is not installed."""

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(f"{package} is not installed; run: pip install 'dcasekit[{extra}]'")
        self._given = package, extra

    def __reduce__(self) -> tuple[type["MissingExtraError"], tuple[str, str]]:  # so that it travels from a worker
        return type(self), self._given


def first_line(error: BaseException) -> str:
    """Sum up another library's error for a message: its first line, 300 characters at most, or its kind if it says nothing."""
    return next(iter(str(error).strip().splitlines()), "")[:300] or type(error).__name__
