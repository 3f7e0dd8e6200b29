"""What helps to find things in the lake."""

from django.db import models


class DeviceInLake(models.Model):
    """Readings of this device, measured from `first_at` to `last_at`, lie in the lake as this person's.

    Made from the lake's own files, so it also knows history that an account synced. It may say more than the lake
    holds (after an erasure of days), never less than the version of the table it was made from.
    """

    device_id = models.CharField(max_length=128)
    subject = models.CharField(max_length=32)
    first_at = models.DateTimeField()
    last_at = models.DateTimeField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["device_id", "subject"], name="device_in_lake_is_unique")]


class LakeIndexed(models.Model):
    """Up to when files that were added to the lake have been read for `DeviceInLake`: one row for each lake."""

    lake = models.CharField(max_length=300, unique=True)
    added_until = models.DateTimeField(null=True)
