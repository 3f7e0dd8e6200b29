"""Celery tasks of the plans, on the `lake` queue since they read history: previews, and who has gained weight."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from portal.alerts.services import transitions_take
from portal.monitoring.models import Preview
from portal.monitoring.preview import preview_run
from portal.monitoring.weighing import weight_transitions
from portal.personal.shares import people_of, shares


@shared_task
def preview_make(*, preview: int, **_: Any) -> None:
    found = Preview.objects.select_related("patient__organisation").filter(pk=preview, done_at__isnull=True).first()
    if found is not None:
        preview_run(found, timezone.now())


@shared_task
def weigh(**_: Any) -> None:
    for share in range(shares()):
        weigh_share.apply_async(kwargs={"share": share}, expires=1800)


@shared_task(time_limit=840)  # below the broker's visibility timeout
def weigh_share(*, share: int, **_: Any) -> None:
    """Raise and end what the weights of one share ask for."""
    now = timezone.now()
    transitions_take(list(weight_transitions(people_of([share]), now)), now=now)
