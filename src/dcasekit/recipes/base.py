"""What the settings of all recipes share."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class BaseConfig:
    """Settings that every recipe has; its own follow in its class ``Config``.

    Parameters
    ----------
    seed : decides all random numbers: initial weights, order of windows, synthetic sounds.
    device : ``"cpu"``, ``"cuda"``, ``"cuda:1"`` or ``"mps"``; ``"auto"`` (default): the fastest there is.
    quick : whether these are the small settings of ``--quick``, which prove nothing; the report says so.
    """

    seed: int = 0
    device: str = "auto"
    quick: bool = False
