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

    `cause` is "news2", "limit:<vital>:low", "limit:<vital>:high", "silence:<vital>", "gain:weight:high", or one of
    `analytics.personal.CAUSES` or "personal:nights".
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
    """What people do about one episode. There is exactly one alert per episode.

    `since` is when the present state began or was last confirmed, `steps` how many of its steps (escalations,
    reminders) have been taken since then, and `next_at` when the next is due: see `portal.alerts.due`.
    """

    class State(models.TextChoices):
        OPEN = "open", "Open"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        SNOOZED = "snoozed", "Snoozed"
        CLOSED = "closed", "Closed"

    episode = models.OneToOneField(Episode, on_delete=models.CASCADE, related_name="alert")
    state = models.CharField(max_length=15, choices=State, default=State.OPEN)
    raised_at = models.DateTimeField()
    held_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+", help_text="Who has answered it"
    )
    since = models.DateTimeField()
    steps = models.PositiveSmallIntegerField(default=0)
    next_at = models.DateTimeField(null=True)

    objects = AlertQuerySet.as_manager()

    class Meta:
        ordering = ["-raised_at"]
        indexes = [models.Index(fields=["next_at"], name="alert_next", condition=Q(next_at__isnull=False))]


class AlertEvent(models.Model):
    """One step in the life of an alert, in order. Steps are added, never changed."""

    class Kind(models.TextChoices):
        OPENED = "opened", "Opened"
        WORSENED = "worsened", "Worsened"
        ENDED = "ended", "Back in range"
        UNWATCHED = "unwatched", "No longer watched"
        ACKNOWLEDGED = "acknowledged", "Acknowledged"
        NOTED = "noted", "Note added"
        SNOOZED = "snoozed", "Snoozed"
        WOKEN = "woken", "Snooze is over"
        ESCALATED = "escalated", "Nobody answered: passed on"
        REMINDED = "reminded", "Reminder sent"
        REOPENED = "reopened", "Open again: no word since it was acknowledged"
        HANDED_OVER = "handed_over", "Handed over"
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
    held_because = models.CharField(max_length=100, blank=True, help_text="Why it was not due at once")
    stopped_because = models.CharField(max_length=100, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["event", "channel", "recipient"], name="one_message_per_event_and_person")
        ]
        indexes = [models.Index(fields=["due_at"], name="message_due", condition=Q(due_at__isnull=False))]

    @property
    def is_wanted(self) -> bool:
        """Whether the alert still asks for what the message says: a reminder of whoever holds it, else of an answer."""
        reminds = self.event.kind == AlertEvent.Kind.REMINDED
        return self.event.alert.state == (Alert.State.ACKNOWLEDGED if reminds else Alert.State.OPEN)


class Snooze(models.Model):
    """No alert about one vital in one direction, up to a level and for a while; set on an alert, with a reason.

    `points` are the NEWS2 points the vital had when it was set, empty where points do not apply: more of them is a
    worse state, and is not hidden.
    """

    alert = models.ForeignKey(Alert, on_delete=models.CASCADE, related_name="snoozes")
    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="snoozes")
    vital = models.CharField(max_length=30)
    direction = models.CharField(max_length=10)
    points = models.PositiveSmallIntegerField(null=True)
    level = models.PositiveSmallIntegerField(choices=Level)
    reason = models.CharField(max_length=200)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    until = models.DateTimeField()

    class Meta:
        indexes = [models.Index(fields=["patient", "until"], name="snooze_in_force")]


class Response(models.Model):
    """The record with which a person closes an alert: whom they called, what came of it, and whether it was useful."""

    class Called(models.TextChoices):
        PATIENT = "patient", "The patient"
        NEXT_OF_KIN = "next_of_kin", "Next of kin or another contact"
        COLLEAGUE = "colleague", "A colleague"
        NOBODY = "nobody", "Nobody"

    class Outcome(models.TextChoices):
        NOTHING = "nothing", "Nothing needed"
        ADVICE = "advice", "Advice given"
        TREATMENT = "treatment", "Treatment changed"
        VISIT = "visit", "Visit or appointment"
        EMERGENCY = "emergency", "Emergency service or hospital"
        DEVICE = "device", "Device or measurement problem"

    alert = models.OneToOneField(Alert, on_delete=models.CASCADE, related_name="response")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()
    called = models.CharField(max_length=15, choices=Called)
    reached = models.BooleanField()
    advice = models.TextField()
    outcome = models.CharField(max_length=15, choices=Outcome)
    useful = models.BooleanField(help_text="Whether it was right to raise this alert")


class EscalationStep(models.Model):
    """Who is told next while nobody answers an alert of a care team; without `recipient` the whole team."""

    care_team = models.ForeignKey("people.CareTeam", on_delete=models.CASCADE, related_name="escalation_steps")
    after_minutes = models.PositiveIntegerField(help_text="Minutes since the alert was raised")
    recipient = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        help_text="Empty: everybody in the care team",
    )
    least_level = models.PositiveSmallIntegerField(choices=Level, default=Level.LOW_MEDIUM)

    class Meta:
        ordering = ["after_minutes", "pk"]


class HandOver(models.Model):
    """One clinician's shift in another's hands: until it is taken back, `taker` gets what `giver` would get."""

    giver = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="handed_over")
    taker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="taken_over")
    note = models.CharField(max_length=200, blank=True)
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["giver"], condition=Q(ended_at__isnull=True), name="one_hand_over_at_a_time"
            ),
            models.CheckConstraint(condition=~Q(giver=models.F("taker")), name="hand_over_is_to_somebody_else"),
        ]
