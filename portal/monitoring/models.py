"""The monitoring plan: why a person is watched, which vitals are due how often, limits, who answers, pause and end.

A plan is never changed: each change is a new version, and what was in force at any moment can be told.
"""

from datetime import datetime

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.db.models import F, Q

from ingestion.vitals import NUMBERS, VITALS

WATCHABLE = [(name, VITALS[name].label) for name in NUMBERS if name != "battery"]


class PlanQuerySet(models.QuerySet["Plan"]):
    def in_force(self, now: datetime) -> "PlanQuerySet":
        return self.filter(Q(in_force_to__isnull=True) | Q(in_force_to__gt=now), in_force_from__lte=now)


class Plan(models.Model):
    """One version of a person's monitoring plan, in force during [in_force_from, in_force_to)."""

    class News2(models.TextChoices):
        SCALE_1 = "scale_1", "NEWS2, SpO₂ scale 1"
        SCALE_2 = "scale_2", "NEWS2, SpO₂ scale 2 (target 88-92 %, by prescription)"
        # Under 16 and pregnancy: NEWS2 is not valid (RCP 2017), only the plan's own limits count.
        OFF = "off", "No NEWS2 (under 16, pregnancy): the plan's own limits only"

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="plans")
    version = models.PositiveIntegerField()
    reason = models.CharField(max_length=200, help_text="Why this person is monitored")
    news2 = models.CharField(max_length=10, choices=News2, default=News2.SCALE_1)
    weight_gain = models.BooleanField(
        "weight gain",
        default=False,
        help_text="Tell of more than 2 kg gained within 3 days, a sign of fluid in heart failure (ESC 2021)",
    )
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField(null=True, blank=True)
    paused_from = models.DateTimeField(null=True, blank=True)
    paused_to = models.DateTimeField(null=True, blank=True)
    pause_reason = models.CharField(max_length=200, blank=True, help_text='For example "in hospital"')
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    in_force_from = models.DateTimeField()
    in_force_to = models.DateTimeField(null=True, blank=True, editable=False)

    objects = PlanQuerySet.as_manager()

    class Meta:
        ordering = ["-version"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "version"], name="plan_version_is_unique"),
            models.UniqueConstraint(
                fields=["patient"], condition=Q(in_force_to__isnull=True), name="patient_has_one_plan_in_force"
            ),
            models.CheckConstraint(
                condition=Q(ends_at__isnull=True) | Q(ends_at__gt=F("starts_at")), name="plan_ends_after_it_starts"
            ),
            models.CheckConstraint(
                condition=Q(paused_from__isnull=True) | ~Q(pause_reason=""), name="pause_has_a_reason"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.reason} (version {self.version})"

    def is_active(self, now: datetime) -> bool:
        """Started, not ended, not paused: this person is being watched."""
        started = self.starts_at <= now and (self.ends_at is None or now < self.ends_at)
        return started and not self.is_paused(now)

    def is_paused(self, now: datetime) -> bool:
        return bool(self.paused_from and self.paused_from <= now and (self.paused_to is None or now < self.paused_to))


class PlanVital(models.Model):
    """A vital that the plan expects, at least every `due_every_minutes`."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="vitals")
    vital = models.CharField(max_length=30, choices=WATCHABLE)
    due_every_minutes = models.PositiveIntegerField()
    expected_since = models.DateTimeField(
        null=True, editable=False, help_text="When a later version added it; empty: since the plan's start"
    )

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "vital"], name="plan_names_a_vital_once"),
            models.CheckConstraint(condition=Q(due_every_minutes__gt=0), name="vital_is_due_at_some_time"),
        ]


class PlanLimit(models.Model):
    """The plan's own absolute limit: below `low` or above `high`, in the unit of the vital, is out of bounds."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="limits")
    vital = models.CharField(max_length=30, choices=WATCHABLE)
    low = models.FloatField(null=True, blank=True)
    high = models.FloatField(null=True, blank=True)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    reason = models.CharField(max_length=200)
    ends_at = models.DateTimeField(null=True, blank=True, help_text="Empty: as long as the plan")

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["plan", "vital"], name="plan_limits_a_vital_once"),
            models.CheckConstraint(
                condition=Q(low__isnull=False) | Q(high__isnull=False), name="limit_has_a_low_or_a_high"
            ),
        ]

    def clean(self) -> None:
        if self.low is not None and self.high is not None and self.low >= self.high:
            raise ValidationError("The low limit must be below the high one.")


class PlanResponder(models.Model):
    """Who answers an alert, within how many minutes."""

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="responders")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    within_minutes = models.PositiveIntegerField()

    class Meta:
        ordering = ["within_minutes"]
        constraints = [models.UniqueConstraint(fields=["plan", "user"], name="plan_names_a_responder_once")]


class PlanContact(models.Model):
    """Whom to call about this person, in the order to try them."""

    class Relation(models.TextChoices):
        PATIENT = "patient", "The patient"
        NEXT_OF_KIN = "next_of_kin", "Next of kin"
        CARER = "carer", "Carer or neighbour"
        DOCTOR = "doctor", "Family doctor"

    plan = models.ForeignKey(Plan, on_delete=models.CASCADE, related_name="contacts")
    relation = models.CharField(max_length=15, choices=Relation)
    name = models.CharField(max_length=200)
    phone = models.CharField(max_length=40)

    class Meta:
        ordering = ["pk"]


class Preview(models.Model):
    """What would have fired in the last 30 days under limits that somebody thinks of: asked for, and its result."""

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="previews")
    whole_team = models.BooleanField(default=False)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    asked_at = models.DateTimeField()
    draft = models.JSONField(help_text="NEWS2, vitals and limits as they would be")
    form = models.JSONField(help_text="The form it was asked from, to go on with")
    done_at = models.DateTimeField(null=True)
    result = models.JSONField(null=True)
