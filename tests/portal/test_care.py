"""Consent, devices and plans through their services, forms and the admin site."""

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import Error, connection, transaction
from django.urls import reverse

from ingestion.door import FOREVER
from portal.consent.models import ConsentEntry, Purpose
from portal.consent.selectors import consents_of, has_consent
from portal.consent.services import consent_record
from portal.devices.models import Assignment, Device
from portal.devices.services import device_assign, device_return
from portal.monitoring.models import Plan
from portal.monitoring.selectors import plan_of
from portal.people.following import Follower
from portal.people.models import Change
from portal.pipeline.directory import load
from portal.pipeline.terms import load as terms
from tests.portal.conftest import NOW

LATER = NOW + timedelta(hours=12)  # pages take their own clock: later than any run of the suite


def test_a_patient_withdraws_and_gives_consent_on_her_page(cast):
    page = reverse("consent")
    assert cast.client("alice").get(page).status_code == 200
    assert cast.client("bob").get(page).status_code == 404
    done = cast.client("alice").post(page, {"purpose": "care", "decision": "withdraw"}, follow=True)
    assert "Your consent for “care” is withdrawn." in done.content.decode()
    assert not has_consent(cast.patient, Purpose.CARE)
    assert load().persons[0].consented is False
    cast.client("alice").post(page, {"purpose": "care", "decision": "give"})
    entry = consents_of(cast.patient)[Purpose.CARE]
    assert (entry.given, entry.by) == (True, cast.alice)
    assert entry.sequence == Change.objects.latest("sequence").sequence
    assert cast.client("alice").post(page, {"purpose": "everything", "decision": "give"}).status_code == 400


def test_nobody_else_decides(cast):
    for who in (cast.bob, cast.charlie):
        with pytest.raises(PermissionDenied):
            consent_record(patient=cast.patient, purpose=Purpose.CHAT, given=True, by=who, now=NOW)


def test_the_ledger_is_append_only_even_past_the_models(cast):
    entry = ConsentEntry.objects.first()
    with pytest.raises(TypeError):
        entry.save()
    with pytest.raises(TypeError):
        entry.delete()
    with pytest.raises(Error, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE consent_consententry SET given = NOT given")


def test_a_device_is_one_persons_at_a_time(cast):
    with pytest.raises(ValidationError, match="assigned to Alice"):
        device_assign(device=cast.device, patient=cast.dora, now=LATER)
    device_return(assignment=Assignment.objects.get(), now=LATER)
    with pytest.raises(ValidationError, match="start later"):
        device_assign(device=cast.device, patient=cast.dora, now=LATER, started_at=NOW)
    device_assign(device=cast.device, patient=cast.dora, now=LATER)
    known = load()
    assert known.count.tolist() == [2]
    assert known.end.tolist()[1] == FOREVER
    assert known.end.tolist()[0] == known.start.tolist()[1]


def test_an_operator_adds_a_device_and_assigns_it(cast):
    client = cast.client("admin")
    form = {"organisation": cast.organisation.pk, "device_id": "cuff-9", "kind": "cuff", "assign_to": cast.dora.pk}
    inlines = {f"assignments-{k}": v for k, v in {"TOTAL_FORMS": 0, "INITIAL_FORMS": 0}.items()}
    follower = Follower([Change.Kind.DEVICE])
    follower.changed()
    assert client.post(reverse("admin:devices_device_add"), form | inlines).status_code == 302
    assert follower.changed()
    device = Device.objects.get(device_id="cuff-9")
    assert device.assignments.get().patient == cast.dora
    changelist = reverse("admin:devices_device_changelist")
    assert "Dora Dale" in client.get(changelist).content.decode()
    client.post(changelist, {"action": "return_devices", "_selected_action": [device.pk]})
    assert device.assignments.get().ended_at is not None


def plan_form(cast, **changes):
    return {
        "action": "write",
        "reason": "Heart failure",
        "news2": "scale_2",
        "relation_0": "next_of_kin",
        "name_0": "Tom Marsh",
        "phone_0": "01632 960001",
        "due_heart_rate": "5",
        "low_heart_rate": "45",
        "high_heart_rate": "120",
        "why_heart_rate": "beta blocker",
        f"answers_{cast.bob.pk}": "15",
        **changes,
    }


def test_a_clinician_writes_the_next_version_of_the_plan(cast):
    page = reverse("plan", args=[cast.patient.pk])
    answer = cast.client("bob").post(page, plan_form(cast))
    assert answer.status_code == 302
    plan = plan_of(cast.patient, NOW + timedelta(hours=1))
    assert (plan.version, plan.reason, plan.news2, plan.author) == (2, "Heart failure", "scale_2", cast.bob)
    limit = plan.limits.get()
    assert (limit.low, limit.high, limit.reason, limit.author) == (45, 120, "beta blocker", cast.bob)
    old = Plan.objects.get(version=1)
    assert old.in_force_to == plan.in_force_from
    now_in_force = [t for t in terms(NOW) if t.subject == cast.patient.subject]
    assert sorted(t.scale for t in now_in_force) == [1, 2]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"low_heart_rate": "130"}, "the low limit must be below the high one"),
        ({"why_heart_rate": ""}, "say why this limit is set"),
        ({"due_heart_rate": ""}, "Choose at least one vital"),
        ({"ends_on": "2020-01-01"}, "The end must be in the future"),
    ],
)
def test_a_plan_that_contradicts_itself_is_explained_and_kept_on_the_page(cast, wrong, said):
    answer = cast.client("bob").post(reverse("plan", args=[cast.patient.pk]), plan_form(cast, **wrong))
    assert answer.status_code == 422
    assert said in answer.content.decode()
    assert "Heart failure" in answer.content.decode()
    assert Plan.objects.count() == 1


