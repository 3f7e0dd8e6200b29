"""What every test shares: a Hypothesis profile, and a clear word when a server is missing."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.nursery import nursery  # noqa: F401 the fixture of tests that kill what they call
from tests.stores import glacier, lake  # noqa: F401 the fixtures of every test that asks for a lake

settings.register_profile("wellrange", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("wellrange")

NEEDS = {
    "kafka": "TEST_KAFKA_BOOTSTRAP_SERVERS",
    "redis": "TEST_REDIS_URL",
    "s3": "TEST_S3_ENDPOINT",
    "glacier": "TEST_GLACIER_ENDPOINT",
    "postgres": "TEST_DATABASE_URL",
    "browser": "TEST_CHROMIUM",
}
NO_SKIPS = os.environ.get("WELLRANGE_NO_SKIPS") == "1"


@pytest.hookimpl(tryfirst=True)  # before xdist, which reads the groups in the same hook
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what has no server; one worker runs all that share the broker's topics."""
    for item in items:
        for mark, variable in NEEDS.items():
            if item.get_closest_marker(mark) and not os.environ.get(variable):
                item.add_marker(pytest.mark.skip(reason=f"{variable} is not set: see tests/servers"))
        if item.get_closest_marker("kafka"):
            item.add_marker(pytest.mark.xdist_group("kafka"))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Where everything is installed (CI), a skipped test is a failed one."""
    outcome = yield
    report = outcome.get_result()
    if NO_SKIPS and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} was skipped, and nothing may be: {report.longrepr}"
