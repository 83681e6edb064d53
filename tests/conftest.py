"""Property tests run the same examples every time and are never judged by the clock; training tests use one thread."""

import os

# Before PyTorch is loaded: as many tests run at once as there are cores, and threads that wait for each other would spin.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "repeatable",
    deadline=None,
    derandomize=True,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # tmp_path: every example overwrites the last one's files
)
settings.load_profile("repeatable")


@pytest.fixture
def one_thread():
    """Let PyTorch use one thread: inside networks this small, and beside other tests, more only wait for each other."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def run_recipe():
    """Run a recipe as the command line does, and see that the web application finds the results and a model of each section."""
    from dcasekit.app import _answers
    from dcasekit.app._site import Site
    from dcasekit.recipes import _runs

    def run(recipe, config, data, out):
        report = _runs.run_once(recipe, config, data, out)
        site = Site([], Path(out).parent, out)
        shown = [_answers.find(site, key) for key in _answers.names(site) if key.partition("/")[0] == Path(out).name]
        assert len(shown) == len(report.sections)
        assert all(found.model for found in shown)
        kept = {(found.results.clips, found.results.scores[0].values.tobytes()) for found in shown}
        assert kept == {(section.pooled.clips, section.pooled.scores[0].values.tobytes()) for section in report.sections}
        return report

    return run
