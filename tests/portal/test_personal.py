"""The personal range in the portal: trained with consent, promoted only if not worse, rolled back, told, held back."""

import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from django.db import transaction
from django.urls import reverse

from analytics import population, store
from analytics.channels import NIGHTLY
from analytics.windows import START_EDGES, Edges
from portal.alerts.models import Alert, Episode
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.people.models import Patient
from portal.personal.live import forget_files, models_of, tags_of
from portal.personal.models import (
    Activation,
    ContextTag,
    KeptBack,
    LateFinding,
    ModelVersion,
    PersonalRange,
    TrainingRun,
)
from portal.personal.nightly import night_transitions
from portal.personal.shares import people_of, share_of
from portal.personal.training import midnight, train_person, train_share
from portal.personal.versions import person_forget, version_activate
from tests.analytics.readings import NOON, reading
from tests.ingestion.lakes import add
from tests.portal.conftest import NOW, YESTERDAY
from tests.portal.test_wording import unusual

MIDNIGHT = midnight(NOW)


def lived(patient, days, until=MIDNIGHT, every=600, seed=3, **shift):
    """Readings of calm days before `until`, each vital moved by `shift`."""
    draw = np.random.default_rng(seed)
    offset = (until - NOON).total_seconds()
    rows = []
    for second in range(-days * 86_400, 0, every):
        values = draw.normal([62 + shift.get("heart_rate", 0), 15, 97, 33.5], [2.5, 0.8, 0.5, 0.2])
        names = ("heart_rate", "respiratory_rate", "spo2", "skin_temperature")
        vitals = dict(zip(names, map(float, values), strict=True))
        row = reading(offset + second, patient.subject, steps=0.0, **vitals)
        rows.append(row | {"organisation": patient.organisation.key})
    return rows


@pytest.fixture
def places(settings, tmp_path):
    settings.LAKE_URL, settings.MODELS_URL = str(tmp_path / "lake"), str(tmp_path / "models")
    forget_files()
    return settings


@pytest.fixture
def consented(cast, places):
    consent_record(patient=cast.patient, purpose=Purpose.PERSONAL_MODEL, given=True, by=cast.alice, now=YESTERDAY)
    return cast


@pytest.fixture
def learned(consented, places):
    """Alice after five days with a model in force."""
    add(places.LAKE_URL, lived(consented.patient, 5))
    train_share(share_of(consented.patient.subject), NOW)
    return consented


def known_to(patient, now=NOW):
    """The versions under which this person would be judged a day from now."""
    models = models_of(share_of(patient.subject), now)
    row = models.in_force(np.array([models.first(patient.subject)]), np.array([int((now.timestamp() + 86_400) * 1e6)]))
    return models.names[row[0]] if row[0] else None


def test_without_consent_nobody_is_learned(cast, places):
    add(places.LAKE_URL, lived(cast.patient, 5))
    run = train_share(share_of(cast.patient.subject), NOW)
    assert (run.people, run.result) == (0, "nobody has enough history yet")
    assert not ModelVersion.objects.exists()
    assert "No consent to a personal model" in cast.client("bob").get(f"/patients/{cast.patient.pk}/").content.decode()


def test_the_first_version_comes_into_force_within_a_minute_and_the_pages_say_how_far_learning_is(learned, places):
    version, activation = ModelVersion.objects.get(), Activation.objects.get()
    assert (version.state, version.people, activation.version) == ("in_force", 1, version)
    assert timedelta() < activation.since - NOW <= timedelta(minutes=1)
    card, models, _ = store.read(places.MODELS_URL, version.name)
    assert card.metrics["weeks"] == pytest.approx(0.5 / 7, abs=0.01), "one day, with a reading in every second slot"
    assert list(models) == [learned.patient.subject]
    assert known_to(learned.patient) == version.name
    for name, path in (("bob", f"/patients/{learned.patient.pk}/"), ("alice", "/me/")):
        assert "Learning, night 5 of 7." in learned.client(name).get(path).content.decode()


def test_a_later_version_is_in_shadow_first_and_takes_over_if_it_is_not_worse(learned, places):
    first = ModelVersion.objects.get()
    tomorrow = NOW + timedelta(days=1)
    train_share(first.share, NOW + timedelta(hours=1))
    shadow = ModelVersion.objects.get(state="shadow")
    assert known_to(learned.patient) == first.name
    add(places.LAKE_URL, lived(learned.patient, 1, until=MIDNIGHT + timedelta(days=1), seed=4))
    run = train_share(first.share, tomorrow)
    assert f"{shadow.name} promoted" in run.result
    assert known_to(learned.patient, tomorrow) == shadow.name
    assert sorted(ModelVersion.objects.values_list("state", flat=True)) == ["in_force", "replaced", "shadow"]
    # Readings received before the change are judged as they were then.
    assert models_of(first.share, NOW).in_force(
        np.array([models_of(first.share, NOW).first(learned.patient.subject)]),
        np.array([int((NOW + timedelta(hours=2)).timestamp() * 1e6)]),
    )[0]


