"""History is what a recount of the readings gives, however they came, whatever has been sealed, in every time zone."""

import math
import os
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.history import (
    Coverage,
    DeviceUse,
    NoAnswer,
    Period,
    Source,
    Statistic,
    aggregate,
    compare,
    coverage,
    daily,
    devices,
    series,
)
from analytics.history.periods import day_start
from ingestion.lake.seal import due, seal
from tests.analytics.readings import ALICE, BELLA, NOON, Row, reading
from tests.ingestion.lakes import ORGANISATION, add, recount, summaries

CASES = int(os.environ.get("RECOUNT_CASES", "60"))  # over all zones; 240 of them take two minutes
FAR = datetime(2039, 1, 1, tzinfo=UTC)
# A day on which something happens to the clock or the calendar, and where.
DAYS = [
    ("Asia/Kathmandu", date(2026, 3, 1)),  # 5 h 45 min
    ("Asia/Kolkata", date(2024, 2, 29)),  # 5 h 30 min, leap day
    ("Australia/Eucla", date(2026, 1, 1)),  # 8 h 45 min
    ("Pacific/Chatham", date(2026, 4, 5)),  # 12 h 45 min, clocks go back at 3:45
    ("Australia/Lord_Howe", date(2026, 10, 4)),  # clocks go on by half an hour
    ("America/New_York", date(2026, 3, 8)),  # 23 hours
    ("Europe/London", date(2026, 10, 25)),  # 25 hours
    ("America/Sao_Paulo", date(2018, 11, 4)),  # has no midnight
    ("America/Havana", date(2026, 11, 1)),  # midnight comes twice
    ("Pacific/Apia", date(2011, 12, 30)),  # was left out
    ("Africa/Casablanca", date(2026, 2, 15)),  # back for Ramadan
    ("UTC", date(2028, 2, 29)),
]


@dataclass(frozen=True)
class Past:
    """What was delivered, in two deliveries, and the period that is asked about."""

    rows: Sequence[Sequence[Row]]
    sealed: bool  # at the end, too, and not only between the deliveries
    period: Period

    def truth(self) -> list[Row]:
        """Each reading once as last received, in order of time, within the period."""
        last: dict[object, Row] = {}
        for row in sorted((r for rows in self.rows for r in rows), key=lambda r: r["received_at"]):
            measured = row["record_id"] or (row.get("heart_rate"), row.get("steps"), row.get("temperature"))
            last[row["device_id"], row["measured_at"], measured] = row
        inside = [r for r in last.values() if self.period.start <= r["measured_at"] < self.period.end]
        return sorted(inside, key=lambda r: r["measured_at"])


