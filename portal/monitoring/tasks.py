"""Celery tasks of the plans: previews, on the `lake` queue since they read weeks of history."""

from typing import Any

from celery import shared_task
from django.utils import timezone

from portal.monitoring.models import Preview
from portal.monitoring.preview import preview_run


@shared_task
def preview_make(*, preview: int, **_: Any) -> None:
    found = Preview.objects.select_related("patient__organisation").filter(pk=preview, done_at__isnull=True).first()
    if found is not None:
        preview_run(found, timezone.now())