@pytest.mark.parametrize("hours_late", [0, 3])
def test_what_came_late_and_is_unlike_usual_stands_on_the_record_and_alerts_nobody(learned, places, hours_late):
    share, tomorrow = ModelVersion.objects.get().share, NOW + timedelta(days=1)
    ill = lived(learned.patient, 1, until=MIDNIGHT + timedelta(days=1), seed=4, heart_rate=40)
    for row in ill:
        row["received_at"] = row["measured_at"] + timedelta(hours=hours_late)
    add(places.LAKE_URL, ill)
    train_share(share, tomorrow)
    train_share(share, tomorrow + timedelta(hours=1))
    assert LateFinding.objects.count() == (hours_late > 0), "told of once, and only what the watcher could not tell"
    assert not Alert.objects.exists()
    record, title = f"/patients/{learned.patient.pk}/", "Found afterwards"
    assert (title in learned.client("bob").get(record).content.decode()) is (hours_late > 0)
    assert title not in learned.client("alice").get("/me/").content.decode()
    assert learned.client("charlie").get(record).status_code == 404


def test_what_somebody_has_explained_is_not_found_afterwards(learned, places):
    share, tomorrow = ModelVersion.objects.get().share, NOW + timedelta(days=1)
    ill = lived(learned.patient, 1, until=MIDNIGHT + timedelta(days=1), seed=4, heart_rate=40)
    add(places.LAKE_URL, [row | {"received_at": row["measured_at"] + timedelta(hours=3)} for row in ill])
    ContextTag.objects.create(
        patient=learned.patient, kind="ill", since=MIDNIGHT, until=tomorrow, by=learned.alice, at=NOW
    )
    train_share(share, tomorrow)
    assert not LateFinding.objects.exists()


def test_a_version_that_alerts_too_often_is_not_promoted_and_what_it_would_have_raised_is_shown(learned, places):
    first = ModelVersion.objects.get()
    train_share(first.share, NOW + timedelta(hours=1))
    shadow = ModelVersion.objects.get(state="shadow")
    card, models, _ = store.read(places.MODELS_URL, shadow.name)
    hasty = Edges(START_EDGES.single * 0.1, START_EDGES.together * 0.1)
    store.write(places.MODELS_URL, card, models, hasty)
    add(places.LAKE_URL, lived(learned.patient, 1, until=MIDNIGHT + timedelta(days=1), seed=4))
    run = train_share(first.share, NOW + timedelta(days=1))
    assert f"{shadow.name} not promoted" in run.result
    shadow.refresh_from_db()
    assert shadow.state == "rejected"
    assert shadow.metrics["alerts"] >= 1
    assert known_to(learned.patient, NOW + timedelta(days=1)) == first.name
    shadow.findings.update(began_at=NOW - timedelta(hours=2))
    with transaction.atomic():
        transitions_apply([unusual(learned.patient)], now=NOW - timedelta(hours=2))
    assert not Alert.objects.filter(raised_at__gt=NOW).exists()
    page = learned.client("bob").get(reverse("shadow")).content.decode()
    assert "Alice Marsh" in page
    assert "Several vitals unlike usual" in page
    assert "Alice" not in learned.client("charlie").get(reverse("shadow")).content.decode()


def test_an_operator_rolls_back_in_one_step_and_trains_one_person(learned, places, monkeypatch):
    first = ModelVersion.objects.get()
    run = train_person(patient=learned.patient, by=learned.admin, now=NOW + timedelta(seconds=5))
    assert run.result.startswith("promoted")
    second = ModelVersion.objects.get(state="in_force")
    assert known_to(learned.patient) == second.name != first.name
    page = reverse("admin:personal_modelversion_changelist")
    client = learned.client("admin")
    answer = client.post(page, {"action": "put_into_force", "_selected_action": [first.pk]}, follow=True)
    assert "is in force from the next minute on" in answer.content.decode()
    assert known_to(learned.patient) == first.name
    asked = []
    monkeypatch.setattr("portal.people.admin.train_one_person.delay", lambda **asked_for: asked.append(asked_for))
    people = reverse("admin:people_patient_changelist")
    client.post(people, {"action": "train_people", "_selected_action": [learned.patient.pk]})
    assert asked == [{"patient": learned.patient.pk, "by": learned.admin.pk}]


def test_two_days_are_too_little_and_the_run_says_so(consented, places):
    add(places.LAKE_URL, lived(consented.patient, 2))
    run = train_person(patient=consented.patient, by=None, now=NOW)
    assert run.result == "2 days are known: at least 4 are needed"
    assert PersonalRange.objects.get().days == 2
    assert TrainingRun.objects.get().finished_at is not None


