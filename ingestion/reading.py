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
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from itertools import chain
from typing import Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ingestion.instants import microseconds
from ingestion.vitals import ABOUT_DEVICE, CODES, FLAGS, NUMBERS, VITALS

LARGEST_PACKET = 64 * 1024  # bytes; a device has no reason to send more in one packet

_INSTANT = pa.timestamp("us", "UTC")


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

# The order of the fields is the order of the columns that `decode` transposes. The time stays text here: a whole
# column of times is read at once.
_FIELDS: tuple[tuple[str, Any], ...] = (
    ("device_id", _Name),
    ("timestamp", str),
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


class _Named(msgspec.Struct):
    device_id: str


_decode_packet = msgspec.json.Decoder(Packet).decode
_decode_named = msgspec.json.Decoder(_Named).decode
_decode_any = msgspec.json.Decoder().decode
_row_of = msgspec.structs.astuple

# The form in which nearly every device writes the time, in UTC and after the year 2000: Arrow reads a column of it.
_USUAL_TIME = r"^2\d{3}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d{1,6})?Z$"

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
    good: list[Any] = []
    refused: list[tuple[int, Refusal]] = []
    reasons: dict[int, list[str]] = {}
    packets = map(_decode_packet, _readable(values))
    while len(good) + len(refused) < len(values):
        try:
            good.extend(packets)  # up to the first that the strict decoder does not take
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            position = len(good) + len(refused)
            try:
                packet, why = _decode_leniently(values[position])
            except _Refused as refusal:
                refused.append((position, refusal.reason))
                continue
            if why:
                reasons[len(good)] = why
            good.append(packet)
    rows = np.delete(np.arange(len(values)), [position for position, _ in refused])
    return _to_columns(good, rows, reasons, refused)


def _readable(values: Sequence[bytes | None]) -> list[bytes]:
    """The values, empty in place of each that is missing or larger than a packet may be."""
    return [v if v is not None and len(v) <= LARGEST_PACKET else b"" for v in values]


def device_named(value: bytes) -> str | None:
    """The device that a packet names, whatever else may be wrong with it; None if that cannot be read."""
    try:
        return _decode_named(value).device_id
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None


class _Refused(Exception):
    def __init__(self, reason: Refusal) -> None:
        self.reason = reason


def _decode_leniently(value: bytes | None) -> tuple[Any, list[str]]:
    """Read a packet that the strict decoder would not have: drop each value of a wrong type with its reason."""
    if not value:
        raise _Refused(Refusal.EMPTY)
    if len(value) > LARGEST_PACKET:
        raise _Refused(Refusal.TOO_LARGE)
    if not value.strip():
        raise _Refused(Refusal.EMPTY)
    try:
        raw = _decode_any(value)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise _Refused(Refusal.NOT_JSON) from None
    if not isinstance(raw, dict):
        raise _Refused(Refusal.NOT_AN_OBJECT)
    fields: dict[str, Any] = {
        "device_id": _convert(raw.get("device_id"), _Name, Refusal.NO_DEVICE),
        "timestamp": _time_text(raw.get("timestamp")),
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


def _time_text(value: Any) -> str:
    if value is None:
        raise _Refused(Refusal.NO_TIME)
    if not isinstance(value, str):
        raise _Refused(Refusal.BAD_TIME)
    return value


def _instant(text: str) -> datetime:
    if text == "":
        raise _Refused(Refusal.NO_TIME)
    try:
        return msgspec.convert(text, _Instant)
    except msgspec.ValidationError:
        _convert(text, datetime, Refusal.BAD_TIME)
        raise _Refused(Refusal.NO_OFFSET) from None


@dataclass(slots=True)
class _Times:
    """`measured_at` and `offset_minutes` as in Decoded; `unreadable` says by entry why there is no time."""

    measured_at: np.ndarray
    offset_minutes: np.ndarray
    unreadable: dict[int, Refusal]


def _times(texts: Sequence[str]) -> _Times:
    column = pa.array(texts, pa.string())
    usual = pc.match_substring_regex(column, _USUAL_TIME)
    try:
        instants = pc.if_else(usual, column, None).cast(_INSTANT)
    except pa.ArrowInvalid:  # the thirtieth of February
        instants = pa.nulls(len(column), _INSTANT)
    measured_at = instants.cast(pa.int64()).fill_null(0).to_numpy().copy()
    times = _Times(measured_at, np.zeros(len(column), np.int16), {})
    for entry in np.flatnonzero(instants.is_null()).tolist():
        try:
            at = _instant(texts[entry])
        except _Refused as refusal:
            times.unreadable[entry] = refusal.reason
        else:
            times.measured_at[entry] = microseconds(at)
            times.offset_minutes[entry] = (at.utcoffset() or timedelta()) // timedelta(minutes=1)
    return times


@lru_cache(maxsize=65536)
def _pressures(text: str) -> tuple[float, float] | None:
    systolic, slash, diastolic = text.partition("/")
    if not slash or not (systolic.strip().isdecimal() and diastolic.strip().isdecimal()):
        return None
    return float(systolic), float(diastolic)


def _to_columns(
    good: list[Any],
    rows: np.ndarray,
    reasons: dict[int, list[str]],
    refused: list[tuple[int, Refusal]],
) -> Decoded:
    count = len(good)
    cells = list(chain.from_iterable(map(_row_of, good)))
    columns = {name: cells[place :: len(_FIELDS)] for place, (name, _) in enumerate(_FIELDS)}
    times = _times(columns["timestamp"])
    _split_pressures(columns, reasons)
    absent = _absent(columns["presence"], count)

    vitals: dict[str, pa.Array] = {}
    measured = np.zeros(count, bool)
    none: list[Any] = [None] * count
    for name in _MEASURED:
        column = columns[name]
        if column == none:
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
    dropped: list[str | None] = [None] * count
    for entry, why in reasons.items():
        dropped[entry] = "; ".join(sorted(why))
    decoded = Decoded(
        rows=rows,
        device_id=columns["device_id"],
        measured_at=times.measured_at,
        offset_minutes=times.offset_minutes,
        record_id=_record_ids(columns["record_id"]),
        vitals=vitals,
        dropped=dropped,
        refused=refused,
    )
    nothing = dict.fromkeys(np.flatnonzero(~measured).tolist(), Refusal.NOTHING_MEASURED)
    return _without(decoded, nothing | times.unreadable)


def _split_pressures(columns: dict[str, Any], reasons: dict[int, list[str]]) -> None:
    texts = columns["blood_pressure"]
    if texts.count(None) == len(texts):
        return
    systolic, diastolic = columns["systolic"], columns["diastolic"]
    for i, text in enumerate(texts):
        if text is None:
            continue
        pair = _pressures(text)
        if pair is None:
            reasons.setdefault(i, []).append("blood_pressure:type")
        else:
            systolic[i], diastolic[i] = pair


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
    return pc.if_else(pa.array(keep), array, pa.scalar(None, array.type))


def _record_ids(given: Sequence[str | None]) -> list[str]:
    return ["" if r is None else r if r.isascii() else _in_ascii(r) for r in given]


def _without(decoded: Decoded, refused: dict[int, Refusal]) -> Decoded:
    """The same packets without these entries, which are refused."""
    if not refused:
        return decoded
    keep = np.delete(np.arange(len(decoded.rows)), list(refused))
    take = keep.tolist()
    return Decoded(
        rows=decoded.rows[keep],
        device_id=[decoded.device_id[i] for i in take],
        measured_at=decoded.measured_at[keep],
        offset_minutes=decoded.offset_minutes[keep],
        record_id=[decoded.record_id[i] for i in take],
        vitals={name: array.take(pa.array(keep)) for name, array in decoded.vitals.items()},
        dropped=[decoded.dropped[i] for i in take],
        refused=sorted([*decoded.refused, *((int(decoded.rows[i]), why) for i, why in refused.items())]),
    )


def _in_ascii(record_id: str) -> str:
    """A record id in other letters, as 64 bits of its BLAKE2b."""
    return hashlib.blake2b(record_id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
