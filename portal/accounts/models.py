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


class User(AbstractUser):
    """A person who signs in. `account_id` names the account on synced history, and says nothing else."""

    role = models.CharField(max_length=10, choices=Role)
    organisation = models.ForeignKey("people.Organisation", on_delete=models.PROTECT, null=True, blank=True)
    account_id = models.CharField(max_length=32, unique=True, default=random_account_id, editable=False)
    time_zone = models.CharField(max_length=64, default="Europe/London", help_text="For example Europe/London")

    @property
    def is_clinician(self) -> bool:
        return self.role == Role.CLINICIAN

    @property
    def is_patient(self) -> bool:
        return self.role == Role.PATIENT
