"""How far the watcher has come."""

from django.db import models


class WatchPosition(models.Model):
    """The watcher's position in one partition of `vitals.admitted`, advanced in the transaction of what it decided.

    Only `owner` may advance it: whoever finds another name there has lost the partition and must stop.
    """

    topic_id = models.CharField(max_length=40)
    partition = models.PositiveIntegerField()
    position = models.PositiveBigIntegerField()
    owner = models.CharField(max_length=40)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["topic_id", "partition"], name="one_position_per_partition")]
