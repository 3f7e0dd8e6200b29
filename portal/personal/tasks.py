"""Celery tasks of the personal range, on the `lake` queue: each for one share, or one person."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from portal.accounts.models import User
from portal.alerts.services import transitions_take
from portal.people.models import Patient
from portal.personal.nightly import night_transitions
from portal.personal.shared import shared_learn
from portal.personal.shares import people_of, shares
from portal.personal.training import train_person, train_share
from portal.personal.versions import person_forget

LONG_S = 840  # below the broker's visibility timeout


@shared_task
def train_all(**_: Any) -> None:
    """Start a training task for every share."""
    for share in range(shares()):
        train_one_share.delay(share=share)


@shared_task(time_limit=LONG_S)
def train_one_share(*, share: int, **_: Any) -> None:
    train_share(share, timezone.now())


@shared_task(time_limit=LONG_S)
def train_one_person(*, patient: int, by: int | None = None, **_: Any) -> None:
    found = Patient.objects.filter(pk=patient).first()
    if found is not None:
        train_person(patient=found, by=User.objects.filter(pk=by).first(), now=timezone.now())


@shared_task(time_limit=LONG_S)
def learn_shared(**_: Any) -> None:
    """Learn the part that everybody's nights share."""
    shared_learn(Patient.objects.all(), timezone.now())


@shared_task
def judge_nights(**_: Any) -> None:
    for share in range(shares()):
        judge_nights_of.apply_async(kwargs={"share": share}, expires=1800)


@shared_task(time_limit=LONG_S)
def judge_nights_of(*, share: int, **_: Any) -> None:
    """Raise and end the findings of nights of one share."""
    now = timezone.now()
    transitions_take(night_transitions(people_of([share]), now), now=now)


@shared_task
def model_forget(*, subject: str, **_: Any) -> None:
    person_forget(subject=subject, now=timezone.now())
