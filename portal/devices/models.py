"""Devices, and whose they are from when to when."""

from django.db import models
from django.db.models import F, Q


class Device(models.Model):
    """Something that sends readings. A bed or a chair measures a place; only an assignment makes it a person's."""

    class Kind(models.TextChoices):
        WATCH = "watch", "Watch or tracker"
        OXIMETER = "oximeter", "Pulse oximeter"
        CUFF = "cuff", "Blood pressure cuff"
        THERMOMETER = "thermometer", "Thermometer"
        SCALE = "scale", "Scale"
        GLUCOMETER = "glucometer", "Glucose meter"
        BED = "bed", "Bed or chair (contactless)"

    organisation = models.ForeignKey("people.Organisation", on_delete=models.PROTECT, related_name="devices")
    device_id = models.CharField(max_length=128, unique=True, help_text="The id that the device sends in its packets")
    kind = models.CharField(max_length=20, choices=Kind)
    retired_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["device_id"]

    def __str__(self) -> str:
        return self.device_id


class Assignment(models.Model):
    """A device is a person's during [started_at, ended_at). Intervals of one device never overlap."""

    device = models.ForeignKey(Device, on_delete=models.PROTECT, related_name="assignments")
    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="assignments")
    started_at = models.DateTimeField()
    ended_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["started_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(ended_at__isnull=True) | Q(ended_at__gt=F("started_at")),
                name="assignment_ends_after_it_starts",
            ),
            models.UniqueConstraint(
                fields=["device"], condition=Q(ended_at__isnull=True), name="device_has_one_open_assignment"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.device} from {self.started_at:%Y-%m-%d}"
