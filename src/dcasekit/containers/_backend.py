"""What a backend has to know how to do: the network's part of a model container, of which the rest is the same for all."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from numpy.typing import NDArray

from dcasekit.containers.heads import Head
from dcasekit.containers.training import Training
from dcasekit.core.units import FloatArray
from dcasekit.datasets.base import Task
from dcasekit.errors import DcasekitError, ModelError, first_line
from dcasekit.generator import Data, Together

Weights = Mapping[str, NDArray[Any]]
Record = dict[str, float]


class Backend(ABC):
    """What a container asks of its network. A new backend implements these methods; one without layers leaves out the last three.

    Attributes
    ----------
    labels, task, shape : names of the outputs, what they mean, and the (frames, dims) of a window; set by `build`.
    """

    labels: tuple[str, ...]
    task: Task
    shape: tuple[int, int]

    @abstractmethod
    def build(self, shape: tuple[int, int], labels: Sequence[str], *, task: Task = "classification", seed: int = 0) -> Self:
        """Make the network, with new weights.

        Parameters
        ----------
        shape : (frames, dims) of a window.
        labels : names of the outputs, in order.
        task : what the outputs mean: classification ends in a softmax, tagging and detection in sigmoids.
        seed : seed of the initial weights.

        Returns
        -------
        this model.

        Raises
        ------
        ModelError : a network with these settings cannot be built for this shape.
        """

    def build_heads(self, heads: Mapping[Task, Head], *, seed: int = 0) -> Self:
        """Make the network with a head for each task, with new weights; return this model."""
        del seed
        raise ModelError(
            f"{type(self).__name__} has one head, for one task; {', '.join(heads)} learned together need a PyTorch model such as DcaseNet"
        )

    @abstractmethod
    def fit(self, data: Data | Together, validation: Any, training: Training, *, frozen: Sequence[str] | None = None) -> list[Record]:
        """Train the network from its present weights; return one record per epoch. A backend's part of `train` and `fine_tune`.

        Parameters
        ----------
        data : what to train on.
        validation : data, or a function that takes the model and returns numbers by name; ``None``: no validation.
        training : the settings.
        frozen : names in `weights` of those that are frozen, running statistics included. ``None``: all weights are new and none is frozen;
            a checkpoint in ``training.resume`` is continued only if it began so, too, or else with the same weights.
        """

    @abstractmethod
    def answer(self, windows: FloatArray) -> FloatArray:
        """Return probabilities (windows, labels) or (windows, frames, labels), float32, for windows (windows, frames, dims)."""

    @abstractmethod
    def weights(self) -> Weights:
        """Return a copy of all weights, running statistics included, as arrays: name -> array."""

    @abstractmethod
    def set_weights(self, weights: Weights) -> None:
        """Load weights as `weights` returns them; names or shapes that do not fit raise ModelError."""

    @abstractmethod
    def cost(self) -> dict[str, int]:
        """Count the trainable ``parameters``, and ``macs``, the multiply-accumulates for one window."""

    def layers(self) -> dict[str, tuple[int, ...]]:
        """Return the layers whose outputs `ModelContainer.embed` can return: name -> shape of the output for one window.

        They are in the order of the forward pass. A layer comes after the layers inside it; one that is used several times is placed by
        its last use.
        """
        raise ModelError(f"{type(self).__name__} has no layers: there is nothing inside to look at or to keep; call train() on new data")

    def activations(self, windows: FloatArray, layer: str) -> FloatArray:
        """Return the output (windows, ...), float32, of a layer in `layers` for windows (windows, frames, dims)."""
        raise ModelError(f"{type(self).__name__} has no layer {layer!r}")

    def weights_until(self, layer: str) -> tuple[str, ...]:
        """Name the weights that the forward pass uses up to and including a layer in `layers`."""
        raise ModelError(f"{type(self).__name__} has no layer {layer!r}")

    def _allocate(
        self, shape: tuple[int, int], labels: Sequence[str], *, task: Task, heads: Mapping[Task, Head] | None = None
    ) -> Mapping[str, tuple[int, ...]] | None:
        """Tell names and shapes of the weights that `build` would make, without their memory; ``None`` if that cannot be told."""
        del shape, labels, task, heads
        return None

    @property
    def _bytes_at_once(self) -> int:
        """Bytes of windows that are answered at once: few enough to stay near the processor; activations take some fifty times as much."""
        return 1 << 19

    def _move(self, device: str) -> str:
        """Let the network answer on a device, ``"auto"`` being the fastest there is; name it."""
        if device not in ("auto", "cpu"):
            raise ModelError(f"{type(self).__name__} predicts on the CPU only; leave out the device, or give 'cpu'; got {device!r}")
        return "cpu"

    def _outputs(self, windows: FloatArray) -> FloatArray:
        """Return what the network itself gives for windows: logits, or the answers of a network without activation."""
        raise ModelError(f"{type(self).__name__} has no network that gives logits")


def name_clip(clip: str, error: Exception) -> DcasekitError:
    """Say which clip an error is about, as an error of ours."""
    if isinstance(error, DcasekitError) and (not isinstance(error, ModelError) or clip in str(error)):
        return error
    problem = ModelError(f"{clip}: {first_line(error)}")
    problem.__cause__ = error
    return problem
