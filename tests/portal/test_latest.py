"""Latest values, checkpoints and progress, on a real Redis: forward only, and rebuilt after it was emptied."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from django.conf import settings as portal
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.terms import Term, Terms
from analytics.ward import Ward
from ingestion.lake import READING_SCHEMA
from ingestion.vitals import VITALS
from portal.pipeline.checkpoint import checkpoint_read, checkpoints_write
from portal.pipeline.latest import (
    DELAYED_AFTER,
    Latest,
    connection,
    latest_forget,
    latest_of,
    latest_read,
    latest_since,
    latest_write,
    monitoring_delayed,
    progress_read,
    progress_write,
)
from tests.analytics.readings import ALICE, BELLA, NOON, batch, reading, table
from tests.portal.conftest import NOW

pytestmark = [pytest.mark.redis, pytest.mark.usefixtures("empty_redis")]


@pytest.fixture(scope="module", autouse=True)
def nothing_is_left():
    yield
    connection().flushdb()


rows = st.lists(
    st.builds(
        reading,
        st.integers(0, 8),
        st.sampled_from([ALICE, BELLA]),
        device=st.sampled_from(["watch", "bed"]),
        heart_rate=st.integers(60, 70).map(float),
        spo2=st.sampled_from([None, 97.0, 92.5]),
        presence=st.sampled_from([None, True, False]),
        consciousness=st.sampled_from([None, "A", "V"]),
    ),
    max_size=12,
)


def newest(readings):
    """By person and vital the value with the newest time; of two with one time the one that came last."""
    found = {}
    for row in readings:
        for vital in VITALS:
            value, at = row.get(vital), row["measured_at"]
            if value is not None and at >= found.get((row["subject"], vital), (at, None))[0]:
                found[row["subject"], vital] = (at, value)
    return {key: (at, float(v) if isinstance(v, bool) else v) for key, (at, v) in found.items()}


@settings(max_examples=50)
@given(rows, st.data())
def test_in_any_batches_the_newest_value_stays(readings, data):
    connection().flushdb()
    cuts = sorted(data.draw(st.lists(st.integers(0, len(readings)), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(readings)], strict=True):
        latest_write(latest_of(table(readings[start:end])))
    found = {
        (subject, vital): (latest.measured_at, latest.value)
        for subject, values in latest_read([ALICE, BELLA]).items()
        for vital, latest in values.items()
    }
    assert found == newest(readings)


@settings(max_examples=50)
@given(rows, st.data())
def test_a_replay_from_anywhere_turns_no_value_back(readings, data):
    connection().flushdb()
    latest_write(latest_of(table(readings)))
    before = {s: {v: x.measured_at for v, x in values.items()} for s, values in latest_read([ALICE, BELLA]).items()}
    start = data.draw(st.integers(0, len(readings)))
    end = data.draw(st.integers(start, len(readings)))
    latest_write(latest_of(table(readings[start:end])))
    after = {s: {v: x.measured_at for v, x in values.items()} for s, values in latest_read([ALICE, BELLA]).items()}
    assert after == before


def test_a_value_comes_back_as_it_was_written():
    written = {
        "heart_rate": Latest(61.5, NOW, "watch"),
        "consciousness": Latest("V", NOW, "a|b"),
        "presence": Latest(0.0, NOW - timedelta(microseconds=1), "bed"),
    }
    latest_write((ALICE, vital, latest) for vital, latest in written.items())
    assert latest_read([ALICE, BELLA]) == {ALICE: written, BELLA: {}}
    latest_forget(ALICE)
    assert latest_read([ALICE]) == {ALICE: {}}


def test_readings_without_any_vital_leave_nothing():
    latest_write(latest_of(table([reading(0)])))
    latest_write(latest_of(pa.Table.from_batches([], READING_SCHEMA)))
    assert latest_read([ALICE]) == {ALICE: {}}


@settings(max_examples=30)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3)), min_size=1, max_size=12))
def test_an_older_checkpoint_never_replaces_a_newer_one(written):
    connection().flushdb()
    for offset, people in written:
        ward = Ward()
        ward.take(batch([reading(n, f"{n:032x}", heart_rate=70.0) for n in range(people)]))
        checkpoints_write("topic", {0: (offset, ward), 2: (3, Ward())})
    last = max(offset for offset, _ in written)
    offset, ward = checkpoint_read("topic", 0)
    held = {subject for subject, *_ in ward.latest()}
    assert (offset, len(held)) == (last, [people for o, people in written if o == last][-1])


def test_a_checkpoint_is_of_one_partition_of_one_incarnation_of_the_topic():
    checkpoints_write("topic", {1: (7, Ward())})
    assert checkpoint_read("topic", 1)[0] == 7
    assert checkpoint_read("topic", 0) is None
    assert checkpoint_read("made anew", 1) is None


def test_a_checkpoint_goes_on_where_the_windows_were():
    readings = [reading(t, spo2=88.0) for t in (0, 10, 40)]
    terms = Terms([Term(ALICE)])
    ward = Ward()
    ward.terms_are(terms)
    assert ward.take(batch(readings[:2])) == []
    checkpoints_write("topic", {0: (2, ward)})
    _, again = checkpoint_read("topic", 0)
    again.terms_are(terms)
    assert [t.step for t in again.take(batch(readings[2:]))] == ["opened"]


# --- how far the pipeline has come ---


def everywhere(at, but=()):
    for part, partitions in (("door", portal.READINGS_PARTITIONS), ("watcher", portal.ADMITTED_PARTITIONS)):
        progress_write(part, {p: at for p in range(partitions) if (part, p) not in but})


def test_progress_is_unknown_until_every_partition_of_both_has_said_how_far_it_is():
    progress_write("door", {})
    assert progress_read() is None
    everywhere(NOW, but={("watcher", 0)})
    assert progress_read() is None
    assert monitoring_delayed(NOW)
    progress_write("watcher", {0: NOW})
    assert progress_read() == NOW
    assert not monitoring_delayed(NOW)


@pytest.mark.parametrize("late", [("door", 0), ("door", portal.READINGS_PARTITIONS - 1), ("watcher", 1)])
def test_the_slowest_partition_says_whether_monitoring_is_delayed(late):
    everywhere(NOW)
    part, partition = late
    progress_write(part, {partition: NOW - DELAYED_AFTER})
    assert not monitoring_delayed(NOW)
    assert monitoring_delayed(NOW + timedelta(seconds=1))
    progress_write(part, {partition: NOW})
    assert not monitoring_delayed(NOW + DELAYED_AFTER)


def test_an_emptied_redis_says_since_when_it_knows_anything():
    since = latest_since(NOW)
    assert since == latest_since(NOW + timedelta(hours=1)) == NOW
    everywhere(NOW)
    connection().flushdb()
    assert latest_since(NOW + timedelta(hours=2)) == NOW + timedelta(hours=2)
    assert monitoring_delayed(NOW)


def test_what_is_refilled_from_the_windows_is_what_was_there():
    readings = [
        reading(0, spo2=97.0, consciousness="V", supplemental_oxygen=True),
        reading(9, device="cuff", systolic=120.0),
    ]
    ward = Ward()
    ward.take(batch(readings))
    latest_write((s, vital, Latest(value, at, device)) for s, vital, value, at, device in ward.latest())
    refilled = latest_read([ALICE])
    connection().flushdb()
    latest_write(latest_of(table(readings)))
    assert refilled == latest_read([ALICE])
    assert datetime.fromtimestamp(NOON.timestamp(), UTC) == refilled[ALICE]["spo2"].measured_at
