"""The short form of `python -m tests.faults.exactly_once`: one kill of each that hits."""

import pytest

from tests.faults import kills

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.postgres, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def report(people, tmp_path_factory):
    return kills.run(tmp_path_factory.mktemp("pipeline"), kills=1, packets=10_000, rate=1000)


def test_a_kill_of_the_door_and_one_of_the_archive_task_have_hit(report):
    assert (report.door.hit, report.archiver.hit) == (1, 1)


def test_every_packet_is_in_the_lake_or_in_the_refused_once(report):
    assert report.guarded.is_even, report.guarded.figures()
    assert report.guarded.sent >= 10_000
    assert report.guarded.sent == report.guarded.in_lake + report.guarded.refused
    assert report.guarded.refused
    assert report.door_errors == 0


def test_without_the_position_check_the_balance_is_not_even(report):
    assert report.unguarded.doubled
    assert not report.unguarded.is_even
    assert not report.unguarded.lost
