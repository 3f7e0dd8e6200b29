"""The reading contract: what a packet may say, and decoding packets into columns.

A packet is a JSON object of `vitals.readings`. The least one is
`{"device_id": "watch-1", "timestamp": "2026-11-24T10:00:00Z", "heart_rate": 72}`; every name of `ingestion.vitals` may
stand in it, and `blood_pressure` as "120/80" for `systolic` and `diastolic`. `timestamp` is RFC 3339 with an offset.
`record_id` is the source's own id of the measurement, if it has one: a later packet with the same is its correction.
Unknown names are ignored.

One value that is not usable is dropped with its reason and the others go on. A packet is refused as a whole only if it
cannot be read, does not say which device or when, or measured nothing.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import lru_cache
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa

from ingestion.vitals import ABOUT_DEVICE, CODES, FLAGS, NUMBERS, VITALS

LARGEST_PACKET = 64 * 1024  # bytes; a device has no reason to send more in one packet


class Refusal(StrEnum):
    """Why a packet is refused. The value is what operators see and search for."""

    EMPTY = "empty"
    TOO_LARGE = "too_large"
    NOT_JSON = "not_json"
    NOT_AN_OBJECT = "not_an_object"
    NO_DEVICE = "device_id_missing"
    NO_TIME = "timestamp_missing"
    BAD_TIME = "timestamp_unreadable"
    NO_OFFSET = "timestamp_without_offset"
    NOTHING_MEASURED = "nothing_measured"
    FUTURE = "timestamp_in_the_future"
    TOO_OLD = "timestamp_too_old"
    UNKNOWN_DEVICE = "unknown_device"
    UNASSIGNED = "unassigned"
    UNKNOWN_ACCOUNT = "unknown_account"
    NO_CONSENT = "no_consent"


_Instant = Annotated[datetime, msgspec.Meta(tz=True)]
_Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Code = Annotated[str, msgspec.Meta(max_length=1)]

# The order of the fields is the order of the columns that `decode` transposes.
_FIELDS: tuple[tuple[str, Any], ...] = (
    ("device_id", _Name),
    ("timestamp", _Instant),
    ("record_id", _Name | None),
    ("blood_pressure", Annotated[str, msgspec.Meta(max_length=16)] | None),
    *((name, float | None) for name in NUMBERS),
    *((name, bool | None) for name in FLAGS),
    *((name, _Code | None) for name in CODES),
)
_MEASURED = NUMBERS + FLAGS + CODES
Packet = msgspec.defstruct(
    "Packet",
    [(n, t, None) if n not in ("device_id", "timestamp") else (n, t) for n, t in _FIELDS],
    gc=False,
)
_decode_packet = msgspec.json.Decoder(Packet).decode
_decode_any = msgspec.json.Decoder().decode
_row_of = msgspec.structs.astuple

ARROW_TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(NUMBERS, pa.float64()),
    **dict.fromkeys(FLAGS, pa.bool_()),
    **dict.fromkeys(CODES, pa.string()),
}


@dataclass(slots=True)
class Decoded:
    """Packets as columns. Every array has one entry for each packet that could be read.

    `rows[i]` is the position in the input of entry i. `device_id` and `record_id` are Python strings, the
    latter empty where the source gave none;
    `measured_at` is int64 microseconds since 1970 in UTC; `offset_minutes` int16, the source's own offset from UTC;
    `vitals` holds an Arrow array per vital, nulls where nothing was measured; `dropped` says per entry which values
    were dropped and why ("spo2:implausible"), or None. `refused` has (input position, reason) of all other packets.
    """

    rows: np.ndarray
    device_id: Sequence[str]
    measured_at: np.ndarray
    offset_minutes: np.ndarray
    record_id: list[str]
    vitals: dict[str, pa.Array]
    dropped: list[str | None]
    refused: list[tuple[int, Refusal]]


def decode(values: Sequence[bytes | None]) -> Decoded:
    """Decode packets; never raises for what a packet contains."""
    good: list[tuple[Any, ...]] = []
    rows: list[int] = []
    refused: list[tuple[int, Refusal]] = []
    reasons: dict[int, list[str]] = {}
    for position, value in enumerate(values):
        try:
            if value is None or len(value) > LARGEST_PACKET:
                raise _Refused(Refusal.TOO_LARGE if value else Refusal.EMPTY)
            packet = _decode_packet(value)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            try:
                packet, why = _decode_leniently(value)
            except _Refused as refusal:
                refused.append((position, refusal.reason))
                continue
            if why:
                reasons[len(good)] = why
        except _Refused as refusal:
            refused.append((position, refusal.reason))
            continue
        good.append(_row_of(packet))
        rows.append(position)
    return _to_columns(good, rows, reasons, refused)


class _Refused(Exception):
    def __init__(self, reason: Refusal) -> None:
        self.reason = reason


def _decode_leniently(value: bytes | None) -> tuple[Any, list[str]]:
    """Read a packet that the strict decoder would not have: drop each value of a wrong type with its reason."""
    if not value or not value.strip():
        raise _Refused(Refusal.EMPTY)
    try:
        raw = _decode_any(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise _Refused(Refusal.NOT_JSON) from None
    if not isinstance(raw, dict):
        raise _Refused(Refusal.NOT_AN_OBJECT)
    fields: dict[str, Any] = {
        "device_id": _convert(raw.get("device_id"), _Name, Refusal.NO_DEVICE),
        "timestamp": _instant(raw.get("timestamp")),
    }
    why = []
    for name, kind in _FIELDS[2:]:
        if raw.get(name) is None:
            continue
        try:
            fields[name] = msgspec.convert(raw[name], kind)
        except (msgspec.ValidationError, OverflowError):
            why.append(f"{name}:type")
    return Packet(**fields), why


def _convert(value: Any, kind: Any, otherwise: Refusal) -> Any:
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        raise _Refused(otherwise) from None


def _instant(value: Any) -> datetime:
    if value is None or value == "":
        raise _Refused(Refusal.NO_TIME)
    if not isinstance(value, str):
        raise _Refused(Refusal.BAD_TIME)
    try:
        return msgspec.convert(value, _Instant)
    except msgspec.ValidationError:
        _convert(value, datetime, Refusal.BAD_TIME)
        raise _Refused(Refusal.NO_OFFSET) from None


@lru_cache(maxsize=65536)
def _pressures(text: str) -> tuple[float, float] | None:
    systolic, slash, diastolic = text.partition("/")
    if not slash or not (systolic.strip().isdecimal() and diastolic.strip().isdecimal()):
        return None
    return float(systolic), float(diastolic)


def _to_columns(
    good: list[tuple[Any, ...]],
    rows: list[int],
    reasons: dict[int, list[str]],
    refused: list[tuple[int, Refusal]],
) -> Decoded:
    if not good:
        empty = np.empty(0, np.int64)
        none: dict[str, pa.Array] = {n: pa.array([], t) for n, t in ARROW_TYPES.items()}
        return Decoded(empty, [], empty, empty.astype(np.int16), [], none, [], refused)
    columns = dict(zip((name for name, _ in _FIELDS), zip(*good, strict=True), strict=True))
    count = len(good)
    _split_pressures(columns, reasons)
    absent = _absent(columns["presence"], count)

    vitals: dict[str, pa.Array] = {}
    measured = np.zeros(count, bool)
    for name in _MEASURED:
        column = columns[name]
        if column.count(None) == count:
            vitals[name] = pa.nulls(count, ARROW_TYPES[name])
            continue
        array = pa.array(column, ARROW_TYPES[name])
        keep = np.asarray(array.is_valid())
        bad = keep & _implausible(name, array)
        for i in bad.nonzero()[0].tolist():
            reasons.setdefault(i, []).append(f"{name}:implausible")
        keep &= ~bad
        if absent is not None and name not in ABOUT_DEVICE:
            keep &= ~absent
        vitals[name] = array if array.null_count == count - keep.sum() else _where(array, keep)
        measured |= keep
    return _without_nothing(columns, rows, reasons, refused, vitals, measured)


def _split_pressures(columns: dict[str, Any], reasons: dict[int, list[str]]) -> None:
    texts = columns["blood_pressure"]
    if texts.count(None) == len(texts):
        return
    systolic, diastolic = list(columns["systolic"]), list(columns["diastolic"])
    for i, text in enumerate(texts):
        if text is None:
            continue
        pair = _pressures(text)
        if pair is None:
            reasons.setdefault(i, []).append("blood_pressure:type")
        else:
            systolic[i], diastolic[i] = pair
    columns["systolic"], columns["diastolic"] = systolic, diastolic


def _absent(presence: Sequence[bool | None], count: int) -> np.ndarray | None:
    """Entries whose device says that nobody is there: what it then measured is not a person."""
    if False not in presence:
        return None
    return np.fromiter((p is False for p in presence), bool, count)


def _implausible(name: str, array: pa.Array) -> np.ndarray:
    vital = VITALS[name]
    if name in NUMBERS:
        numbers = array.to_numpy(zero_copy_only=False)
        with np.errstate(invalid="ignore"):
            outside: np.ndarray = ~((numbers >= vital.low) & (numbers <= vital.high))
        return outside
    if name in CODES:
        return np.fromiter((c not in vital.codes for c in array.to_pylist()), bool, len(array))
    return np.zeros(len(array), bool)


def _where(array: pa.Array, keep: np.ndarray) -> pa.Array:
    return pa.compute.if_else(pa.array(keep), array, pa.scalar(None, array.type))


def _without_nothing(
    columns: dict[str, Any],
    rows: list[int],
    reasons: dict[int, list[str]],
    refused: list[tuple[int, Refusal]],
    vitals: dict[str, pa.Array],
    measured: np.ndarray,
) -> Decoded:
    times = columns["timestamp"]
    measured_at = np.array(pa.array(times, pa.timestamp("us", "UTC")).cast(pa.int64()))
    offsets = np.fromiter(
        (0 if t.tzinfo is UTC else int(t.utcoffset().total_seconds() // 60) for t in times), np.int16, len(times)
    )
    record_ids = ["" if r is None else r if r.isascii() else _in_ascii(r) for r in columns["record_id"]]
    dropped = ["; ".join(sorted(reasons[i])) if i in reasons else None for i in range(len(rows))]
    if measured.all():
        return Decoded(np.array(rows), columns["device_id"], measured_at, offsets, record_ids, vitals, dropped, refused)
    keep = measured.nonzero()[0]
    refused += [(rows[i], Refusal.NOTHING_MEASURED) for i in (~measured).nonzero()[0].tolist()]
    take = keep.tolist()
    return Decoded(
        np.array(rows)[keep],
        [columns["device_id"][i] for i in take],
        measured_at[keep],
        offsets[keep],
        [record_ids[i] for i in take],
        {name: array.take(pa.array(keep)) for name, array in vitals.items()},
        [dropped[i] for i in take],
        refused,
    )


def _in_ascii(record_id: str) -> str:
    """A record id in other letters, as 64 bits of its BLAKE2b."""
    return hashlib.blake2b(record_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
