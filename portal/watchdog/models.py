"""Probes of the alerting path, and what became of them."""

from django.db import models


class Probe(models.Model):
    """One scheduled deterioration of a synthetic patient: packets out at `began_at`, an alert raised, a mail sent.

    It has been proven once `delivered_at` is set; `failed_at` says that it was not in time, `why` how far it came.
    """

    patient = models.ForeignKey("people.Patient", on_delete=models.CASCADE, related_name="+")
    began_at = models.DateTimeField()
    raised_at = models.DateTimeField(null=True)
    delivered_at = models.DateTimeField(null=True)
    failed_at = models.DateTimeField(null=True)
    why = models.CharField(max_length=200, blank=True)

    class Meta:
        ordering = ["-began_at"]
        get_latest_by = "began_at"
