"""The demo's organisation: all of it, quickly, and only once."""

import stat
import time

import pytest
from django.apps import apps
from django.core.management import call_command
from django.test import Client
from django.urls import reverse

from portal.embedded.seed import password, password_file, seed
from portal.monitoring.selectors import plans_active
from portal.people.models import Patient
from portal.pipeline.directory import load
from tests.portal.conftest import NOW

pytestmark = pytest.mark.django_db


def rows():
    return {model._meta.label: model.objects.count() for model in apps.get_models() if model._meta.managed}


def test_a_hundred_people_are_watched_and_a_second_run_changes_nothing(capsys):
    began = time.perf_counter()
    seed(NOW)
    assert time.perf_counter() - began < 3
    once = rows()
    call_command("seed_demo")
    assert rows() == once
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    assert password() not in out

    alice = Patient.objects.get(user__username="alice")
    known = load()
    assert len(known.persons) == 100
    assert all(person.consented for person in known.persons)
    kit = sorted(alice.assignments.values_list("device__device_id", flat=True))
    assert kit == ["bed_7", "cuff_7", "device_7", "oximeter_7", "thermometer_7"]
    assert len(plans_active(NOW)) == 100
    assert len({patient.name for patient in Patient.objects.all()}) == 100


@pytest.mark.redis  # which counts attempts to sign in
def test_everybody_signs_in_with_the_one_password_and_the_teams_share_nothing():
    seed(NOW)
    assert stat.S_IMODE(password_file().stat().st_mode) == 0o600
    seen = {}
    for name in ("bob", "charlie", "alice", "admin"):
        answer = Client().post(reverse("account_login"), {"login": name, "password": password()})
        assert answer.status_code == 302, name
        user = answer.wsgi_request.user
        seen[name] = set(Patient.objects.visible_to(user).values_list("pk", flat=True))
    assert [len(seen[name]) for name in ("bob", "charlie", "alice", "admin")] == [90, 10, 1, 0]
    assert not seen["bob"] & seen["charlie"]
    assert seen["alice"] < seen["bob"]
