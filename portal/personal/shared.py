"""The part that everybody's nights share: which version judges, and how it is learned from the installation's people.

Until there are enough of them it is made of published figures. Once a week it is learned anew from those who have
consented to care and to a personal model, with the answers to alerts as labels, and takes over if it does not do worse
on people whom it was not learned from (`analytics.proving`).
"""

import logging
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import numpy as np
from django.conf import settings
from django.db import transaction

from analytics import population, proving, store
from analytics.channels import NIGHTLY
from analytics.nights import KEPT, nights, touched
from analytics.population import BUDGET, START, History, Population
from analytics.store import UnreadableModel
from portal.people.models import Patient
from portal.personal.models import ModelVersion, SharedVersion, TrainingRun
from portal.personal.training import consented, learners, midnight, run_finish

if TYPE_CHECKING:
    from portal.accounts.models import User

log = logging.getLogger(__name__)

PUBLISHED = "population"  # the file made of published figures
LEAST_PEOPLE = 30  # with history; fewer would be found again in what they share
LEAST_WEEKS = 200.0  # of nights of all together: a threshold of one alert in 20 weeks then rests on ten
MOST_PEOPLE = 300  # drawn anew each time; more would teach little
PROGRESS_EVERY = 20  # people


def population_now() -> tuple[Population, str]:
    """The part that judges nights now, and its version; of published figures where nothing else is in force."""
    version = SharedVersion.objects.filter(state=ModelVersion.State.IN_FORCE).first()
    if version is not None:
        try:
            return _read(settings.MODELS_URL, version.name), version.name
        except UnreadableModel as error:
            log.error("%s", error)
    return _published(settings.MODELS_URL), "published-1"


def shared_learn(people: Iterable[Patient], now: datetime) -> TrainingRun:
    """Learn from those of these people who have consented; what became of it stands in the run."""
    everybody = consented(list(people))
    order = np.random.default_rng(int(f"{now:%Y%m%d}")).permutation(len(everybody))
    drawn = [everybody[place] for place in order[:MOST_PEOPLE]]
    run = TrainingRun.objects.create(share=None, started_at=now, people=len(drawn))
    histories = []
    for done, history in enumerate(_histories(drawn, now), 1):
        if np.isfinite(history.values).any(axis=1).sum() > START:
            histories.append(history)
        if done % PROGRESS_EVERY == 0:
            TrainingRun.objects.filter(pk=run.pk).update(done=done)
    weeks = sum(int(np.isfinite(h.values).any(axis=1).sum()) for h in histories) / 7
    if len(histories) < LEAST_PEOPLE or weeks < LEAST_WEEKS:
        result = f"{len(histories)} people with {weeks:.0f} weeks: {LEAST_PEOPLE} and {LEAST_WEEKS:.0f} are needed"
        return run_finish(run, len(drawn), result, now)
    sign = np.array([channel.sign for channel in NIGHTLY.values()], float)
    learned, new = proving.learn(histories, tuple(NIGHTLY), sign)
    before, _ = population_now()
    promoted, reason = proving.verdict(new, proving.proof_of(before, histories), BUDGET)
    version = _make(learned, new, len(histories), reason, now)
    if promoted:
        shared_activate(version=version, why=reason)
    return run_finish(run, len(drawn), f"{version.name}: {reason}", now)


def shared_activate(*, version: SharedVersion, why: str, by: "User | None" = None) -> None:
    """Have a version judge nights from now on. A rollback is the same with an earlier one. Raises UnreadableModel."""
    store.read_population(settings.MODELS_URL, f"{version.name}.json")
    with transaction.atomic():
        SharedVersion.objects.filter(state=ModelVersion.State.IN_FORCE).exclude(pk=version.pk).update(
            state=ModelVersion.State.REPLACED
        )
        version.state, version.reason, version.by = ModelVersion.State.IN_FORCE, why[:200], by
        version.save(update_fields=["state", "reason", "by"])


def _make(learned: Population, new: proving.Proof, people: int, reason: str, now: datetime) -> SharedVersion:
    name = f"nights-{now.astimezone(UTC):%Y%m%dT%H%M%S}"
    store.write_population(settings.MODELS_URL, f"{name}.json", learned)
    metrics = {
        "false_alerts_a_week": round(new.rate, 3),
        "weeks": round(new.weeks, 1),
        "shifts_found": round(new.recall, 3),
        "shifts": new.laid,
    }
    state = ModelVersion.State.REJECTED
    return SharedVersion.objects.create(
        name=name, state=state, made_at=now, people=people, metrics=metrics, reason=reason[:200]
    )


def _histories(people: list[Patient], now: datetime) -> Iterator[History]:
    """Each one's nights, with what answers to alerts say of them."""
    known = learners(people, midnight(now), timedelta(days=KEPT))
    for patient, told in zip(people, known, strict=True):
        zone = ZoneInfo(patient.time_zone)
        last = now.astimezone(zone).date() - timedelta(days=1)
        values = nights(
            settings.LAKE_URL, organisation=patient.organisation.key, subject=patient.subject, zone=zone, last=last
        )
        ill = touched(told.events, zone=zone, last=last)
        alarm = touched(told.alarms, zone=zone, last=last)
        yield History(values, ill=ill if ill.any() else None, healthy=~alarm)


@lru_cache(maxsize=4)
def _read(url: str, name: str) -> Population:
    return store.read_population(url, f"{name}.json")


@lru_cache(maxsize=2)
def _published(url: str) -> Population:
    try:
        return _read(url, PUBLISHED)
    except UnreadableModel:
        log.info("no part that nights share has been written yet: made of published figures")
        found = population.from_published(tuple(NIGHTLY), people=30, nights=60)
        store.write_population(url, f"{PUBLISHED}.json", found)
        return found
