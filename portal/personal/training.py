"""Training of one share, or of one person: fit, replay, shadow, promote only if not worse. See `analytics.learn`.

Tonight's version goes into shadow, and the one that has been in shadow is judged on the days since it was made, beside
the one in force. Where nothing is in force yet there is nothing to wait for: the first version is judged on its last
day, which it was fitted without.
"""

import logging
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.utils import timezone

from analytics import store, train
from analytics.learn import LEARNED, Learned, Learner, Models, card_of, learn
from analytics.store import UnreadableModel
from analytics.train import Replay, Verdict
from analytics.windows import START_EDGES, Edges, StreamModel
from portal.alerts.models import Episode, Level
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.people.models import Patient
from portal.personal.late import late_record
from portal.personal.models import ContextTag, ModelVersion, PersonalRange, ShadowFinding, TrainingRun
from portal.personal.selectors import activation_of
from portal.personal.shares import people_of, share_of
from portal.personal.versions import version_activate, version_make

if TYPE_CHECKING:
    from portal.accounts.models import User

log = logging.getLogger(__name__)

BUDGET = 0.5  # false alerts a week and person that a version may raise
PROGRESS_EVERY = 20  # people


def train_share(share: int, now: datetime) -> TrainingRun:
    """Train everybody of a share who has consented to care and to a personal model."""
    end = midnight(now)
    people = consented(people_of([share]))
    run = TrainingRun.objects.create(share=share, started_at=now, people=len(people))
    in_force, shadow = _in_force(share), _shadow(share)
    judged = {v.name: models for v in (in_force, shadow) if v is not None and (models := _read(v)) is not None}
    waits = shadow is not None and shadow.name in judged and shadow.data_to < end
    since = shadow.data_to if waits and shadow is not None else (end if in_force else None)
    edges = judged[in_force.name][1] if in_force is not None and in_force.name in judged else START_EDGES

    learned: list[Learned] = []
    now_in_force = judged.get(in_force.name) if in_force is not None else None
    for one in learn(
        settings.LAKE_URL,
        learners(people, end),
        end=end,
        edges=edges,
        judged=judged,
        since=since,
        in_force=now_in_force,
    ):
        learned.append(one)
        if len(learned) % PROGRESS_EVERY == 0:
            TrainingRun.objects.filter(pk=run.pk).update(done=len(learned))
    _remember(people, learned, now)
    if in_force is not None:
        late_record(in_force, people, learned, now)
    known = {one.subject: one.model for one in learned if one.model is not None}
    said = []
    if waits and shadow is not None:
        said.append(_judge(shadow, in_force, learned, now))
        _record(shadow, people, learned)
        if in_force is not None:
            replay = _replay_of(learned, in_force.name)
            edges = train.readjusted(edges, replay, BUDGET)
    if not known:
        said.append("nobody has enough history yet")
    elif in_force is None:
        first = _replay_of(learned, "")
        said.append(_first(share, now, end, learned, known, first, edges))
    else:
        ModelVersion.objects.filter(share=share, state=ModelVersion.State.SHADOW).update(
            state=ModelVersion.State.REPLACED, reason="A later version took its place in shadow"
        )
        card = card_of(name_of(now, share), now, end, learned, {})
        version_make(share=share, card=card, models=known, edges=edges)
        said.append(f"{card.version} of {card.people} people is in shadow")
    return run_finish(run, len(learned), "; ".join(said), now)


def train_person(*, patient: Patient, by: "User | None", now: datetime) -> TrainingRun:
    """Learn one person anew and, if the new model is not worse on the day it was not fitted on, put it into force among
    the models of everybody else in the share."""
    share, end = share_of(patient.subject), midnight(now)
    people = consented([patient])
    run = TrainingRun.objects.create(share=share, patient=patient, started_at=now, people=len(people))
    if not people:
        return run_finish(run, 0, "no consent to a personal model", now)
    in_force = _in_force(share)
    found = _read(in_force) if in_force is not None else None
    models, edges = found if found is not None else ({}, START_EDGES)
    (one,) = learn(settings.LAKE_URL, learners(people, end), end=end, edges=edges, judged={}, since=None)
    _remember(people, [one], now)
    if one.model is None or "" not in one.replays:
        return run_finish(run, 1, f"{one.days} days are known: at least {train.LEAST_DAYS + 1} are needed", now)
    decided = train.verdict(one.replays[""], None, BUDGET)
    card = card_of(name_of(now, share), now, end, [one], metrics_of(one.replays[""]))
    if not decided.promoted:
        version_make(
            share=share,
            card=card,
            models={one.subject: one.model},
            edges=edges,
            state=ModelVersion.State.REJECTED,
            reason=decided.reason,
        )
        return run_finish(run, 1, f"not promoted: {decided.reason}", now)
    version = version_make(share=share, card=card, models={**models, one.subject: one.model}, edges=edges)
    version_activate(version=version, why=f"One person on demand: {decided.reason}"[:200], now=now, by=by)
    return run_finish(run, 1, f"promoted: {decided.reason}", now)


