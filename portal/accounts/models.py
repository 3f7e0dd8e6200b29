"""Users: patients, clinicians and administrators of one organisation each."""

import secrets

from django.contrib.auth.models import AbstractUser
from django.db import models


def random_account_id() -> str:
    return secrets.token_hex(16)


class Role(models.TextChoices):
    PATIENT = "patient", "Patient"
    CLINICIAN = "clinician", "Clinician"
    ADMIN = "admin", "Administrator"


class QuietHours(models.TextChoices):
    """When messages that can wait are held back. Presets, because alarm settings are complicated enough."""

    NONE = "none", "None: tell me at once"
    NIGHT = "night", "Every night, 22:00 to 07:00"
    OFF_WORK = "off_work", "Outside Monday to Friday, 08:00 to 18:00"


class User(AbstractUser):
    """A person who signs in. `account_id` names the account on synced history, and says nothing else."""

    role = models.CharField(max_length=10, choices=Role)
    organisation = models.ForeignKey("people.Organisation", on_delete=models.PROTECT, null=True, blank=True)
    account_id = models.CharField(max_length=32, unique=True, default=random_account_id, editable=False)
    time_zone = models.CharField(max_length=64, default="Europe/London", help_text="For example Europe/London")
    quiet_hours = models.CharField(max_length=10, choices=QuietHours, default=QuietHours.NONE)

    @property
    def is_clinician(self) -> bool:
        return self.role == Role.CLINICIAN

    @property
    def is_patient(self) -> bool:
        return self.role == Role.PATIENT
