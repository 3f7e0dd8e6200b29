"""The past of one person's vitals in quarters of an hour: from summaries where they are true, else from readings."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

import numpy as np
import pyarrow as pa

from ingestion.instants import EPOCH, microseconds
from ingestion.lake.read import days, holds, read
from ingestion.lake.summaries import QUARTER_US, read_summaries, summarise
from ingestion.lake.tables import READINGS, SUMMARIES, Snapshot, newest

QUARTER = timedelta(minutes=15)


class Source(StrEnum):
    """What an answer was made of."""

    NOTHING = "nothing"  # there is nothing to make it of
    READINGS = "readings"
    SUMMARIES = "summaries"
    BOTH = "summaries and readings"


@dataclass(frozen=True, slots=True)
class Quarters:
    """One vital in quarters of an hour (of UTC, in order). The first and last hold only what lies in the period.

    `table` has `quarter` and the columns asked for, as `ingestion.lake.tables.SUMMARY_SCHEMA` says.
    """

    table: pa.Table
    source: Source

    @property
    def begins(self) -> np.ndarray:
        """int64 microseconds since 1970."""
        begins: np.ndarray = self.table["quarter"].cast(pa.int64()).to_numpy()
        return begins

    def numbers(self, name: str) -> np.ndarray:
        values: np.ndarray = self.table[name].to_numpy()
        return values


def quarters(
    lake: str,
    *,
    organisation: str,
    subject: str,
    vitals: Sequence[str],
    start: datetime,
    end: datetime,
    columns: Sequence[str],
    readings: Snapshot | None = None,
) -> Mapping[str, Quarters]:
    """The quarters of [start, end) by vital. `columns` are names of SUMMARY_SCHEMA beside `quarter`.

    A day with rows that are not sealed, and a quarter that the period cuts, are counted from `readings`, by default the
    newest snapshot. It is taken before that of the summaries: a day that is sealed in it has its summaries. A day in
    the archive has them too; what came late for it counts once it has been put beside the rest.
    """
    readings = readings or newest(lake, READINGS)
    summaries = newest(lake, SUMMARIES)
    raw = list(_raw(readings, organisation, subject, start, end))
    wanted = list(dict.fromkeys(["vital", "quarter", *columns]))
    whole = read_summaries(
        lake,
        organisation=organisation,
        subject=subject,
        vitals=vitals,
        start=_up(start),
        end=_down(end),
        columns=wanted,
        snapshot=summaries,
    )
    counted = [
        summarise(
            read(
                lake,
                organisation=organisation,
                subject=subject,
                start=begin,
                end=until,
                columns=["subject", "measured_at", "device_id", *vitals],
                snapshot=readings,
            ),
            vitals,
        ).select(wanted)
        for begin, until in raw
    ]
    whole = whole.filter(pa.array(~_inside(whole["quarter"].cast(pa.int64()).to_numpy(), raw)))
    return {vital: _of_vital(vital, whole, counted) for vital in vitals}


def only_summaries(
    lake: str,
    readings: Snapshot,
    *,
    organisation: str,
    subject: str,
    vitals: Sequence[str],
    start: datetime,
    end: datetime,
) -> bool:
    """Whether the readings of some day of [start, end) have gone to the archive, and its summaries tell of it."""
    gone = [day for day in days(start, end) if not readings.is_whole(organisation, day)]
    if not gone:
        return False
    summaries = newest(lake, SUMMARIES)
    found = (
        read_summaries(
            lake,
            organisation=organisation,
            subject=subject,
            vitals=vitals,
            start=begin,
            end=begin + timedelta(days=1),
            columns=["quarter"],
            snapshot=summaries,
        )
        for begin in (datetime.combine(day, time(), UTC) for day in gone)
    )
    return any(rows.num_rows for rows in found)


def _of_vital(vital: str, whole: pa.Table, counted: list[pa.Table]) -> Quarters:
    parts = [part.filter(pa.compute.equal(part["vital"], vital)).drop_columns("vital") for part in (whole, *counted)]
    from_summaries, from_readings = parts[0].num_rows > 0, any(part.num_rows for part in parts[1:])
    source = {
        (False, False): Source.NOTHING,
        (False, True): Source.READINGS,
        (True, False): Source.SUMMARIES,
        (True, True): Source.BOTH,
    }[from_summaries, from_readings]
    return Quarters(pa.concat_tables(parts).sort_by([("quarter", "ascending")]), source)


def _raw(
    snapshot: Snapshot, organisation: str, subject: str, start: datetime, end: datetime
) -> Iterator[tuple[datetime, datetime]]:
    """The stretches of [start, end) that summaries cannot answer, in order, none touching another's quarter."""
    stretches: list[tuple[datetime, datetime]] = []
    if _down(start) != start:
        stretches.append((start, min(_up(start), end)))
    for day in days(start, end):
        begin = datetime.combine(day, time(), UTC)
        files = snapshot.partition(organisation, day)
        if snapshot.is_whole(organisation, day) and any(not f.sealed and holds(f, subject, start, end) for f in files):
            stretches.append((max(begin, start), min(begin + timedelta(days=1), end)))
    if _down(end) != end:
        stretches.append((max(_down(end), start), end))
    last: tuple[datetime, datetime] | None = None
    for begin, until in sorted(stretches):
        if last is not None and begin <= last[1]:
            last = last[0], max(last[1], until)
            continue
        if last is not None:
            yield last
        last = begin, until
    if last is not None:
        yield last


def _inside(begins: np.ndarray, raw: list[tuple[datetime, datetime]]) -> np.ndarray:
    inside = np.zeros(len(begins), bool)
    for begin, until in raw:
        inside |= (begins >= microseconds(_down(begin))) & (begins < microseconds(until))
    return inside


def _down(at: datetime) -> datetime:
    return EPOCH + timedelta(microseconds=microseconds(at) // QUARTER_US * QUARTER_US)


def _up(at: datetime) -> datetime:
    return EPOCH + timedelta(microseconds=-(-microseconds(at) // QUARTER_US) * QUARTER_US)
