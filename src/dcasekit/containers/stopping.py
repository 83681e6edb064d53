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
    """Tell whether nothing has improved for a while, epochs at the beginning left aside (dcase_util's rule).

    Parameters
    ----------
    history : the record of each epoch.
    key : of the records, e.g. ``"val_accuracy"``.
    patience : epochs to wait for an improvement.
    least : a smaller improvement, absolute, does not count.
    delay : the last epoch, counted from 0, that does not count at all.
    larger_is_better : ``False`` for losses and error rates.

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
