"""The toolboxes warn about their own age; warnings are errors in this repository, so theirs are kept out and ours are not."""

import importlib
import warnings

import pytest

PEERS = ("dcase_util", "sed_eval", "sed_scores_eval", "psds_eval")


def pytest_configure():
    """Import the peers once, silently: what they warn of on import is not ours to mend."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer in PEERS:
            importlib.import_module(peer)


@pytest.fixture(autouse=True)
def _peers_may_warn():
    """Ignore what a line of a peer warns of, e.g. of the mean of nothing."""
    for peer in PEERS:
        warnings.filterwarnings("ignore", module=rf"{peer}(\.|$)")
