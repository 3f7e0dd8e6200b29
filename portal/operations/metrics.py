"""`/metrics`: the state of the path for Prometheus. Counts and ages only: no person, no device, no value.

Who may read it: whoever sends `Authorization: Bearer <METRICS_TOKEN>`, or without a token set, this machine alone.
"""

import hmac
import ipaddress
from collections.abc import Iterator
from datetime import datetime

import redis
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from portal.operations.status import Status, status_read


class PathCollector(Collector):
    """The last look at the path as metrics. Without one, or without Redis, only `wellrange_path_known` is there: 0."""

    def __init__(self, status: Status | None, now: datetime) -> None:
        self._status, self._now = status, now

    def collect(self) -> Iterator[Metric]:
        status = self._status
        yield GaugeMetricFamily("wellrange_path_known", "Whether the path was looked at", float(status is not None))
        if status is None:
            return
        age = (self._now - status.at).total_seconds()
        yield GaugeMetricFamily("wellrange_path_look_age_seconds", "Age of the last look at the path", age)
        yield CounterMetricFamily("wellrange_received", "Packets that came to vitals.readings", status.received)
        yield CounterMetricFamily("wellrange_admitted_batches", "Batches in vitals.admitted", status.admitted)
        yield GaugeMetricFamily("wellrange_lake_readings", "Readings in the lake's table", status.rows)
        yield from self._hops(status)
        refused = CounterMetricFamily("wellrange_refused", "Packets the door refused", labels=["reason"])
        for tally in status.refused:
            refused.add_metric([tally.reason], tally.total)
        yield refused
        if status.progress is not None:
            progress = (self._now - status.progress).total_seconds()
            help_text = "Age of the moment up to which door and watcher have read everything"
            yield GaugeMetricFamily("wellrange_monitoring_delay_seconds", help_text, progress)

    def _hops(self, status: Status) -> Iterator[Metric]:
        passed = CounterMetricFamily(
            "wellrange_hop_passed", "What a hop is done with: offsets or readings", labels=["hop"]
        )
        behind = GaugeMetricFamily("wellrange_hop_behind", "What waits for a hop: offsets or readings", labels=["hop"])
        lag = GaugeMetricFamily("wellrange_hop_lag_seconds", "Age of the oldest that waits for a hop", labels=["hop"])
        for hop in status.hops:
            passed.add_metric([hop.name], hop.passed)
            behind.add_metric([hop.name], hop.behind)
            lag.add_metric([hop.name], hop.lag_s)
        yield from (passed, behind, lag)


def may_read(request: HttpRequest) -> bool:
    """Whether this scraper may read. Behind a proxy everybody seems to be this machine, so a token is needed there."""
    if settings.METRICS_TOKEN:
        sent = request.headers.get("Authorization", "")
        return hmac.compare_digest(sent.encode(), f"Bearer {settings.METRICS_TOKEN}".encode())
    if settings.SECURE_PROXY_SSL_HEADER or "X-Forwarded-For" in request.headers or "Forwarded" in request.headers:
        return False
    try:
        return ipaddress.ip_address(request.META.get("REMOTE_ADDR", "")).is_loopback
    except ValueError:
        return False


@never_cache
def metrics(request: HttpRequest) -> HttpResponse:
    if not may_read(request):
        return HttpResponse("Send the METRICS_TOKEN as a bearer token.\n", status=403, content_type="text/plain")
    now = timezone.now()
    try:
        status = status_read(now)
    except redis.RedisError:
        status = None
    registry = CollectorRegistry()
    registry.register(PathCollector(status, now))
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_PLAIN_0_0_4)
