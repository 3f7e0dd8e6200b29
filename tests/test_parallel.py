"""The suite's own ground: what shares the broker's topics must run one after the other."""

import os

import pytest


@pytest.mark.kafka
def test_tests_that_share_topics_run_in_one_worker(request):
    """A pytest that takes no groups from xdist spreads them without a word, and they read each other's packets."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        assert request.node.nodeid.endswith("@kafka"), "make setup installs a pytest that groups tests"
