"""The short form of `python -m tests.faults.poison`: every kind twice. How long anything took is for the long one."""

import pytest

from ingestion.kafka import READINGS
from tests.faults import poisoning
from tests.faults.poison_kinds import KINDS

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.postgres, pytest.mark.timeout(600)]
BAD = 2 * len(KINDS)


@pytest.fixture(scope="module")
def report(people, tmp_path_factory):
    return poisoning.run(tmp_path_factory.mktemp("pipeline"), bad=BAD, good=1000, rate=1000)


def test_each_packet_gets_what_it_deserves_and_only_once(report):
    assert report.balance.is_even, report.balance
    assert report.balance.sent == 2 * 1000 + BAD


def test_no_batch_ended_the_door_and_no_reading_overtook_another(report):
    assert report.door_errors == 0
    assert report.disorder == 0


def test_of_a_withdrawn_person_nothing_is_kept_but_what_came(report):
    kinds = sum(name.startswith("withdrawn") for name in KINDS)
    assert report.canaries.pop(READINGS) == 2 * kinds
    assert set(report.canaries.values()) == {0}
