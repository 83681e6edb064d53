"""A model of your own in Keras 3: settings as fields, and one method that makes the network."""

from dataclasses import dataclass
from pathlib import Path

from dcasekit.containers.keras import KerasModelContainer, keras  # on PyTorch by default


@dataclass(kw_only=True, eq=False)
class SmallCNN(KerasModelContainer):
    """Two convolutions over time, then the mean.

    Input (windows, frames, dims), output (windows, labels).

    Parameters
    ----------
    filters : of both convolutions.
    """

    filters: int = 16

    def network_for(self, frames: int, dims: int, outputs: int, task: str) -> keras.Model:
        """Make the network; its last layer gives logits, without an activation."""
        layers = keras.layers
        windows = keras.Input((None, dims))
        hidden = layers.Conv1D(
            self.filters, 3, padding="same", activation="relu", name="conv1"
        )(windows)
        hidden = layers.Conv1D(
            self.filters, 3, padding="same", activation="relu", name="conv2"
        )(hidden)
        hidden = layers.GlobalAveragePooling1D(name="mean")(hidden)
        return keras.Model(windows, layers.Dense(outputs, name="out")(hidden))


def check(folder: Path) -> None:
    """Check the contract: what the tests of this page do."""
    from dcasekit import testing

    testing.check_model(
        SmallCNN(filters=4),
        shape=(20, 12),
        labels=("cat", "dog", "hen"),
        new_process=False,
        learning_rate=3e-3,
    )
