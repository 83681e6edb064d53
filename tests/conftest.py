"""Property tests run the same examples every time and are never judged by the clock."""

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
