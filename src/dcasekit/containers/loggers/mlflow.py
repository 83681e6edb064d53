"""MLflow (extra ``mlflow``): ``mlflow ui --backend-store-uri sqlite:///OUT/mlflow.db`` shows what is written."""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from dcasekit.containers.loggers.base import Logger
from dcasekit.core.files import place

EXPERIMENT = "dcasekit"
_LONGEST = 6000  # characters of a parameter that MLflow takes


class MLflow(Logger):
    """Log a run with MLflow: settings as parameters, numbers of epochs and results as metrics, in the experiment "dcasekit".

    They are written to ``mlflow.db`` in the run's folder, or sent to the server that the environment variable ``MLFLOW_TRACKING_URI``
    names. MLflow's telemetry is switched off, unless ``MLFLOW_DISABLE_TELEMETRY`` is set. See `Logger` for the parameters.
    """

    package, extra = "mlflow", "mlflow"
    _client: Any
    _run: str

    def open(self, run: str, *, new: bool) -> str:
        """Begin a run, or continue it; see `Logger.open`."""
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # read when it is imported
        from mlflow import MlflowClient
        from mlflow.entities import Param

        for noisy in ("mlflow.store", "alembic"):
            logging.getLogger(noisy).setLevel(logging.WARNING)
        self._client = MlflowClient(tracking_uri=os.environ.get("MLFLOW_TRACKING_URI") or self._own_store())
        if not new:
            self._run = run
            self._client.update_run(run, status="RUNNING")
            return run
        found = self._client.get_experiment_by_name(EXPERIMENT)
        experiment = found.experiment_id if found else self._client.create_experiment(EXPERIMENT)
        self._run = self._client.create_run(experiment, run_name=self.name).info.run_id
        params = [Param(name, str(value)[:_LONGEST]) for name, value in self.settings.items()]
        for first in range(0, len(params), 100):  # that MLflow takes at once
            self._client.log_batch(self._run, params=params[first : first + 100])
        return self._run

    def write(self, numbers: Mapping[str, float], epoch: int) -> None:
        """Add the numbers of an epoch as a step of each metric."""
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, value, now, epoch) for name, value in numbers.items()]
        for first in range(0, len(metrics), 1000):
            self._client.log_batch(self._run, metrics=metrics[first : first + 1000])

    def close(self, results: Mapping[str, float], epoch: int) -> None:
        """Add the results as metrics of the last step."""
        self.write(results, epoch)
        self._client.set_terminated(self._run)

    def _own_store(self) -> str:
        return f"sqlite:///{quote(str(place(self.folder, 'mlflow.db', kind='logger').absolute()))}"
