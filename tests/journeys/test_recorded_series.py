"""The short form of `recorded_series`: a series of two people, through a real Kafka, the door and the archive task."""

import os
import uuid
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from confluent_kafka import Consumer, TopicPartition
from django.test import Client

from ingestion.doorway import Doorway
from ingestion.kafka import ADMITTED, READINGS, consumer_config, topics_create
from ingestion.lake import unique
from portal.alerts.models import Alert
from portal.pipeline.directory import LiveDirectory
from portal.pipeline.tasks import archive_share
from simulator import iot_simulator
from tests.journeys.recorded_series import admit, charted, compare, in_the_lake, persons_of

pytestmark = [pytest.mark.kafka, pytest.mark.django_db(transaction=True)]  # the door closes old connections

ROWS = 1500


@pytest.fixture
def recorded(tmp_path):
    """Two people, a reading about every minute over the night in which clocks went back, with gaps of either vital."""
    draw = np.random.default_rng(3)
    start = datetime(2016, 10, 29, 18, tzinfo=UTC)
    times = [start + timedelta(seconds=60 * i + int(draw.integers(0, 30))) for i in range(ROWS)]
    heart_rate = np.round(draw.normal(64, 6, ROWS), 2)
    spo2 = np.round(draw.normal(97, 1, ROWS).clip(90, 100), 1)
    rows = {
        "user": ["a" if i % 3 else "b" for i in range(ROWS)],
        "ts": pa.array(times, pa.timestamp("us", "UTC")),
        "hr": [None if i % 7 == 0 else x for i, x in enumerate(heart_rate.tolist())],
        "spo2": [x if i % 5 == 0 else None for i, x in enumerate(spo2.tolist())],
    }
    path = tmp_path / "series.parquet"
    pyarrow.parquet.write_table(pa.table(rows), path)
    return path


@pytest.fixture
def path_to_lake(settings, tmp_path, monkeypatch):
    """A function that takes all that has come to `vitals.readings` through a door and into a lake of its own."""
    bootstrap, group = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"], f"door-{uuid.uuid4().hex}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", bootstrap)
    topics_create(bootstrap, readings=4, admitted=4)
    asking = Consumer(consumer_config(bootstrap, group))
    topics = asking.list_topics(timeout=30).topics
    settings.LAKE_URL = str(tmp_path / "lake")
    settings.ADMITTED_PARTITIONS = len(topics[ADMITTED].partitions)

    def ends():
        partitions = [TopicPartition(READINGS, p) for p in topics[READINGS].partitions]
        return [
            TopicPartition(READINGS, p.partition, asking.get_watermark_offsets(p, timeout=30)[1]) for p in partitions
        ]

    asking.commit(offsets=ends(), asynchronous=False)  # what other tests have sent is not for this door

    def move():
        door = Doorway(
            bootstrap,
            name="1",
            transactions=True,
            admitted_partitions=settings.ADMITTED_PARTITIONS,
            known=LiveDirectory(),
            progress=lambda passed: None,
            group=group,
        )
        wanted = ends()
        door.run(lambda: [p.offset for p in asking.committed(wanted, timeout=30)] == [p.offset for p in wanted])
        archive_share(share=0, shares=1)

    yield move
    asking.close()


def test_a_recorded_series_is_in_the_lake_exactly_once_and_on_the_persons_page(recorded, path_to_lake, settings):
    persons = persons_of(recorded, None)
    bob, patients = admit(list(persons))

    def sync():
        for person, patient in patients.items():
            account = ["--person", person, "--account", patient.user.account_id]
            assert iot_simulator.main(["--replay", str(recorded), *account]) == 0
        path_to_lake()

    client = Client()
    client.force_login(bob)

    def get(address):
        answer = client.get(address)
        return answer.status_code, answer.content.decode()

    sync()
    lake, zone = settings.LAKE_URL, ZoneInfo(bob.time_zone)
    for person, series in persons.items():
        rows = in_the_lake(lake, patients[person].subject)
        assert compare(series, rows) is None
        assert set(rows["device_id"].to_pylist()) == {f"replay_{person}"}  # nobody had to assign it
        assert charted(get, patients[person], series, zone) is None

    sync()  # as a phone does that was never told that the first time went well
    for person, series in persons.items():
        rows = in_the_lake(lake, patients[person].subject)
        assert rows.num_rows == 2 * series.table.num_rows
        assert compare(series, rows) is not None
        assert compare(series, unique(rows)) is None
        assert charted(get, patients[person], series, zone) is None
    assert not Alert.objects.exists()
