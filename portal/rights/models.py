"""Erasures: what has been done of each, and the receipt."""

from django.db import models


class Erasure(models.Model):
    """One person's erasure. It names the person by `subject` alone, and not even so once the tombstone has fallen.

    `ends` are the ends of `vitals.admitted` to which the archiver must have come before rows are removed; `receipt`
    counts what was removed where.
    """

    class Step(models.TextChoices):
        STOPPING = "stopping", "Nothing more is admitted"
        DRAINING = "draining", "Waiting until what was admitted is in the lake"
        LAKE = "lake", "Rows are leaving the lake"
        ARCHIVE = "archive", "Objects are leaving the archive"
        CUTTING = "cutting", "Logs and replaced files are being removed"
        DATABASE = "database", "The person is leaving the database"
        DONE = "done", "Erased"

    organisation = models.CharField(max_length=8)
    subject = models.CharField(max_length=32, db_index=True)
    step = models.CharField(max_length=10, choices=Step, default=Step.STOPPING)
    began_at = models.DateTimeField()
    stopped_at = models.DateTimeField(null=True)
    ends = models.JSONField(default=dict)
    receipt = models.JSONField(default=dict)
    done_at = models.DateTimeField(null=True)
    tombstone_until = models.DateTimeField(null=True, help_text="Until Kafka has forgotten the person too")

    class Meta:
        ordering = ["-began_at"]
