"""How this process treats memory that is freed and wanted again at once."""

from functools import cache

import numpy as np


@cache
def reuse_memory() -> None:
    """Have glibc's malloc keep some freed megabytes instead of handing them back to the system after every clip or batch.

    The system clears each page again when it is touched: half of the time of extraction, and of the answers of convolutional networks.
    Once a block of nearly 32 MB has been freed, glibc keeps blocks of that size, up to twice as much in all. Elsewhere this does nothing.
    """
    np.empty(31 << 20, np.uint8)
