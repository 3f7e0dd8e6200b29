"""The consent ledger: append-only, one entry each time a person gives or withdraws consent for a purpose."""

from typing import Any, NoReturn

from django.conf import settings
from django.db import models


class Purpose(models.TextChoices):
    CARE = "care", "Care"
    PERSONAL_MODEL = "personal_model", "Personal model"
    CHAT = "chat", "Chat"
    RESEARCH = "research", "Research"
    SHARING = "sharing", "Sharing"


class ConsentEntryQuerySet(models.QuerySet["ConsentEntry"]):
    def update(self, **kwargs: Any) -> NoReturn:
        raise TypeError("The consent ledger is append-only: record a new entry.")

    def delete(self) -> NoReturn:
        raise TypeError("The consent ledger is append-only: record a withdrawal.")


class ConsentEntry(models.Model):
    """Given or withdrawn, by whom, when, on which version of the text. The newest entry of a purpose is in force.

    `sequence` is that of the organisation's change, and travels with every reading it admitted.
    """

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="consent_entries")
    purpose = models.CharField(max_length=20, choices=Purpose)
    given = models.BooleanField()
    at = models.DateTimeField()
    by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    text_version = models.CharField(max_length=20)
    sequence = models.PositiveBigIntegerField()

    objects = ConsentEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-pk"]
        verbose_name_plural = "consent entries"
        indexes = [models.Index(fields=["patient", "purpose", "-id"], name="consent_in_force")]

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("The consent ledger is append-only: record a new entry.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise TypeError("The consent ledger is append-only: record a withdrawal.")
