"""Celery tasks of the lake queue: look at the path, count what was refused, let SQL know of consents."""

from typing import Any

from celery import shared_task
from django.conf import settings
from django.utils import timezone

from portal.operations.consents import consents_follow
from portal.operations.refusals import refusals_follow
from portal.operations.status import status_look


@shared_task
def path_look(**_: Any) -> None:
    refusals_follow()
    status_look(timezone.now())


@shared_task
def consents_to_lake(**_: Any) -> None:
    consents_follow(settings.LAKE_URL)
