"""The admin site: every page works for an operator and for nobody else; what must not be edited cannot be."""

from datetime import timedelta

import pytest
from django.contrib import admin
from django.db import connection, transaction
from django.db.utils import Error
from django.urls import reverse

from portal.accounts.models import Role, User
from portal.alerts.answers import Responded, alert_close, alert_snooze
from portal.alerts.handover import shift_hand_over
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.consent.models import ConsentEntry
from portal.monitoring.models import Plan
from portal.people.models import Organisation, Patient
from portal.personal.context import tag_add
from portal.personal.models import Activation, KeptBack, ModelVersion, SharedVersion, TrainingRun
from portal.watchdog.models import Probe
from tests.portal.conftest import NOW, colleague, hypoxia, make_cast


def of_ours():
    return [model for model in admin.site._registry if model.__module__.startswith("portal.")]


def page(model, name, *args):
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{name}", args=args)


@pytest.fixture
def lived_in(cast):
    with transaction.atomic():
        transitions_apply([hypoxia(cast.patient)], now=NOW)
    alert, beth = Alert.objects.get(), colleague(cast)
    alert_snooze(user=cast.bob, alert=alert, until=NOW + timedelta(hours=1), reason="refilling", now=NOW)
    alert_close(user=cast.bob, alert=alert, response=Responded("Oxygen refilled"), now=NOW)
    shift_hand_over(giver=cast.bob, taker=beth, note="", now=NOW)
    Probe.objects.create(patient=cast.patient, began_at=NOW)
    version = ModelVersion.objects.create(
        name="v1", share=0, state="in_force", made_at=NOW, data_from=NOW, data_to=NOW, people=1
    )
    Activation.objects.create(version=version, share=0, since=NOW, why="first")
    TrainingRun.objects.create(share=0, started_at=NOW)
    SharedVersion.objects.create(name="nights-1", state="in_force", made_at=NOW, people=30, reason="first")
    tag_add(patient=cast.patient, kind="ill", since=NOW, until=NOW + timedelta(days=1), note="", by=cast.alice, now=NOW)
    KeptBack.objects.create(patient=cast.patient, cause="personal:nights", at=NOW, tag="ill")
    return cast


def test_an_operator_can_open_every_page_of_every_table(lived_in):
    client = lived_in.client("admin")
    assert len(of_ours()) >= 9
    for model in of_ours():
        assert client.get(page(model, "changelist")).status_code == 200, model
        row = model._default_manager.first()
        assert client.get(page(model, "change", row.pk)).status_code == 200, model
        add = client.get(page(model, "add")).status_code
        assert add in (200, 403), model


@pytest.mark.parametrize("who", ["alice", "bob", "charlie"])
def test_nobody_else_gets_in(lived_in, who):
    for model in of_ours():
        assert lived_in.client(who).get(page(model, "changelist")).status_code == 302, model


def test_ledger_alerts_and_outbox_are_there_to_read(lived_in):
    client = lived_in.client("admin")
    for model in of_ours():
        if model._meta.label in ("consent.ConsentEntry", "alerts.Alert", "alerts.Message"):
            row = model._default_manager.first()
            assert client.get(page(model, "add")).status_code == 403, model
            assert client.post(page(model, "change", row.pk), {}).status_code == 403, model
            assert client.post(page(model, "delete", row.pk), {"post": "yes"}).status_code == 403, model


def test_a_patient_belongs_to_one_organisation_with_team_and_user(cast):
    elsewhere = Organisation.objects.create(name="Hilltop")
    form = {"organisation": elsewhere.pk, "care_team": cast.patient.care_team_id, "user": cast.bob.pk}
    form |= {"name": "Greta Lund", "birth_date": "1950-01-01", "time_zone": "Europe/London"}
    client = cast.client("admin")
    answer = client.post(page(Patient, "add"), form)
    assert answer.status_code == 200
    text = answer.content.decode()
    assert "This care team belongs to another organisation." in text
    assert "Choose a user of this organisation whose role is patient." in text
    form |= {"organisation": cast.organisation.pk, "user": ""}
    assert client.post(page(Patient, "add"), form).status_code == 302
    assert Patient.objects.get(name="Greta Lund").care_team == cast.patient.care_team


def test_a_plan_added_for_somebody_who_has_one_is_the_next_version(cast):
    start = NOW - timedelta(hours=1)
    form = {"patient": cast.patient.pk, "reason": "Second plan", "news2": "scale_1"}
    form |= {"starts_at_0": f"{start:%Y-%m-%d}", "starts_at_1": f"{start:%H:%M:%S}"}
    for prefix in ("vitals", "limits", "responders", "contacts"):
        form |= {f"{prefix}-TOTAL_FORMS": 0, f"{prefix}-INITIAL_FORMS": 0}
    answer = cast.client("admin").post(page(Plan, "add"), form)
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    assert [(p.version, p.reason) for p in cast.patient.plans.all()] == [(2, "Second plan"), (1, cast.plan.reason)]


def test_an_operator_makes_a_clinician(cast):
    form = {"username": "erin", "password1": "of-nine-lives-42", "password2": "of-nine-lives-42"}
    form |= {"usable_password": "true", "email": "erin@test.example", "first_name": "Erin", "last_name": "Ellis"}
    form |= {"role": "clinician", "organisation": cast.organisation.pk, "time_zone": "Europe/London"}
    answer = cast.client("admin").post(page(User, "add"), form)
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    erin = User.objects.get(username="erin")
    assert (erin.role, erin.organisation) == (Role.CLINICIAN, cast.organisation)


@pytest.mark.postgres
@pytest.mark.django_db
def test_postgresql_deletes_of_the_ledger_only_in_an_erasure():
    make_cast()
    delete = "DELETE FROM consent_consententry"
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(delete)
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL wellrange.erasing = 'yes'")
        cursor.execute(delete)
    assert not ConsentEntry.objects.exists()