def learners(people: Collection[Patient], end: datetime, back: timedelta = LEARNED) -> list[Learner]:
    """These people with what is known of their last weeks: alarms, useful ones, and context, which are not usual."""
    since = end - back
    alarms: dict[int, list[tuple[datetime, datetime]]] = {}
    events: dict[int, list[tuple[datetime, datetime]]] = {}
    episodes = Episode.objects.filter(patient__in=[p.pk for p in people], level__gt=Level.SILENT).exclude(
        ended_at__lt=since
    )
    for patient, began, ended, useful in episodes.values_list(
        "patient_id", "began_at", "ended_at", "alert__response__useful"
    ):
        span = (began, max(ended or end, began))
        if useful is not False:  # what somebody called useless was usual after all
            alarms.setdefault(patient, []).append(span)
        if useful:
            events.setdefault(patient, []).append(span)
    tags = ContextTag.objects.touching(since, end).filter(patient__in=[p.pk for p in people])
    for patient, began, ended in tags.values_list("patient_id", "since", "until"):
        alarms.setdefault(patient, []).append((began, ended))
    return [Learner(p.organisation.key, p.subject, alarms.get(p.pk, []), events.get(p.pk, [])) for p in people]


def consented(people: "Collection[Patient]") -> list[Patient]:
    """Those who have consented both to care and to a personal model, with their organisation."""
    everybody = list(Patient.objects.filter(pk__in=[p.pk for p in people]).select_related("organisation"))
    both = consenting(everybody, Purpose.CARE) & consenting(everybody, Purpose.PERSONAL_MODEL)
    return sorted((p for p in everybody if p.pk in both), key=lambda p: p.subject)


def midnight(now: datetime) -> datetime:
    """The last midnight of UTC: whole days are learned from."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def name_of(now: datetime, share: int) -> str:
    return f"{now.astimezone(UTC):%Y%m%dT%H%M%S}-{share}"


def metrics_of(replay: Replay) -> dict[str, float]:
    """What stands on the card: how a version did on the days on which it was judged."""
    return {
        "false_alerts_a_week": round(replay.rate, 3),
        "alerts": replay.alerts,
        "weeks": round(replay.weeks, 2),
        "events_found": len(replay.found),
    }


def _first(
    share: int,
    now: datetime,
    end: datetime,
    learned: list[Learned],
    known: Mapping[str, StreamModel],
    replay: Replay,
    edges: Edges,
) -> str:
    decided = train.verdict(replay, None, BUDGET)
    card = card_of(name_of(now, share), now, end, learned, metrics_of(replay))
    state = ModelVersion.State.SHADOW if decided.promoted else ModelVersion.State.REJECTED
    version = version_make(share=share, card=card, models=known, edges=edges, state=state, reason=decided.reason)
    if not decided.promoted:
        return f"{version.name} not promoted: {decided.reason}"
    version_activate(version=version, why=decided.reason, now=now)
    return f"{version.name} is the first in force: {decided.reason}"


def _judge(shadow: ModelVersion, in_force: ModelVersion | None, learned: list[Learned], now: datetime) -> str:
    new = _replay_of(learned, shadow.name)
    old = _replay_of(learned, in_force.name) if in_force is not None else None
    decided: Verdict = train.verdict(new, old, BUDGET)
    shadow.metrics = metrics_of(new) | ({f"in_force_{k}": v for k, v in metrics_of(old).items()} if old else {})
    shadow.reason = decided.reason
    shadow.state = ModelVersion.State.SHADOW if decided.promoted else ModelVersion.State.REJECTED
    shadow.save(update_fields=["metrics", "reason", "state"])
    if not decided.promoted:
        return f"{shadow.name} not promoted: {decided.reason}"
    version_activate(version=shadow, why=decided.reason, now=now)
    return f"{shadow.name} promoted: {decided.reason}"


def _record(shadow: ModelVersion, people: Collection[Patient], learned: list[Learned]) -> None:
    """What the version would have raised, to be seen beside what really alerted."""
    of_subject = {p.subject: p for p in people}
    ShadowFinding.objects.bulk_create(
        ShadowFinding(
            version=shadow,
            patient=of_subject[one.subject],
            began_at=shadow.data_to + timedelta(minutes=begin),
            ended_at=shadow.data_to + timedelta(minutes=end),
        )
        for one in learned
        if shadow.name in one.replays
        for begin, end in one.replays[shadow.name].spans
    )


def _replay_of(learned: list[Learned], name: str) -> Replay:
    return train.together({one.subject: one.replays[name] for one in learned if name in one.replays})


def _remember(people: Collection[Patient], learned: list[Learned], now: datetime) -> None:
    days = {one.subject: one.days for one in learned}
    PersonalRange.objects.bulk_create(
        [PersonalRange(patient=p, days=days[p.subject], at=now) for p in people if p.subject in days],
        update_conflicts=True,
        unique_fields=["patient"],
        update_fields=["days", "at"],
    )


def run_finish(run: TrainingRun, done: int, result: str, now: datetime) -> TrainingRun:
    run.done, run.result, run.finished_at = done, result[:300], max(timezone.now(), now)
    run.save(update_fields=["done", "result", "finished_at"])
    log.info("training of share %s: %d people: %s", run.share, done, result)
    return run


def _in_force(share: int) -> ModelVersion | None:
    activation = activation_of(share)
    return activation.version if activation else None


def _shadow(share: int) -> ModelVersion | None:
    return ModelVersion.objects.filter(share=share, state=ModelVersion.State.SHADOW).order_by("-made_at").first()


def _read(version: ModelVersion) -> Models | None:
    try:
        _, models, edges = store.read(settings.MODELS_URL, version.name)
    except UnreadableModel as error:
        log.error("%s", error)
        return None
    return models, edges