def test_pause_resume_and_end(cast):
    page, client = reverse("plan", args=[cast.patient.pk]), cast.client("bob")
    client.post(page, {"action": "pause", "reason": "in hospital"})
    plan = Plan.objects.get(in_force_to__isnull=True)
    assert (plan.is_paused(LATER), plan.is_active(LATER), plan.pause_reason) == (True, False, "in hospital")
    assert "Paused: in hospital" in client.get(page).content.decode()
    client.post(page, {"action": "resume"})
    assert Plan.objects.get(in_force_to__isnull=True).is_active(LATER)
    client.post(page, {"action": "end"})
    assert not Plan.objects.get(in_force_to__isnull=True).is_active(LATER)
    assert client.post(page, {"action": "pause", "reason": ""}).status_code == 422


def test_the_admin_site_writes_versions_too(cast):
    url = reverse("admin:monitoring_plan_change", args=[cast.plan.pk])
    form = cast.client("admin").get(url).context["adminform"].form.initial
    data = {k: ("" if v is None else v) for k, v in form.items()}
    start = cast.plan.starts_at
    data |= {"patient": cast.patient.pk, "reason": "By the operator"}
    data |= {"starts_at_0": f"{start:%Y-%m-%d}", "starts_at_1": f"{start:%H:%M:%S}"}
    for prefix, rows in (("vitals", 1), ("limits", 0), ("responders", 1), ("contacts", 0)):
        data |= {f"{prefix}-TOTAL_FORMS": rows, f"{prefix}-INITIAL_FORMS": 0}
    data |= {"vitals-0-vital": "spo2", "vitals-0-due_every_minutes": 10}
    data |= {"responders-0-user": cast.bob.pk, "responders-0-within_minutes": 30}
    answer = cast.client("admin").post(url, data)
    assert answer.status_code == 302, answer.context and answer.context["errors"]
    plan = Plan.objects.get(in_force_to__isnull=True)
    assert (plan.version, plan.reason, plan.author) == (2, "By the operator", cast.admin)
    assert [(v.vital, v.due_every_minutes) for v in plan.vitals.all()] == [("spo2", 10)]
    assert Plan.objects.get(version=1).reason == "COPD, after discharge"


@pytest.mark.parametrize("who", ["alice", "charlie"])
def test_nobody_else_writes_a_plan(cast, who):
    answer = cast.client(who).post(reverse("plan", args=[cast.patient.pk]), plan_form(cast))
    assert answer.status_code == {"alice": 403, "charlie": 404}[who]
    assert Plan.objects.count() == 1


def test_saving_a_plan_again_moves_neither_its_end_nor_its_start(cast):
    page, client = reverse("plan", args=[cast.patient.pk]), cast.client("bob")
    client.post(page, plan_form(cast, ends_on="2999-06-30"))
    first = Plan.objects.get(in_force_to__isnull=True)
    assert first.ends_at.astimezone(ZoneInfo(cast.patient.time_zone)).isoformat() == "2999-07-01T00:00:00+01:00"
    shown = client.get(page).context["form"].initial
    client.post(page, plan_form(cast, **{k: v for k, v in shown.items() if v is not None}))
    again = Plan.objects.get(in_force_to__isnull=True)
    assert (again.version, again.starts_at, again.ends_at) == (3, first.starts_at, first.ends_at)


def test_an_ended_plan_starts_anew_without_its_old_end(cast):
    page, client = reverse("plan", args=[cast.patient.pk]), cast.client("bob")
    client.post(page, {"action": "end"})
    shown = client.get(page).context["form"].initial
    assert shown["ends_on"] is None
    client.post(page, plan_form(cast))
    plan = Plan.objects.get(in_force_to__isnull=True)
    assert (plan.ends_at, plan.starts_at) == (None, plan.in_force_from)
    assert plan.is_active(LATER)
