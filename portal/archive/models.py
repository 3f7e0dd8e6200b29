"""Which quarters are in the archive, and who has asked for what."""

from django.conf import settings
from django.db import models

from ingestion.cold import Quarter


class Batch(models.Model):
    """One archiving of an organisation's quarter. Number 1 is the quarter itself, later ones are what came late.

    `covers` are the files of the table whose rows it puts away; `base` the version of the summaries that late rows are
    added to.
    """

    class State(models.TextChoices):
        WRITING = "writing", "Objects are being written"
        MERGING = "merging", "Late rows are being added to the summaries"
        REMOVING = "removing", "The rows are leaving the table"
        DONE = "done", "In the archive"

    organisation = models.CharField(max_length=8, help_text="The organisation's key in the lake")
    year = models.PositiveSmallIntegerField()
    number = models.PositiveSmallIntegerField(help_text="Quarter of the year, 1 to 4")
    sequence = models.PositiveSmallIntegerField()
    state = models.CharField(max_length=10, choices=State, default=State.WRITING)
    covers = models.JSONField()
    base = models.PositiveBigIntegerField(null=True)
    began_at = models.DateTimeField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["organisation", "year", "number", "sequence"], name="archive_batch_is_unique"
            )
        ]

    @property
    def quarter(self) -> Quarter:
        return Quarter(self.year, self.number)


class Part(models.Model):
    """One object: one person's readings of one quarter. `key` is its place in the cold store."""

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="parts")
    subject = models.CharField(max_length=32, db_index=True)
    key = models.CharField(max_length=120, unique=True)
    rows = models.PositiveIntegerField()
    size = models.PositiveBigIntegerField(help_text="Bytes")
    sha256 = models.CharField(max_length=64)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()


class Request(models.Model):
    """Somebody asked for readings that are in the archive. `first` and `last` are days, the last one included."""

    class State(models.TextChoices):
        ASKED = "asked", "Asked for"
        RESTORING = "restoring", "On its way"
        READY = "ready", "Ready"
        EXPIRED = "expired", "No longer ready: ask again"
        FAILED = "failed", "Could not be brought back: an operator has to look"

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="archive_requests")
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    first = models.DateField()
    last = models.DateField()
    state = models.CharField(max_length=10, choices=State, default=State.ASKED)
    asked_at = models.DateTimeField()
    expected_at = models.DateTimeField()
    ready_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField(null=True)
    told_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-asked_at"]

    @property
    def is_open(self) -> bool:
        return self.state in (self.State.ASKED, self.State.RESTORING)

    @property
    def ready_parts(self) -> int:
        return sum(wanted.ready_at is not None for wanted in self.wanted.all())


class WantedPart(models.Model):
    """One object that a request needs, and when it was found readable and whole."""

    request = models.ForeignKey(Request, on_delete=models.CASCADE, related_name="wanted")
    part = models.ForeignKey(Part, on_delete=models.CASCADE, related_name="+")
    ready_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["request", "part"], name="part_is_wanted_once")]
