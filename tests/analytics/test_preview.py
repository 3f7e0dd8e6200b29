"""Replaying weeks: what is left out changes nothing that would have fired."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.batch import batch_of
from analytics.episodes import Level, Step
from analytics.preview import BEAT, Fired, Known, missed, replay, telling, thinned
from analytics.terms import Limit, Term, Terms
from analytics.ward import Ward
from ingestion.lake import READING_SCHEMA

START = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = 60 * 1_000_000
ORIGIN = int(START.timestamp() * 1e6)


def readings(rows):
    """`rows`: (subject, device, minute, {vital: value})."""
    columns = {f.name: pa.nulls(len(rows), f.type) for f in READING_SCHEMA}
    at = pa.array([int(ORIGIN + minute * MINUTE) for _, _, minute, _ in rows]).cast(pa.timestamp("us", "UTC"))
    columns |= {"measured_at": at, "received_at": at, "offset_minutes": pa.array([0] * len(rows), pa.int16())}
    columns |= {"subject": pa.array([r[0] for r in rows]), "device_id": pa.array([r[1] for r in rows])}
    for vital in {v for r in rows for v in r[3]}:
        columns[vital] = pa.array([r[3].get(vital) for r in rows], columns[vital].type)
    return pa.table(columns)


def ward_alone(table, terms):
    """The steps of the ward on every reading."""
    ward = Ward()
    ward.terms_are(terms)
    return ward.take(batch_of(table))


hours = st.lists(
    st.tuples(
        st.sampled_from([60, 75, 95, 115, 135]),  # heart rate
        st.sampled_from([97, 95, 93, 90]),
        st.sampled_from([14, 22, 26]),
        st.integers(1, 40),  # minutes it lasts
    ),
    min_size=1,
    max_size=8,
)


@settings(max_examples=30)
@given(hours, hours)
def test_a_replay_raises_what_the_ward_raises_on_every_reading(first, second):
    rows = []
    for subject, stretches in (("a", first), ("b", second)):
        minute = 0
        for heart_rate, spo2, respiration, length in stretches:
            for _ in range(length):
                rows.append((subject, f"watch-{subject}", minute, {"heart_rate": heart_rate, "spo2": spo2}))
                if minute % 3 == 0:
                    rows.append((subject, f"bed-{subject}", minute, {"respiratory_rate": respiration}))
                minute += 1
    rows.sort(key=lambda r: r[2])
    table = thinned(readings(rows))
    terms = Terms([Term("a", limits={"heart_rate": Limit(None, 130, "x")}), Term("b", scale=1)])
    steps = [s for s in ward_alone(table, terms) if s.step == Step.OPENED]
    fired = replay(table, terms)
    assert [(f.subject, f.cause, f.began_at) for f in fired] == sorted(
        ((s.subject, s.cause, s.at) for s in steps), key=lambda x: (x[2], x[0], x[1])
    )


def test_quiet_weeks_are_mostly_left_out():
    rows = [("a", "watch", minute, {"heart_rate": 70, "spo2": 97}) for minute in range(14 * 24 * 60)]
    kept = telling(readings(rows), Terms([Term("a")]))
    assert kept.num_rows == 14 * 24 * 60 * MINUTE // BEAT


def test_a_limit_that_nobody_has_set_yet():
    rows = [("a", "watch", minute, {"heart_rate": 70 + 45 * (600 <= minute < 660)}) for minute in range(1440)]
    table = readings(rows)
    assert replay(table, Terms([Term("a", scale=0)])) == []
    (fired,) = replay(table, Terms([Term("a", scale=0, limits={"heart_rate": Limit(None, 110, "x")})]))
    assert (fired.cause, fired.level) == ("limit:heart_rate:high", Level.MEDIUM)
    assert timedelta(0) <= fired.began_at - (START + timedelta(minutes=600)) <= timedelta(minutes=2)
    assert fired.ended_at is not None


def test_several_devices_in_one_minute_and_several_vitals_of_one_device_are_kept():
    rows = [("a", "w", 0, {"heart_rate": 70}), ("a", "w", 0, {"spo2": 97}), ("a", "w", 0.5, {"heart_rate": 71})]
    kept = thinned(readings([*rows, ("a", "bed", 0, {"heart_rate": 69})]))
    assert kept.num_rows == 3
    assert np.array_equal(kept["received_at"].to_numpy(), kept["measured_at"].to_numpy())


def test_a_known_event_is_missed_unless_something_fires_near_it():
    hour = timedelta(hours=1)
    known = [Known("a", START + n * 10 * hour, START + (n * 10 + 1) * hour) for n in range(3)]
    fired = [
        Fired("a", "news2", Level.MEDIUM, START + 0.5 * hour, START + hour),
        Fired("b", "news2", Level.MEDIUM, START + 10 * hour, None),  # somebody else's
        Fired("a", "news2", Level.MEDIUM, START + 15 * hour, START + 19.5 * hour),
    ]
    assert missed(fired, known, START + 48 * hour) == [known[1]]