@st.composite
def pasts(draw: st.DrawFn, zone: ZoneInfo, day: date) -> Past:
    around = datetime(day.year, day.month, day.day, tzinfo=UTC)
    seconds = st.integers(-30 * 3600, 54 * 3600)
    deliveries: list[list[Row]] = [[], []]
    count = draw(st.integers(1, 25))
    for n in range(count):
        at = around + timedelta(seconds=draw(seconds) // draw(st.sampled_from([1, 60, 900])) * 60)
        vital, value = draw(
            st.sampled_from([("heart_rate", 60.0), ("heart_rate", 88.5), ("steps", 250.0), ("temperature", 36.7)])
        )
        value += draw(st.integers(0, 12))
        skew = timedelta(minutes=draw(st.sampled_from([-10, 0, 0, 10])))
        row = reading(0, device=draw(st.sampled_from(["watch", "ring"]))) | {
            "measured_at": at + skew,
            "record_id": draw(st.sampled_from(["", f"r-{n}"])),
            "source_offset": n,
            vital: value,
        }
        late = draw(st.booleans())
        deliveries[late].append(row | {"received_at": at + timedelta(hours=1, seconds=n)})
        for again in range(draw(st.sampled_from([0, 0, 0, 1, 2]))):
            received = at + timedelta(hours=2 + again, seconds=n)
            corrected = {vital: value + draw(st.sampled_from([0, 1]))} if row["record_id"] else {}
            deliveries[late or draw(st.booleans())].append(row | {"received_at": received} | corrected)
    start = around + timedelta(seconds=draw(st.integers(-20 * 3600, 10 * 3600)))
    long = draw(st.sampled_from([0, 0, 9]))  # a long one is drawn from summaries
    end = start + timedelta(days=long, seconds=draw(st.integers(60, 60 * 3600)))
    if draw(st.booleans()):
        period = Period.of_days(day - timedelta(days=1), day + timedelta(days=1 + long), zone)
    else:
        period = Period(start, end, zone)
    return Past([draw(st.permutations(rows)) for rows in deliveries], draw(st.booleans()), period)


@pytest.mark.parametrize(("name", "day"), DAYS)
@settings(max_examples=-(-CASES // len(DAYS)))
@given(st.data())
def test_history_is_a_recount_of_the_sorted_truth(name: str, day: date, data: st.DataObject):
    past = data.draw(pasts(ZoneInfo(name), day))
    with tempfile.TemporaryDirectory() as lake:
        add(lake, past.rows[0])
        seal_all(lake)
        add(lake, past.rows[1])
        if past.sealed:
            seal_all(lake)
        truth = past.truth()
        for vital in ("heart_rate", "steps"):
            rows = [row for row in truth if vital in row]
            check_days(lake, vital, past.period, rows)
            check_series(lake, vital, past.period, rows)
        if past.sealed:
            everything = Past(past.rows, True, Period(datetime(2000, 1, 1, tzinfo=UTC), FAR, ZoneInfo("UTC"))).truth()
            assert summaries(lake, vital="steps") == recount(everything, "steps")


def seal_all(lake: str) -> None:
    for organisation, day in due(lake, now=FAR, wait=False):
        seal(lake, organisation, day, now=FAR)


def check_days(lake: str, vital: str, period: Period, rows: list[Row]) -> None:
    by_day: dict[date, list[float]] = {}
    for row in rows:
        by_day.setdefault(row["measured_at"].astimezone(period.zone).date(), []).append(row[vital])
    found = daily(lake, organisation=ORGANISATION, subject=ALICE, vital=vital, period=period)
    assert list(found.days) == sorted(by_day)
    assert found.counts.tolist() == [len(by_day[d]) for d in found.days]
    assert found.totals.tolist() == pytest.approx([math.fsum(by_day[d]) for d in found.days])
    assert found.lows.tolist() == [min(by_day[d]) for d in found.days]
    assert found.highs.tolist() == [max(by_day[d]) for d in found.days]
    assert found.medians.tolist() == pytest.approx([statistics.median(map(round, by_day[d])) for d in found.days])
    times = [row["measured_at"] for row in rows]
    minutes = {(at.astimezone(period.zone).date(), at.timestamp() // 60) for at in times}
    assert found.minutes.tolist() == [sum(day == d for day, _ in minutes) for d in found.days]
    assert sorted(found.devices) == sorted({row["device_id"] for row in rows})
    assert found.coverage.days_measured == len(by_day)


def check_series(lake: str, vital: str, period: Period, rows: list[Row]) -> None:
    found = series(
        lake,
        organisation=ORGANISATION,
        subject=ALICE,
        vitals=[vital],
        start=period.start,
        end=period.end,
        points=48,
    )[vital]
    assert found.count == len(rows)
    origin = period.start
    if found.interval % timedelta(minutes=15) == timedelta():
        origin -= timedelta(seconds=origin.timestamp() % 900)
    intervals: dict[int, list[float]] = {}
    for row in rows:
        intervals.setdefault((row["measured_at"] - origin) // found.interval, []).append(row[vital])
    drawn = ~np.isnan(found.values)
    assert found.values[drawn].tolist() == pytest.approx([statistics.fmean(v) for v in intervals.values()])
    assert found.lows[drawn].tolist() == [min(v) for v in intervals.values()]
    assert found.highs[drawn].tolist() == [max(v) for v in intervals.values()]
    assert (np.diff(found.times) >= np.timedelta64(0)).all()
    inside = (found.times[drawn] >= _plain(period.start)) & (found.times[drawn] < _plain(period.end))
    assert inside.all()


def _plain(at: datetime) -> np.datetime64:
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")


WEEK = Period.of_days(NOON.date() - timedelta(days=3), NOON.date() + timedelta(days=3), ZoneInfo("Europe/London"))


@pytest.fixture
def week(tmp_path) -> str:
    """Seven days of Alice: pulse each hour, 60 + the day's number (0 to 6), steps of 1000 times that twice a day."""
    rows = []
    for day in range(7):
        start = (day - 3) * 86400 - 12 * 3600
        rows += [reading(start + 3600 * h, heart_rate=60 + day) for h in range(24)]
        rows += [reading(start + 3600 * h + 1, device="phone", steps=1000 * day) for h in (9, 18)]
    lake = str(tmp_path)
    add(lake, [*rows, reading(0, BELLA, heart_rate=200)])
    for organisation, day in due(lake, now=FAR, wait=False)[:5]:  # the last two days are not yet sealed
        seal(lake, organisation, day, now=FAR)
    return lake


@pytest.mark.parametrize(
    ("vital", "statistic", "limit", "value", "day"),
    [
        ("heart_rate", Statistic.MEAN, None, 63, None),
        ("heart_rate", Statistic.MEDIAN, None, 63, None),
        ("heart_rate", Statistic.LOWEST, None, 60, None),
        ("heart_rate", Statistic.HIGHEST, None, 66, None),
        ("heart_rate", Statistic.COUNT, None, 168, None),
        ("heart_rate", Statistic.DAYS_OVER, 64, 2, None),
        ("heart_rate", Statistic.DAYS_UNDER, 64, 4, None),
        ("heart_rate", Statistic.HIGHEST_DAY, None, 66, date(2026, 3, 4)),
        ("heart_rate", Statistic.LOWEST_DAY, None, 60, date(2026, 2, 26)),
        ("steps", Statistic.TOTAL, None, 42_000, None),
        ("steps", Statistic.MEAN, None, 6_000, None),
        ("steps", Statistic.MEDIAN, None, 6_000, None),
        ("steps", Statistic.LOWEST, None, 0, None),
        ("steps", Statistic.BEST_DAY, None, 12_000, date(2026, 3, 4)),
        ("steps", Statistic.WORST_DAY, None, 0, date(2026, 2, 26)),
        ("steps", Statistic.DAYS_OVER, 9_999, 2, None),
    ],
)
def test_an_aggregate_says_its_value_and_what_it_rests_on(week, vital, statistic, limit, value, day):
    answer = aggregate(
        week,
        organisation=ORGANISATION,
        subject=ALICE,
        vital=vital,
        statistic=statistic,
        period=WEEK,
        limit=limit,
    )
    assert (answer.value, answer.day) == (value, day)
    assert answer.source is Source.BOTH
    assert answer.coverage.days == answer.coverage.days_measured == 7
    assert list(answer.devices) == ["watch" if vital == "heart_rate" else "phone"]


def ask(lake: str, **more):
    known = {"organisation": ORGANISATION, "subject": ALICE, "vital": "heart_rate", "period": WEEK}
    return aggregate(lake, **(known | more))


def test_a_question_without_an_answer_says_what_to_ask_instead(week):
    with pytest.raises(NoAnswer, match="highest or lowest day"):
        ask(week, statistic=Statistic.BEST_DAY)
    with pytest.raises(NoAnswer, match="limit"):
        ask(week, statistic=Statistic.DAYS_OVER)
    with pytest.raises(NoAnswer, match="numbers"):
        ask(week, vital="consciousness", statistic=Statistic.MEAN)
    nothing = ask(week, vital="glucose", statistic=Statistic.MEAN)
    assert (nothing.value, nothing.count, nothing.source) == (None, 0, Source.NOTHING)
    assert nothing.coverage == Coverage(7, 0, 0, 0.0)


def test_two_periods_are_compared(week):
    first = Period.of_days(date(2026, 2, 26), date(2026, 2, 27), WEEK.zone)
    second = Period.of_days(date(2026, 3, 3), date(2026, 3, 4), WEEK.zone)
    known = {"organisation": ORGANISATION, "subject": ALICE, "first": first, "second": second}
    found = compare(week, vital="steps", statistic=Statistic.TOTAL, **known)
    assert (found.first.value, found.second.value) == (2_000, 22_000)
    assert (found.difference, found.percent) == (20_000, 1_000)
    assert (found.first.source, found.second.source) == (Source.SUMMARIES, Source.READINGS)
    empty = compare(week, vital="glucose", statistic=Statistic.MEAN, **known)
    assert (empty.difference, empty.percent) == (None, None)


def test_coverage_is_measured_against_what_the_device_is_expected_to_send(week):
    known = {"organisation": ORGANISATION, "subject": ALICE, "period": WEEK}
    assert coverage(week, vital="heart_rate", **known) == Coverage(7, 7, 168, pytest.approx(1 / 60))
    assert coverage(week, vital="steps", **known) == Coverage(7, 7, 14, pytest.approx(2 / 24))


def test_which_devices_measured_and_from_when_to_when(week):
    add(week, [reading(3600 * 3 + 30, device="ring", heart_rate=70)])
    known = {"organisation": ORGANISATION, "subject": ALICE, "vital": "heart_rate", "period": WEEK}
    assert devices(week, **known) == [
        DeviceUse("watch", date(2026, 2, 26), date(2026, 3, 4)),
        DeviceUse("ring", date(2026, 3, 1), date(2026, 3, 1)),
    ]


def test_another_person_and_another_organisation_see_nothing_of_it(week):
    assert ask(week, subject=BELLA, statistic=Statistic.HIGHEST).value == 200
    assert ask(week, subject="c" * 32, statistic=Statistic.COUNT).value == 0
    assert ask(week, organisation="1" * 8, statistic=Statistic.COUNT).value == 0


def test_days_begin_at_their_first_midnight_or_when_the_clocks_went_on():
    def begins(name: str, *day: int) -> datetime:
        return day_start(date(*day), ZoneInfo(name))

    assert begins("Asia/Kathmandu", 2026, 3, 1) == datetime(2026, 2, 28, 18, 15, tzinfo=UTC)
    assert begins("America/Sao_Paulo", 2018, 11, 4) == datetime(2018, 11, 4, 3, tzinfo=UTC)
    assert begins("America/Havana", 2026, 11, 1) == datetime(2026, 11, 1, 4, tzinfo=UTC)
    assert begins("Pacific/Apia", 2011, 12, 30) == begins("Pacific/Apia", 2011, 12, 31)
    # Newfoundland's clocks went back at 00:01: the day that had begun goes on.
    newfoundland = ZoneInfo("America/St_Johns")
    assert begins("America/St_Johns", 2009, 11, 1) == datetime(2009, 11, 1, 2, 30, tzinfo=UTC)
    after = datetime(2009, 11, 1, 3, tzinfo=UTC)  # 23:30 of 31 October, for the second time
    assert Period(after, after + timedelta(minutes=5), newfoundland).days == [date(2009, 11, 1)]


def test_every_zone_of_today_has_days_of_whole_quarters():
    for name in available_timezones():
        for year in range(2010, 2031, 4):
            for month in (1, 4, 7, 10):
                assert day_start(date(year, month, 3), ZoneInfo(name)).timestamp() % 900 == 0, name


def test_a_long_chart_is_drawn_from_summaries_and_its_end_from_readings(week):
    known = {"organisation": ORGANISATION, "subject": ALICE, "vitals": ["heart_rate"]}
    long = series(week, start=WEEK.start - timedelta(days=20), end=WEEK.end, points=100, **known)["heart_rate"]
    assert long.source is Source.BOTH
    assert long.count == 168
    assert long.interval == timedelta(hours=6, minutes=30)
    short = series(week, start=NOON, end=NOON + timedelta(hours=6), points=100, **known)["heart_rate"]
    assert short.source is Source.READINGS
    assert short.values[~np.isnan(short.values)].tolist() == [63] * 6


def test_a_gap_breaks_the_line(tmp_path):
    lake = str(tmp_path)
    add(lake, [reading(s, heart_rate=60) for s in (0, 60, 120, 3000, 3060)])
    known = {"organisation": ORGANISATION, "subject": ALICE, "vitals": ["heart_rate"]}
    found = series(lake, start=NOON, end=NOON + timedelta(hours=1), **known)["heart_rate"]
    assert np.isnan(found.values).tolist() == [False, False, False, True, False, False]
