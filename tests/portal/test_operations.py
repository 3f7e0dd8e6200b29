"""Operators see how far the path has come and what was refused; nobody else does, and no health data is there."""

import os
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from confluent_kafka import Consumer
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from prometheus_client.parser import text_string_to_metric_families

from ingestion.kafka import ADMITTED, READINGS, consumer_config, to_messages, topic_id, topics_create
from ingestion.lake import READING_SCHEMA, append, open_readings
from ingestion.lake.seal import seal
from ingestion.walk import bounds
from portal.operations.refusals import refusals_follow, tallies
from portal.operations.status import status_look, status_read
from tests.analytics.test_sql import NOON, put, rows
from tests.ingestion.packets import NOW, packet, refuse, send

pytestmark = [pytest.mark.kafka, pytest.mark.redis]


@pytest.fixture
def path(empty_redis, settings, tmp_path):
    settings.LAKE_URL = str(tmp_path / "lake")
    topics_create(os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"], readings=4, admitted=4)
    return os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]


def follow_to_the_end():
    """A look counts for some seconds at most; the log may hold what other tests refused."""
    while refusals_follow():
        pass


def counts(now):
    return {t.reason: (t.hour, t.day, t.week) for t in tallies(now)}


def test_each_refused_packet_is_counted_once_however_often_it_is_looked(path):
    follow_to_the_end()
    before = counts(NOW).get("unknown_device", (0, 0, 0))
    refuse(path, [packet("watch-nobody-added", minute) for minute in range(30)])
    assert refusals_follow() == 30
    assert refusals_follow() == 0
    now = datetime.now(UTC)
    assert counts(now)["unknown_device"][1] == before[1] + 30
    assert counts(now + timedelta(days=2))["unknown_device"][1:] == (0, before[2] + 30)
    newest = next(t for t in tallies(now) if t.reason == "unknown_device")
    assert len(newest.samples) == 20
    assert newest.samples[0]["device"] == "watch-nobody-added"


def test_an_emptied_redis_is_counted_anew_from_the_log(path, empty_redis):
    refuse(path, [packet("watch-nobody-added")])
    follow_to_the_end()
    first = counts(NOW)
    empty_redis.flushdb()
    follow_to_the_end()
    assert counts(NOW) == first


def test_lag_is_what_waits_and_since_when(path, settings):
    status_look(datetime.now(UTC))
    before = status_read(NOW)
    send(path, READINGS, [{"value": packet("watch-lag", m), "key": b"watch-lag"} for m in range(7)])
    later = datetime.now(UTC) + timedelta(seconds=300)
    status_look(later)
    after = status_read(later)
    assert after.received == before.received + 7
    door_before, door = (next(h for h in s.hops if h.name == "door") for s in (before, after))
    assert door.behind == door_before.behind + 7
    assert door.late
    assert door.lag_s >= 299

    # What waits for two hops at once has waited for both.
    (nothing,) = to_messages(pa.RecordBatch.from_pylist([], READING_SCHEMA))
    send(path, ADMITTED, [{"value": nothing}])
    status_look(later)
    watcher, archiver = (next(h for h in status_read(later).hops if h.name == name) for name in ("watcher", "archiver"))
    assert min(watcher.lag_s, archiver.lag_s) >= 299

    # The archiver's position is the table's own.
    table, topic = open_readings(settings.LAKE_URL), topic_id(path, ADMITTED)
    consumer = Consumer(consumer_config(path, "t"))
    ends = {p: end for p, (_, end) in bounds(consumer, ADMITTED).items()}
    consumer.close()
    append(table, None, topic_id=topic, begin=dict.fromkeys(ends, 0), end=ends)
    status_look(later)
    archiver = next(h for h in status_read(later).hops if h.name == "archiver")
    assert (archiver.behind, archiver.lag_s, archiver.passed) == (0, 0.0, sum(ends.values()))


def test_sealing_lags_behind_from_the_end_of_a_day(path, settings):
    def sealing(now):
        status_look(now)
        return next(h for h in status_read(now).hops if h.name == "sealing")

    lake, day = settings.LAKE_URL, NOON.date()
    for n in range(2):
        put(lake, rows("watch-alice", "5" * 32, [NOON + timedelta(days=n, minutes=m) for m in range(3)]))
    seal(lake, "org", day, now=NOW)
    during, later = NOON + timedelta(days=1), datetime.now(UTC) + timedelta(hours=8)
    hop = sealing(during)
    assert (hop.passed, hop.behind, hop.waits, hop.late) == (3, 0, None, False)
    hop = sealing(later)
    assert (hop.passed, hop.behind, hop.late) == (3, 3, True)  # written just now, long after the day had ended
    assert timedelta(hours=7, minutes=50) < hop.waits < timedelta(hours=8, minutes=1)


def test_the_pages_are_for_operators(path, cast):
    refuse(path, [packet("watch-nobody-added")])
    follow_to_the_end()
    status_look(datetime.now(UTC))
    for page in ("status", "refused"):
        text = cast.client("admin").get(reverse(page)).content.decode()
        assert "unknown_device" in text
        assert "heart_rate" not in text
        for who in ("alice", "bob", "charlie"):
            assert cast.client(who).get(reverse(page)).status_code == 403, (page, who)
        assert Client().get(reverse(page)).status_code == 302, page
    assert "watch-nobody-added" in text
    assert "replay_refused --reason unknown_device" in text


def test_prometheus_reads_the_metrics(path, client, settings):
    refuse(path, [packet("watch-nobody-added")])
    follow_to_the_end()
    status_look(datetime.now(UTC))
    answer = client.get("/metrics")
    families = {f.name: f for f in text_string_to_metric_families(answer.content.decode())}
    hops = {s.labels["hop"] for s in families["wellrange_hop_lag_seconds"].samples}
    assert hops == {"door", "watcher", "archiver", "sealing"}
    refused = {s.labels["reason"]: s.value for s in families["wellrange_refused"].samples}
    assert refused["unknown_device"] >= 1
    assert "watch-nobody-added" not in answer.content.decode()

    assert client.get("/metrics", REMOTE_ADDR="10.1.2.3").status_code == 403
    assert client.get("/metrics", headers={"X-Forwarded-For": "10.1.2.3"}).status_code == 403
    settings.METRICS_TOKEN = "a-token"
    assert client.get("/metrics").status_code == 403
    assert client.get("/metrics", headers={"Authorization": "Bearer another"}).status_code == 403
    assert (
        client.get("/metrics", REMOTE_ADDR="10.1.2.3", headers={"Authorization": "Bearer a-token"}).status_code == 200
    )


def test_metrics_say_so_when_nothing_is_known(empty_redis, client):
    assert b"wellrange_path_known 0.0" in client.get("/metrics").content


def test_the_command_counts_in_the_log_itself(path, capsys):
    refuse(path, [packet("watch-nobody-added", minute) for minute in range(4)])
    call_command("refused", "--reason", "unknown_device", "--samples", "2")
    out = capsys.readouterr().out
    assert out.startswith("unknown_device: ")
    assert out.count("watch-nobody-added") == 2
    assert "heart_rate" not in out
