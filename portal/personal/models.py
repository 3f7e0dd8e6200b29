"""Versions of personal models and when each was in force, training runs, context that people tell, what it kept back.

A model file holds the people of one share, a range of subjects that lies within one partition of `vitals.admitted`.
"""

from datetime import datetime

from django.conf import settings
from django.db import models
from django.db.models import Q


class ModelVersion(models.Model):
    """One file of models, made by one training run; its card (data window, counts, metrics) is kept here, too."""

    class State(models.TextChoices):
        SHADOW = "shadow", "In shadow: scored and recorded, pages nobody"
        IN_FORCE = "in_force", "In force"
        REPLACED = "replaced", "Replaced by a later one"
        REJECTED = "rejected", "Not promoted"

    name = models.CharField(max_length=40, unique=True)
    share = models.PositiveIntegerField()
    state = models.CharField(max_length=10, choices=State)
    made_at = models.DateTimeField()
    data_from = models.DateTimeField()
    data_to = models.DateTimeField()
    people = models.PositiveIntegerField()
    metrics = models.JSONField(default=dict)
    reason = models.CharField(max_length=200, blank=True, help_text="Why it was promoted or not")

    class Meta:
        ordering = ["-made_at", "share"]

    def __str__(self) -> str:
        return self.name


class Activation(models.Model):
    """A version comes into force for its share at `since`; the newest that has begun counts. Rows are added only."""

    version = models.ForeignKey(ModelVersion, on_delete=models.PROTECT, related_name="activations")
    share = models.PositiveIntegerField()
    since = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")
    why = models.CharField(max_length=200)

    class Meta:
        ordering = ["-since", "-pk"]
        indexes = [models.Index(fields=["share", "-since"], name="activation_in_force")]


class SharedVersion(models.Model):
    """One file of the part that everybody's nights share: spreads, scorer and threshold, numbers of nobody."""

    name = models.CharField(max_length=40, unique=True)
    state = models.CharField(max_length=10, choices=ModelVersion.State)
    made_at = models.DateTimeField()
    people = models.PositiveIntegerField()
    metrics = models.JSONField(default=dict)
    reason = models.CharField(max_length=200, help_text="Why it judges nights or not")
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, related_name="+")

    class Meta:
        ordering = ["-made_at"]
        verbose_name = "version of what nights share"
        verbose_name_plural = "versions of what nights share"
        constraints = [
            models.UniqueConstraint(
                fields=["state"], condition=Q(state=ModelVersion.State.IN_FORCE), name="one_shared_version_in_force"
            )
        ]

    def __str__(self) -> str:
        return self.name


class TrainingRun(models.Model):
    """One run of training for a share, for one person on demand, or (no share) for the part that nights share."""

    share = models.PositiveIntegerField(null=True)
    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, null=True, related_name="+")
    started_at = models.DateTimeField()
    finished_at = models.DateTimeField(null=True)
    people = models.PositiveIntegerField(default=0, help_text="Who has consented")
    done = models.PositiveIntegerField(default=0, help_text="How many of them have been looked at")
    result = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-started_at"]


class PersonalRange(models.Model):
    """How far the range of one person is learned. `judged_on` is the local day of the last night that was judged."""

    patient = models.OneToOneField("people.Patient", on_delete=models.CASCADE, related_name="personal_range")
    days = models.PositiveSmallIntegerField(default=0)
    at = models.DateTimeField(null=True)
    judged_on = models.DateField(null=True)


class ShadowFinding(models.Model):
    """What a version in shadow would have raised about a person."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="findings")
    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="shadow_findings")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()

    class Meta:
        ordering = ["-began_at"]


class LateFinding(models.Model):
    """Unusual by the version in force, but measured so long before it was received that it could alert nobody."""

    version = models.ForeignKey(ModelVersion, on_delete=models.CASCADE, related_name="+")
    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="late_findings")
    began_at = models.DateTimeField()
    ended_at = models.DateTimeField()
    found_at = models.DateTimeField()

    class Meta:
        ordering = ["-began_at"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "began_at"], name="late_finding_once_per_person_and_time")
        ]


class ContextTagQuerySet(models.QuerySet["ContextTag"]):
    def touching(self, start: datetime, end: datetime) -> "ContextTagQuerySet":
        return self.filter(since__lt=end, until__gt=start)


class ContextTag(models.Model):
    """What somebody said about a time, [since, until), that explains unusual values. It holds back personal alerts and
    never absolute ones, and its time is not learned from."""

    class Kind(models.TextChoices):
        ILL = "ill", "Ill"
        TRAVEL = "travel", "Travelling"
        ALCOHOL = "alcohol", "Alcohol"
        EXERCISE = "exercise", "Hard exercise"
        VACCINATION = "vaccination", "Vaccination"

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="context_tags")
    kind = models.CharField(max_length=15, choices=Kind)
    since = models.DateTimeField()
    until = models.DateTimeField()
    note = models.CharField(max_length=200, blank=True)
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField()

    objects = ContextTagQuerySet.as_manager()

    class Meta:
        ordering = ["-since"]
        constraints = [
            models.CheckConstraint(condition=Q(until__gt=models.F("since")), name="context_ends_after_it_begins")
        ]
        indexes = [models.Index(fields=["patient", "until"], name="context_of_a_time")]


class KeptBack(models.Model):
    """A personal alert that did not open, and the tag that is the reason."""

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="kept_back")
    cause = models.CharField(max_length=60)
    at = models.DateTimeField()
    tag = models.CharField(max_length=15, choices=ContextTag.Kind)

    class Meta:
        ordering = ["-at"]
        constraints = [
            models.UniqueConstraint(fields=["patient", "cause", "at"], name="kept_back_once_per_person_and_cause")
        ]
