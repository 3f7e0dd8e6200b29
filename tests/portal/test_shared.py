"""The part that everybody's nights share: learned from those who consented, only if it does not do worse."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from django.urls import reverse

from analytics import population, proving, store
from analytics.channels import NIGHTLY
from analytics.nights import touched
from analytics.population import History
from analytics.proving import Proof
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.people.models import Patient
from portal.personal import shared
from portal.personal.models import ModelVersion, SharedVersion, TrainingRun
from portal.personal.shared import population_now, shared_learn
from portal.personal.training import midnight
from tests.analytics.readings import NOON, reading
from tests.ingestion.lakes import add
from tests.portal.conftest import NOW, YESTERDAY

WARD, NIGHTS = 8, 45
NIGHTLY_VITALS = ("heart_rate", "respiratory_rate", "spo2", "skin_temperature")


@pytest.fixture
def places(settings, tmp_path):
    settings.LAKE_URL, settings.MODELS_URL = str(tmp_path / "lake"), str(tmp_path / "models")
    return settings


@pytest.fixture(scope="module")
def published():
    return population.from_published(tuple(NIGHTLY), people=8, nights=40)


@pytest.fixture
def few(monkeypatch):
    """As if a ward of eight were enough to learn from."""
    monkeypatch.setattr(shared, "LEAST_PEOPLE", WARD)
    monkeypatch.setattr(shared, "LEAST_WEEKS", 30.0)


@pytest.fixture
def ward(cast, places, published):
    """Eight people with six weeks of nights, of whom one has not consented to a personal model."""
    store.write_population(places.MODELS_URL, "population.json", published)
    rows, draw = [], np.random.default_rng(5)
    for number in range(WARD + 1):
        one = Patient.objects.create(
            organisation=cast.organisation,
            care_team=cast.patient.care_team,
            name=f"Person {number}",
            birth_date=date(1950, 5, 17),
        )
        for purpose in (Purpose.CARE, Purpose.PERSONAL_MODEL)[: 1 if number == WARD else 2]:
            consent_record(patient=one, purpose=purpose, given=True, by=cast.admin, now=YESTERDAY)
        level = draw.normal([62, 15, 96.5, 33.8], [6, 1.5, 0.6, 0.4])
        for night in range(NIGHTS):
            of_night = draw.normal(level, [2, 0.6, 0.6, 0.3])
            for quarter in range(5):
                at = midnight(NOW) - timedelta(days=night + 1) + timedelta(hours=1, minutes=15 * quarter)
                values = dict(zip(NIGHTLY_VITALS, map(float, of_night), strict=True))
                seconds = (at - NOON).total_seconds()
                rows.append(reading(seconds, one.subject, **values) | {"organisation": one.organisation.key})
    add(places.LAKE_URL, rows)
    return cast


def test_a_ward_that_is_too_small_is_judged_by_published_figures_and_the_run_says_why(ward):
    run = shared_learn(Patient.objects.all(), NOW)
    assert run.result == "8 people with 51 weeks: 30 and 200 are needed"
    assert population_now()[1] == "published-1"
    assert not SharedVersion.objects.exists()


def test_what_is_learned_judges_nights_until_somebody_rolls_it_back(ward, few, places):
    run = shared_learn(Patient.objects.all(), NOW)
    (version,) = SharedVersion.objects.all()
    assert (version.people, run.people, run.share) == (WARD, WARD, None), "who has not consented is not in it"
    assert version.state == "in_force", run.result
    learned, name = population_now()
    assert name == version.name
    # These people's breathing varies by 0.6 from night to night and their heart rate by 2: that was learned from them.
    assert 0.4 < learned.prior.within[list(NIGHTLY).index("respiratory_rate")] < 0.8
    shared_learn(Patient.objects.all(), NOW + timedelta(days=7))
    later = SharedVersion.objects.first()
    assert {later.state, version.state} <= {"in_force", "rejected"}

    chosen = {"action": "put_into_force", "_selected_action": [version.pk]}
    ward.client("admin").post(reverse("admin:personal_sharedversion_changelist"), chosen)
    assert population_now()[1] == version.name
    assert list(SharedVersion.objects.filter(state="in_force")) == [version]


def test_a_part_that_would_alert_too_often_is_kept_and_does_not_judge(ward, few, monkeypatch):
    monkeypatch.setattr(proving, "verdict", lambda new, old, budget: (False, "It would alert too often"))
    shared_learn(Patient.objects.all(), NOW)
    assert SharedVersion.objects.get().state == ModelVersion.State.REJECTED
    assert population_now()[1] == "published-1"
    assert "too often" in TrainingRun.objects.get().result


def test_a_file_that_cannot_be_read_leaves_the_published_figures(ward, few, places, tmp_path):
    shared_learn(Patient.objects.all(), NOW)
    name = SharedVersion.objects.get().name
    (tmp_path / "models" / f"{name}.json").write_text("{")
    shared._read.cache_clear()
    assert population_now()[1] == "published-1"


@pytest.mark.parametrize(
    ("new", "old", "promoted"),
    [
        (Proof(10, 200, 60, 100), Proof(10, 200, 60, 100), True),
        (Proof(12, 200, 61, 100), Proof(10, 200, 60, 100), True),  # chance
        (Proof(30, 200, 90, 100), Proof(10, 200, 60, 100), False),
        (Proof(5, 200, 50, 100), Proof(10, 200, 60, 100), False),
        (Proof(20, 200, 60, 100), Proof(22, 200, 60, 100), True),  # no worse than before, though over the budget
    ],
)
def test_not_worse_means_neither_more_alerts_nor_fewer_found(new, old, promoted):
    assert proving.verdict(new, old, 0.05)[0] is promoted


def test_the_same_people_and_nights_prove_both_parts(published):
    people = list(population.simulated(tuple(NIGHTLY), 10, 60, np.random.default_rng(3)))
    sign = np.array([c.sign for c in NIGHTLY.values()], float)
    _, new = proving.learn(people, tuple(NIGHTLY), sign)
    old = proving.proof_of(published, people)
    assert (new.laid, new.weeks) == (old.laid, old.weeks)
    assert new.laid == 9 * len(people)
    assert new.recall > 0.4


def test_nights_that_somebody_called_ill_are_taught_and_not_counted_as_false(published):
    values = np.tile([4.1, 3.6, 15, 96, 34, 9, 125, 5.6], (60, 1)) + np.random.default_rng(2).normal(0, 0.05, (60, 8))
    values[:, 0] = 62 + np.random.default_rng(1).normal(0, 1, 60)
    values[40:44, 0] += 15
    healthy = np.ones(60, bool)
    assert proving.proof(published, [History(values, healthy=healthy)]).alerts == 1
    healthy[39:46] = False
    assert proving.proof(published, [History(values, healthy=healthy)]).alerts == 0


def test_a_time_touches_the_nights_of_the_persons_own_zone():
    """Noon to one in Tokyo is three at night in UTC, and by day there: it touches the next night, by its day."""
    tokyo = ZoneInfo("Asia/Tokyo")
    span = (datetime(2026, 3, 1, 3, tzinfo=UTC), datetime(2026, 3, 1, 4, tzinfo=UTC))
    last = date(2026, 3, 3)
    assert touched([span], zone=tokyo, last=last, count=4).tolist() == [False, False, True, False]
    assert touched([span], zone=ZoneInfo("UTC"), last=last, count=4).tolist() == [False, True, True, False]
