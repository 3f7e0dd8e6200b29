"""A batch of readings as arrays: what both layers of the watcher take."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from analytics.rounds import rounds
from analytics.terms import WATCHED
from ingestion.vitals import CODES, VITALS

LATE = 30 * 60 * 1_000_000  # microseconds; received later than this after it was measured: history, never a page


@dataclass(frozen=True)
class Batch:
    """Readings in the order of their partition, without those that came late. Times are in microseconds, UTC.

    `person` (n,) are places in `subjects`, `device` (n,) in `devices`; `at` (n,) is the time of measurement, but never
    later than `received`, since a fast clock must not hide what comes after. `offset` is the minutes from UTC of the
    source; `values` (n, WATCHED) and `steps` (n,) are NaN where nothing was measured.
    """

    subjects: list[str]
    devices: list[str]
    person: np.ndarray
    device: np.ndarray
    at: np.ndarray
    received: np.ndarray
    offset: np.ndarray
    values: np.ndarray
    steps: np.ndarray

    @cached_property
    def rounds(self) -> list[np.ndarray]:
        """Rows in rounds, in which nobody is twice: see `analytics.rounds`."""
        return list(rounds(self.person))


def batch_of(readings: pa.Table) -> Batch:
    """The batch of readings (READING_SCHEMA) in the order of their partition."""
    measured = readings["measured_at"].cast(pa.int64()).to_numpy()
    received = readings["received_at"].cast(pa.int64()).to_numpy()
    keep = np.flatnonzero(received - measured <= LATE)
    if len(keep) < len(measured):
        readings = readings.take(pa.array(keep))
        measured, received = measured[keep], received[keep]
    subjects = readings["subject"].combine_chunks().dictionary_encode()
    devices = readings["device_id"].combine_chunks().dictionary_encode()
    return Batch(
        subjects=subjects.dictionary.to_pylist(),
        devices=devices.dictionary.to_pylist(),
        person=subjects.indices.to_numpy(),
        device=devices.indices.to_numpy(),
        at=np.minimum(measured, received),
        received=received,
        offset=readings["offset_minutes"].to_numpy().astype(np.int64),
        values=watched_values(readings),
        steps=readings["steps"].cast(pa.float64()).to_numpy(),
    )


def watched_values(readings: pa.Table) -> np.ndarray:
    """The vitals of readings, (n, WATCHED): NaN where not measured, a flag as 0 or 1, a code as its place in CODES."""
    values = np.full((readings.num_rows, len(WATCHED)), np.nan)
    for column, name in enumerate(WATCHED):
        array = readings[name]
        if array.null_count == readings.num_rows:
            continue
        if name in CODES:
            codes = VITALS[name].codes
            values[:, column] = [np.nan if c is None else codes.index(c) for c in array.to_pylist()]
        else:
            values[:, column] = array.cast(pa.float64()).to_numpy()
    return values
