"""Organisations, care teams and patients; and `Change`, the ordered record of what changed in an organisation."""

import secrets

from django.conf import settings
from django.db import models


def random_organisation_key() -> str:
    return secrets.token_hex(4)


def random_subject() -> str:
    return secrets.token_hex(16)


class Organisation(models.Model):
    """A healthcare provider. `key` names it in the lake; `counter` is the sequence of its last `Change`."""

    name = models.CharField(max_length=200)
    key = models.CharField(max_length=8, unique=True, default=random_organisation_key, editable=False)
    counter = models.PositiveBigIntegerField(default=0, editable=False)

    def __str__(self) -> str:
        return self.name


class CareTeam(models.Model):
    """The people who look after the same patients. A clinician sees the patients of her teams, and no others."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="care_teams")
    name = models.CharField(max_length=200)
    members = models.ManyToManyField(settings.AUTH_USER_MODEL, related_name="care_teams", blank=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "name"], name="care_team_name_is_unique")]

    def __str__(self) -> str:
        return self.name


class PatientQuerySet(models.QuerySet["Patient"]):
    def visible_to(self, user: "settings.AUTH_USER_MODEL") -> "PatientQuerySet":
        """Patients see themselves, clinicians their care teams' patients, everybody else nobody."""
        if not user.is_authenticated or not user.is_active:
            return self.none()
        if user.is_patient:
            return self.filter(user=user)
        if user.is_clinician:
            return self.filter(care_team__members=user, organisation_id=user.organisation_id)
        return self.none()


class Patient(models.Model):
    """A person who is watched. Pipeline and lake know the person only by `subject`, which is random."""

    organisation = models.ForeignKey(Organisation, on_delete=models.PROTECT, related_name="patients")
    care_team = models.ForeignKey(CareTeam, on_delete=models.PROTECT, related_name="patients")
    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, null=True, blank=True, related_name="patient"
    )
    subject = models.CharField(max_length=32, unique=True, default=random_subject, editable=False)
    name = models.CharField(max_length=200)
    birth_date = models.DateField()
    phone = models.CharField(max_length=40, blank=True)
    time_zone = models.CharField(max_length=64, default="Europe/London")

    objects = PatientQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name


class Change(models.Model):
    """One thing that changed. `sequence` runs without gaps per organisation, in the order of commits.

    Everything that must not miss a change reads from here by "all after my cursor": the door's snapshot of consent
    and assignments, the watcher's plans, the browser's live socket.
    """

    class Kind(models.TextChoices):
        DEVICE = "device"
        CONSENT = "consent"
        PATIENT = "patient"
        PLAN = "plan"
        ALERT = "alert"
        MODEL = "model"  # personal models, and the context that holds their alerts back

    organisation = models.ForeignKey(Organisation, on_delete=models.CASCADE)
    sequence = models.PositiveBigIntegerField()
    kind = models.CharField(max_length=10, choices=Kind)
    patient = models.ForeignKey(Patient, on_delete=models.CASCADE, null=True)
    # What happened ("opened", "acknowledged"), and the primary key of the row it happened to, where there is one.
    what = models.CharField(max_length=20, blank=True)
    row = models.BigIntegerField(null=True)
    at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["organisation", "sequence"], name="change_sequence_is_unique")]
