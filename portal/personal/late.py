"""What was unlike usual and came too late for the watcher: recorded and shown on the record, never an alert."""

from collections.abc import Collection, Sequence
from datetime import datetime

from analytics.learn import Learned
from portal.alerts.models import Episode
from portal.people.models import Patient
from portal.personal.models import ContextTag, LateFinding, ModelVersion


def late_record(version: ModelVersion, people: Collection[Patient], learned: Sequence[Learned], now: datetime) -> int:
    """Record each time that nothing has told of yet: no personal episode, no tag that explains it, no earlier finding.
    The number recorded."""
    of_subject = {p.subject: p for p in people}
    found = [
        LateFinding(version=version, patient=of_subject[one.subject], began_at=begin, ended_at=end, found_at=now)
        for one in learned
        for begin, end in one.late
    ]
    told = [finding for finding in found if not _is_told(finding)]
    LateFinding.objects.bulk_create(told, ignore_conflicts=True)
    return len(told)


def _is_told(finding: LateFinding) -> bool:
    inside = {"patient": finding.patient, "began_at__lt": finding.ended_at}
    episodes = Episode.objects.filter(**inside, cause__startswith="personal:").exclude(ended_at__lt=finding.began_at)
    earlier = LateFinding.objects.filter(**inside, ended_at__gt=finding.began_at)
    tags = ContextTag.objects.touching(finding.began_at, finding.ended_at).filter(patient=finding.patient)
    return episodes.exists() or earlier.exists() or tags.exists()
