"""What would have fired in the last 30 days, for one patient or a whole team, under limits not in force yet."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
from django.conf import settings

from analytics.preview import Fired, Known, missed, replay
from analytics.terms import WATCHED, Limit, Term, Terms
from ingestion import lake
from portal.alerts.models import Response
from portal.consent.models import Purpose
from portal.consent.selectors import consenting
from portal.monitoring.models import Plan, Preview
from portal.monitoring.selectors import plans_of
from portal.monitoring.services import Bounds, Draft, draft_of
from portal.people.models import Patient
from portal.pipeline.terms import SCALES

if TYPE_CHECKING:
    from portal.accounts.models import User

WINDOW = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What would have fired under some terms, by cause, and which known events would have passed unnoticed."""

    fired: list[Fired]
    missed: list[Known]

    def as_json(self) -> dict[str, object]:
        return {
            "alerts": len(self.fired),
            "causes": dict(sorted(Counter(f.cause for f in self.fired).items())),
            "levels": {str(k): v for k, v in sorted(Counter(int(f.level) for f in self.fired).items())},
            "missed": [{"subject": k.subject, "began_at": k.began_at.isoformat()} for k in self.missed],
        }


def preview_ask(
    *, patient: Patient, draft: Draft, whole_team: bool, form: dict[str, str], by: "User", now: datetime
) -> Preview:
    """Ask for a preview; a task of the `lake` queue makes it. `form` is kept, so that it can be put in force after."""
    from portal.monitoring.tasks import preview_make

    preview = Preview.objects.create(
        patient=patient,
        whole_team=whole_team,
        asked_by=by,
        asked_at=now,
        form=form,
        draft={
            "news2": draft.news2,
            "vitals": dict(draft.vitals),
            "limits": {v: [b.low, b.high, b.reason] for v, b in draft.limits.items()},
        },
    )
    preview_make.delay_on_commit(preview=preview.pk)
    return preview


def preview_run(preview: Preview, now: datetime) -> None:
    """Make the preview and keep its result. Nothing is read of anybody who has withdrawn consent to care."""
    draft = preview.draft
    limits = {v: Bounds(low, high, reason) for v, (low, high, reason) in draft["limits"].items()}
    people = [preview.patient]
    if preview.whole_team:
        people = list(Patient.objects.filter(care_team=preview.patient.care_team_id))
    consented = consenting(people, Purpose.CARE)
    people = [p for p in people if p.pk in consented]
    plans = plans_of(people, now)
    start, end = now - WINDOW, now
    readings = readings_of(people, start, end)
    known = known_events(people, start)
    before = outcome(readings, [_term(p, draft_of(plans[p.pk])) for p in people if p.pk in plans], known, end)
    proposed = []
    for person in people:
        own = draft_of(plans[person.pk]) if person.pk in plans else None
        if person.pk == preview.patient_id or own is None:
            proposed.append(_term_of(person, draft["news2"], draft["vitals"], limits))
        else:  # of the others only the limits change; who must not be scored by NEWS2 is still not
            proposed.append(_term_of(person, own.news2, own.vitals, {**own.limits, **limits}))
    after = outcome(readings, proposed, known, end)
    days = patient_days(readings)
    preview.result = {
        "patient_days": days,
        "people": len(people),
        "before": before.as_json() | {"per_day": len(before.fired) / days if days else None},
        "after": after.as_json() | {"per_day": len(after.fired) / days if days else None},
        "known": len(known),
    }
    preview.done_at = now
    preview.save(update_fields=["result", "done_at"])


def outcome(readings: pa.Table, terms: Sequence[Term], known: Sequence[Known], end: datetime) -> Outcome:
    fired = replay(readings, Terms(terms))
    return Outcome(fired, missed(fired, known, end))


def readings_of(people: Iterable[Patient], start: datetime, end: datetime) -> pa.Table:
    """What the lake holds of these people, with their subject."""
    columns = ["measured_at", "offset_minutes", "received_at", "device_id", *WATCHED]
    tables = []
    for person in people:
        rows = lake.read(
            settings.LAKE_URL,
            organisation=person.organisation.key,
            subject=person.subject,
            start=start,
            end=end,
            columns=columns,
        )
        tables.append(rows.append_column("subject", pa.repeat(pa.scalar(person.subject), rows.num_rows)))
    return pa.concat_tables(tables)


def known_events(people: Iterable[Patient], start: datetime) -> list[Known]:
    """Alerts about values that a person called useful when closing them: something was the matter."""
    useful = Response.objects.filter(
        useful=True, alert__episode__patient__in=[p.pk for p in people], alert__episode__began_at__gte=start
    ).exclude(alert__episode__cause__startswith="silence:")
    return [
        Known(r.alert.episode.patient.subject, r.alert.episode.began_at, r.alert.episode.ended_at or r.at)
        for r in useful.select_related("alert__episode__patient").order_by("pk")
    ]


def patient_days(readings: pa.Table) -> int:
    """Days of people on which anything was measured, in UTC."""
    days = readings["measured_at"].cast(pa.timestamp("us")).cast(pa.date32(), safe=False)
    return pa.table({"day": days, "subject": readings["subject"]}).group_by(["day", "subject"]).aggregate([]).num_rows


def _term(person: Patient, draft: Draft) -> Term:
    return _term_of(person, draft.news2, draft.vitals, draft.limits)


def _term_of(person: Patient, news2: str, vitals: dict[str, int], limits: dict[str, Bounds]) -> Term:
    return Term(
        subject=person.subject,
        scale=SCALES[Plan.News2(news2)],
        due_s={vital: minutes * 60 for vital, minutes in vitals.items()},
        limits={vital: Limit(b.low, b.high, b.reason) for vital, b in limits.items()},
    )
