"""Names for the quantities that travel through signatures, so that a type says its unit."""

import os
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Seconds: TypeAlias = float
Hz: TypeAlias = int
FloatArray: TypeAlias = NDArray[np.float32]
PathLike: TypeAlias = str | os.PathLike[str]
