"""Alerts as a person may see them."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from django.db.models import Case, QuerySet, Value, When

from portal.alerts.models import Alert, Episode
from portal.people.models import Change, Patient

if TYPE_CHECKING:
    from portal.accounts.models import User

NOT_CLOSED = (Alert.State.OPEN, Alert.State.ACKNOWLEDGED, Alert.State.SNOOZED)
# The order in which people work: what nobody has answered, then the most serious, then what waits longest.
URGENT_FIRST = (Case(When(state=Alert.State.OPEN, then=Value(0)), default=Value(1)), "-episode__level", "raised_at")


def alerts_for(user: "User", states: Iterable[str] | None = None) -> QuerySet[Alert]:
    """The alerts this user may see, newest first."""
    alerts = Alert.objects.visible_to(user).select_related("episode__patient", "held_by")
    return alerts if states is None else alerts.filter(state__in=list(states))


def alert_for(user: "User", pk: int) -> Alert:
    """Raises Alert.DoesNotExist for what this user may not see, as for what is not there."""
    return alerts_for(user).get(pk=pk)


def open_alerts_of(patients: Iterable[Patient]) -> dict[int, list[Alert]]:
    """Alerts that are not closed, by the primary key of the patient; the most serious first."""
    found: dict[int, list[Alert]] = {}
    alerts = Alert.objects.filter(episode__patient__in=[p.pk for p in patients], state__in=NOT_CLOSED)
    for alert in alerts.select_related("episode__patient").order_by("-episode__level", "-raised_at"):
        found.setdefault(alert.episode.patient_id, []).append(alert)
    return found


def with_open_episode(patients: Iterable[Patient], cause: str) -> set[int]:
    """The primary keys of those about whom an episode of this cause is open."""
    episodes = Episode.objects.filter(cause=cause, ended_at__isnull=True, patient__in=[p.pk for p in patients])
    return set(episodes.values_list("patient_id", flat=True))


@dataclass(frozen=True, slots=True)
class SeenChange:
    """A change as an open page hears of it: what and whose, and nothing of anybody's health."""

    cursor: int
    kind: str
    what: str
    patient: int
    alert: int | None

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def cursor_of(user: "User") -> int:
    """Where this user's view of changes stands now."""
    organisation = user.organisation
    if organisation is None:
        return 0
    organisation.refresh_from_db(fields=["counter"])
    return int(organisation.counter)


def changes_since(user: "User", cursor: int, limit: int = 500) -> tuple[int, list[SeenChange]]:
    """Changes after `cursor` to patients this user may see, in order; and the cursor to go on from."""
    rows = list(
        Change.objects.filter(organisation_id=user.organisation_id, sequence__gt=cursor)
        .order_by("sequence")
        .values_list("sequence", "kind", "what", "patient_id", "row")[:limit]
    )
    visible = set(
        Patient.objects.visible_to(user).filter(pk__in={row[3] for row in rows if row[3]}).values_list("pk", flat=True)
    )
    seen = [
        SeenChange(sequence, kind, what, patient, row if kind == Change.Kind.ALERT else None)
        for sequence, kind, what, patient, row in rows
        if patient in visible
    ]
    return (rows[-1][0] if rows else cursor), seen
