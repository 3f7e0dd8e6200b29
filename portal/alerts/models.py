"""Episodes (what the readings did), alerts (what people do about it), and the outbox (what is still to be sent)."""

import uuid
from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q


class Level(models.IntegerChoices):
    """How serious. The labels are NEWS2's clinical risks (RCP 2017); silence is a level of its own."""

    SILENT = 1, "No data"
    LOW_MEDIUM = 2, "Low-medium"
    MEDIUM = 3, "Medium"
    HIGH = 4, "High"


class Episode(models.Model):
    """A stretch of time in which one cause held for one person. The worse level of it is kept.

    `cause` is "news2", "limit:<vital>:low", "limit:<vital>:high" or "silence:<vital>".
    """

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="episodes")
    cause = models.CharField(max_length=60)
    level = models.PositiveSmallIntegerField(choices=Level)
    began_at = models.DateTimeField(help_text="When the first reading of it was measured")
    ended_at = models.DateTimeField(null=True, blank=True)
    evidence = models.JSONField(help_text="Values, times, points, devices and the rule: see analytics.evidence")

    class Meta:
        ordering = ["-began_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["patient", "cause"], condition=Q(ended_at__isnull=True), name="one_open_episode_per_cause"
            )
        ]


class AlertQuerySet(models.QuerySet["Alert"]):
    def visible_to(self, user: Any) -> "AlertQuerySet":
        from portal.people.models import Patient

        return self.filter(episode__patient__in=Patient.objects.visible_to(user))


class Alert(models.Model):
    """What people do about one episode. There is exactly one alert per episode."""

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        CLOSED = "closed", "Closed"

    episode = models.OneToOneField(Episode, on_delete=models.CASCADE, related_name="alert")
    state = models.CharField(max_length=15, choices=State, default=State.OPEN)
    raised_at = models.DateTimeField()

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at"]


class AlertEvent(models.Model):
    """One step in the life of an alert, in order. Steps are added, never changed."""

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        WORSENED = "worsened", "Worsened"
        ENDED = "ended", "Back in range"
        UNWATCHED = "unwatched", "No longer watched"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        CLOSED = "closed", "Closed"

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="events")
    kind = models.CharField(max_length=15, choices=Kind)
    level = models.PositiveSmallIntegerField(choices=Level)
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    note = models.TextField(blank=True)

    class Meta:
        ordering = ["pk"]


class Message(models.Model):
    """The outbox: a message to one person about one event of an alert. Repeats carry the same id."""

    class Channel(models.TextChoices):
        EMAIL = "email", "E-mail"

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    event = models.ForeignKey(AlertEvent, on_delete=models.CASCADE, related_name="messages")
    channel = models.CharField(max_length=10, choices=Channel)
    recipient = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    due_at = models.DateTimeField(null=True, help_text="Empty once it is sent or stopped")
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    stopped_because = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "channel", "recipient"], name="one_message_per_event_and_person")
        ]
        indexes = [models.Index(fields=["due_at"], name="message_due", condition=Q(due_at__isnull=False))]
