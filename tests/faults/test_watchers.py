"""The short form of `python -m tests.faults.watchers`: the same rounds, with all watchers dying at once."""

import pytest
from django.core.management import call_command

from tests.faults import watch_rounds as rounds
from tests.faults.watch_service import Service
from tests.portal.conftest import make_cast

pytestmark = [pytest.mark.kafka, pytest.mark.redis, pytest.mark.postgres]

KILLED_AT = ("after_score", "after_database", "after_announce", "after_checkpoint", "after_offset")


@pytest.fixture(scope="module")
def transactional_db(django_db_setup, django_db_blocker):
    """In place of pytest-django's: the processes live through all rounds, and so does what is in the database."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="module")
def patients(transactional_db, tmp_path_factory):
    with Service(tmp_path_factory.mktemp("service"), make_cast()) as service:
        service.start_watcher()
        service.start_watcher()
        yield rounds.Patients(service, spare=3)


def test_two_devices_make_one_score_and_one_episode_with_two_watchers(patients):
    rounds.nothing_happens(patients)
    assert rounds.is_well(patients.figures())


def test_watchers_that_kill_themselves_between_any_two_steps_lose_and_double_nothing(patients):
    patients.service.running()[0].process.terminate()
    assert rounds.watchers_kill_themselves(patients, *KILLED_AT) == len(KILLED_AT)
    assert rounds.is_well(patients.figures())


def test_a_watcher_that_froze_before_it_decided_gives_up_when_woken_also_if_redis_was_emptied(patients):
    assert rounds.watcher_freezes(patients, "after_score", redis_is_emptied=True)
    assert rounds.is_well(patients.figures())


def test_an_emptied_redis_loses_no_confirmation_no_mail_and_no_value(patients):
    rounds.redis_is_emptied(patients)
    assert rounds.is_well(patients.figures())


def test_in_the_end_everybody_was_told_once_and_charlie_of_his_own_patient_only(patients):
    assert rounds.is_well(patients.figures_in_the_end())
