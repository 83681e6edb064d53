"""When to stop: functions of the history, for ``train(early_stopping=...)`` with `functools.partial`."""

from collections.abc import Mapping, Sequence


def stop_late(
    history: Sequence[Mapping[str, float]],
    *,
    key: str,
    patience: int = 0,
    least: float = 0.0,
    delay: int = 10,
    larger_is_better: bool = True,
) -> bool:
    """Tell whether a number has not improved for a while, ignoring the first epochs (the rule of dcase_util).

    Parameters
    ----------
    history : the record of each epoch so far.
    key : which number of the records to watch, e.g. ``"val_accuracy"``.
    patience : number of epochs to wait for an improvement.
    least : an improvement must be larger than this (absolute) to count.
    delay : the last epoch, counted from 0, that is ignored.
    larger_is_better : ``False`` for losses and error rates.

    Returns
    -------
    bool : whether to stop training after the last of these epochs.

    Examples
    --------
    A loss that never falls stops training after epoch 12, counted from 0, or with a patience of 5 after epoch 17:

    >>> same = [{"loss": 1.0}] * 30
    >>> first = lambda **settings: next(n for n in range(30) if stop_late(same[: n + 1], key="loss", larger_is_better=False, **settings))
    >>> first(), first(patience=5)
    (12, 17)
    """
    best, waited, counted = float("-inf"), 0, delay
    for epoch, record in enumerate(history):
        value = record[key] if larger_is_better else -record[key]
        if epoch <= delay:
            continue
        if value - least > best:
            best, waited = value, 0
        elif waited >= patience:
            return True
        else:
            waited += epoch - counted
        counted = epoch
    return False
