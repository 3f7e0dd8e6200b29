"""A person's history for charts and tables."""

from collections.abc import Sequence

from django.conf import settings

from analytics.history import Series, series
from portal.charts.periods import Period
from portal.people.models import Patient


def history_of(patient: Patient, vitals: Sequence[str], period: Period, points: int) -> dict[str, Series]:
    """Series of these vitals by name, from the lake. The caller has made sure of the viewer and of consent."""
    return series(
        settings.LAKE_URL,
        organisation=patient.organisation.key,
        subject=patient.subject,
        vitals=vitals,
        start=period.start,
        end=period.end,
        points=points,
    )
