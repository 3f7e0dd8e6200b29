"""What pages say of a person's own range: how far it is learned, what was told, what was kept back."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from analytics.train import LEARNED_DAYS, learning
from portal.alerts.models import Alert
from portal.consent.models import Purpose
from portal.consent.selectors import consenting, has_consent
from portal.people.models import Patient
from portal.personal.models import Activation, ContextTag, KeptBack, LateFinding, PersonalRange, ShadowFinding

if TYPE_CHECKING:
    from portal.accounts.models import User

SHOWN_BACK = timedelta(days=14)
AROUND = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class OwnRange:
    """`state` is one sentence; `tags` are those of now and to come, `kept_back` and `late` the last two weeks'."""

    consented: bool
    learning: str | None
    days: int
    state: str
    tags: Collection[ContextTag]
    kept_back: Collection[KeptBack]
    late: Collection[LateFinding]


def own_range(patient: Patient, now: datetime) -> OwnRange:
    consented = has_consent(patient, Purpose.PERSONAL_MODEL)
    known = PersonalRange.objects.filter(patient=patient).first()
    days = known.days if known else 0
    said = learning(days)
    if not consented:
        state = "No consent to a personal model: only the fixed limits are watched."
    elif said is not None:
        state = f"{said.capitalize()}. The fixed limits are watched all the time."
    else:
        state = f"Learned from {days} days." if days > LEARNED_DAYS else "Learned from a week."
    return OwnRange(
        consented=consented,
        learning=said if consented else None,
        days=days,
        state=state,
        tags=ContextTag.objects.filter(patient=patient, until__gt=now).select_related("by"),
        kept_back=KeptBack.objects.filter(patient=patient, at__gt=now - SHOWN_BACK)[:20] if consented else [],
        late=LateFinding.objects.filter(patient=patient, began_at__gt=now - SHOWN_BACK)[:20] if consented else [],
    )


def activation_of(share: int) -> Activation | None:
    """What is in force for a share, or comes into force within the minute."""
    return Activation.objects.filter(share=share).select_related("version").order_by("-since", "-pk").first()


@dataclass(frozen=True, slots=True)
class InShadow:
    """What a version in shadow would have raised, and the real alerts of the same hours."""

    patient: Patient
    began_at: datetime
    ended_at: datetime
    version: str
    alerts: list[Alert]


def shadow_of(user: "User", start: datetime, end: datetime) -> list[InShadow]:
    """Of this user's patients who consent to care and to a personal model, the newest first."""
    patients = list(Patient.objects.visible_to(user))
    allowed = consenting(patients, Purpose.CARE) & consenting(patients, Purpose.PERSONAL_MODEL)
    findings = list(
        ShadowFinding.objects.filter(patient__in=allowed, began_at__gte=start, began_at__lt=end).select_related(
            "patient", "version"
        )[:200]
    )
    alerts: dict[int, list[Alert]] = {}
    for alert in Alert.objects.filter(
        episode__patient__in={f.patient_id for f in findings}, raised_at__gte=start - AROUND
    ).select_related("episode"):
        alerts.setdefault(alert.episode.patient_id, []).append(alert)
    return [
        InShadow(
            f.patient,
            f.began_at,
            f.ended_at,
            f.version.name,
            [a for a in alerts.get(f.patient_id, []) if f.began_at - AROUND <= a.raised_at <= f.ended_at + AROUND],
        )
        for f in findings
    ]
