"""Versions of models: made, promoted or not, rolled back, and freed of a person who has withdrawn."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.conf import settings
from django.db import transaction

from analytics import store
from analytics.store import Card, UnreadableModel
from analytics.windows import Edges, StreamModel
from portal.alerts.live import announce_after_commit
from portal.alerts.models import Episode
from portal.alerts.services import episodes_unwatch
from portal.people.models import Change, Organisation, Patient
from portal.people.services import change_record
from portal.personal.live import forget_files
from portal.personal.models import Activation, ModelVersion
from portal.personal.shares import share_of

if TYPE_CHECKING:
    from portal.accounts.models import User

NOTICE = timedelta(seconds=60)  # from promotion to the first reading that is judged by it


def version_make(
    *,
    share: int,
    card: Card,
    models: Mapping[str, StreamModel],
    edges: Edges,
    state: str = ModelVersion.State.SHADOW,
    reason: str = "",
) -> ModelVersion:
    """Write the file, then the row that names it: a row without a whole file is never seen."""
    store.write(settings.MODELS_URL, card, models, edges)
    return ModelVersion.objects.create(
        name=card.version,
        share=share,
        state=state,
        made_at=datetime.fromisoformat(card.made_at),
        data_from=datetime.fromisoformat(card.data_from),
        data_to=datetime.fromisoformat(card.data_to),
        people=card.people,
        metrics=dict(card.metrics),
        reason=reason,
    )


def version_activate(*, version: ModelVersion, why: str, now: datetime, by: "User | None" = None) -> Activation:
    """Put a version into force for its share, a minute from now. A rollback is the same with an earlier version.

    Open personal episodes of people whom it does not know end: nothing would ever end them. Raises UnreadableModel.
    """
    _, models, _ = store.read(settings.MODELS_URL, version.name)
    with transaction.atomic():
        before = ModelVersion.objects.filter(share=version.share, state=ModelVersion.State.IN_FORCE)
        before.exclude(pk=version.pk).update(state=ModelVersion.State.REPLACED)
        version.state, version.reason = ModelVersion.State.IN_FORCE, why
        version.save(update_fields=["state", "reason"])
        activation = Activation.objects.create(version=version, share=version.share, since=now + NOTICE, by=by, why=why)
        orphans = Patient.objects.filter(
            pk__in=Episode.objects.filter(ended_at__isnull=True, cause__startswith="personal:").values("patient")
        )
        for patient in orphans.order_by("organisation_id", "pk"):
            if share_of(patient.subject) == version.share and patient.subject not in models:
                why_not = "The personal model in force does not know this person"
                episodes_unwatch(patient=patient, why=why_not, now=now, cause="personal:")
        _tell(now)
    return activation


def person_forget(*, subject: str, now: datetime) -> int:
    """Take one person out of every model file of their share; the number of files rewritten.

    Consent already keeps the watcher from using what is still in a file.
    """
    rewritten = 0
    for version in ModelVersion.objects.filter(share=share_of(subject)):
        try:
            card, models, edges = store.read(settings.MODELS_URL, version.name)
        except UnreadableModel:
            continue  # there is nothing of anybody in it that could be read
        if models.pop(subject, None) is not None:
            store.write(settings.MODELS_URL, card, models, edges)
            rewritten += 1
    forget_files()
    with transaction.atomic():
        _tell(now)
    return rewritten


def _tell(now: datetime) -> None:
    """Watchers follow every organisation's changes; a share holds people of several."""
    for organisation in Organisation.objects.order_by("pk").values_list("pk", flat=True):
        change_record(organisation_id=organisation, kind=Change.Kind.MODEL, what="version", now=now)
        announce_after_commit(organisation)