def test_consent_withdrawn_ends_personal_alerts_and_deletes_the_model(learned, places, monkeypatch):
    forgotten = []
    monkeypatch.setattr("portal.personal.tasks.model_forget.delay_on_commit", lambda **what: forgotten.append(what))
    with transaction.atomic():
        transitions_apply([unusual(learned.patient)], now=NOW)
    consent_record(patient=learned.patient, purpose=Purpose.PERSONAL_MODEL, given=False, by=learned.alice, now=NOW)
    assert Episode.objects.get().ended_at is not None
    assert known_to(learned.patient) is None
    assert forgotten == [{"subject": learned.patient.subject}]
    assert person_forget(subject=learned.patient.subject, now=NOW) == 1
    assert store.read(places.MODELS_URL, ModelVersion.objects.get().name)[1] == {}


def test_a_version_that_does_not_know_somebody_leaves_no_alert_of_theirs_open(learned, places):
    version = ModelVersion.objects.get()
    card, _, edges = store.read(places.MODELS_URL, version.name)
    store.write(places.MODELS_URL, card, {}, edges)
    with transaction.atomic():
        transitions_apply([unusual(learned.patient)], now=NOW)
    version_activate(version=version, why="test", now=NOW)
    assert Episode.objects.get().ended_at is not None


def test_a_file_that_cannot_be_read_leaves_the_watch_running(learned, places, tmp_path):
    (tmp_path / "models" / f"{ModelVersion.objects.get().name}.parquet").write_bytes(b"broken")
    assert known_to(learned.patient) is None


@pytest.mark.parametrize("who", ["alice", "bob"])
def test_patient_and_clinician_tell_what_is_different_and_when_it_is_over(cast, who):
    client, page = cast.client(who), reverse("context", args=[cast.patient.pk])
    form = {"action": "add", "kind": "ill", "since": f"{NOW - timedelta(hours=1):%Y-%m-%dT%H:%M}", "hours": "72"}
    assert client.post(page, form).status_code == 302
    (told,) = tags_of(share_of(cast.patient.subject), NOW)[cast.patient.subject]
    assert (told.name, told.until - told.since) == ("ill", 72 * 3_600_000_000)
    assert "Ill" in client.get(page).content.decode()
    assert client.post(page, {"action": "end", "tag": ContextTag.objects.get().pk}).status_code == 302
    assert ContextTag.objects.get().until <= datetime.now(UTC)
    wrong = {**form, "since": f"{NOW - timedelta(days=30):%Y-%m-%dT%H:%M}"}
    answer = client.post(page, wrong)
    assert answer.status_code == 422
    assert "within the last 7 days" in answer.content.decode()


def test_the_alert_shows_what_is_unlike_usual_by_how_much_and_from_what(cast):
    with transaction.atomic():
        transitions_apply([unusual(cast.patient)], now=NOW)
    page = reverse("alert", args=[Alert.objects.get().pk])
    shown = cast.client("bob").get(page).content.decode()
    for text in ("84 /min", "58 to 72 /min", "70 %", "watch-alice", "1 hour", "92 %", "28 days", "model v1"):
        assert text in shown, text
    told = cast.client("alice").get(page).content.decode()
    assert "higher and oxygen level has been lower than is usual for you" in told
    read = re.sub(r"<time\b.*?</time>|<[^>]*>|\d\d:\d\d|\d+ \w+ \d{4}", " ", told)  # no clock, no form's token
    assert "58" not in read


@pytest.fixture(scope="module")
def shared():
    return population.from_published(tuple(NIGHTLY), people=8, nights=40)


def night(cast, places, shared, **shift):
    store.write_population(places.MODELS_URL, "population.json", shared)
    add(places.LAKE_URL, lived(cast.patient, 24, until=MIDNIGHT - timedelta(days=2), every=900))
    add(places.LAKE_URL, lived(cast.patient, 3, until=MIDNIGHT + timedelta(days=1), every=900, seed=9, **shift))
    return MIDNIGHT + timedelta(hours=10)


def test_two_nights_unlike_usual_are_raised_once_and_a_tag_keeps_them_back(shared, consented, places):
    at = night(consented, places, shared, heart_rate=15)
    patients = Patient.objects.all()
    (step,) = night_transitions(patients, at)
    assert (step.cause, step.step, step.subject) == ("personal:nights", "opened", consented.patient.subject)
    assert step.evidence["values"]["resting_heart_rate"]["share"] > 0.5
    assert night_transitions(patients, at) == [], "a night is judged once"
    PersonalRange.objects.update(judged_on=None)
    ContextTag.objects.create(
        patient=consented.patient,
        kind="travel",
        since=at - timedelta(days=1),
        until=at,
        by=consented.alice,
        at=at,
    )
    assert night_transitions(patients, at) == []
    assert KeptBack.objects.get().tag == "travel"
    record = consented.client("bob").get(f"/patients/{consented.patient.pk}/").content.decode()
    assert "Nights unlike usual" in record


def test_shares_cut_the_people_without_gap_or_overlap(cast, settings):
    settings.ADMITTED_PARTITIONS, settings.TRAINING_SHARES = 3, 2
    for share in range(6):
        assert {share_of(p.subject) for p in people_of([share])} <= {share}
    assert sum(people_of([share]).count() for share in range(6)) == Patient.objects.count() == 2
