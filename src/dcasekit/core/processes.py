"""The processes that torchrun started to train together; known from the environment, so that to ask costs nothing."""

import os


def is_first() -> bool:
    """Tell whether this process is the one that writes and tells: it is alone, or the first of those that torchrun started."""
    return processes() == 1 or os.environ["RANK"] == "0"


def processes() -> int:
    """Count the processes that torchrun started to train together."""
    return int(os.environ["WORLD_SIZE"]) if "TORCHELASTIC_RUN_ID" in os.environ else 1
