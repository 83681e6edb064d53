"""How a check says what does not hold."""

from collections.abc import Iterator
from contextlib import contextmanager


class ContractError(AssertionError):
    """A class does not keep the contract of its family; the message quotes the sentence that does not hold."""


def need(holds: object, sentence: str) -> None:
    if not holds:
        raise ContractError(f"does not hold: {sentence}")


@contextmanager
def expect_refusal(error: type[Exception], what: str, *, says: str = "") -> Iterator[None]:
    try:
        yield
    except error as found:
        need(says in str(found), f"the error about {what} names {says!r}; it says: {found}")
        return
    except Exception as found:
        raise ContractError(f"does not hold: {what} is refused with {error.__name__}; it raised {found!r}") from found
    raise ContractError(f"does not hold: {what} is refused with {error.__name__}; nothing was raised")
