"""The door, as a pure function: packets and a directory in, admitted readings and refused packets out.

Each packet is decided once, for everybody behind the door: is it a reading, whose is it, and does that person's consent
cover it now? What passes goes on as columns; what does not, with its reason.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import repeat

import msgspec
import numpy as np
import pyarrow as pa

from ingestion.lake import INSTANT, READING_SCHEMA
from ingestion.origin import Origin
from ingestion.reading import Decoded, Refusal, decode, device_named

AHEAD_AT_MOST = 5 * 60 * 1_000_000  # microseconds a device's clock may run ahead of the broker's
EARLIEST = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp() * 1e6)  # before it, a clock that was never set
FOREVER = np.iinfo(np.int64).max
PAYLOAD_KEPT = 64 * 1024  # bytes of a refused packet that are kept for whoever mends the cause
_ADMITTED = -1  # the verdict on a packet is this, or the place of a reason in _VERDICTS
_VERDICTS = tuple(Refusal)


@dataclass(frozen=True, slots=True)
class Person:
    """What the door knows of a person. `consent_sequence` is the ledger entry that decides `consented`."""

    subject: str
    organisation: str
    consented: bool
    consent_sequence: int
    account: str | None = None


@dataclass(frozen=True, slots=True)
class Belonging:
    """A device is a person's during [start, end), in microseconds since 1970."""

    device_id: str
    subject: str
    start: int
    end: int = FOREVER


@dataclass(slots=True)
class Directory:
    """Who is who, at one moment: an immutable snapshot, built by `directory` and shared by a whole micro-batch."""

    persons: list[Person]
    accounts: dict[str, int]  # account -> person
    devices: dict[str, int]  # device id -> its place in `first` and `count`
    first: np.ndarray  # its first belonging
    count: np.ndarray  # how many it has
    owner: np.ndarray  # of each belonging, sorted by device: the person
    start: np.ndarray
    end: np.ndarray
    consented: np.ndarray = field(init=False)
    consent_sequence: np.ndarray = field(init=False)
    subjects: pa.Array = field(init=False)
    organisations: pa.Array = field(init=False)

    def __post_init__(self) -> None:
        self.consented = np.array([p.consented for p in self.persons], bool)
        self.consent_sequence = np.array([p.consent_sequence for p in self.persons], np.int64)
        self.subjects = pa.array([p.subject for p in self.persons], pa.string())
        self.organisations = pa.array([p.organisation for p in self.persons], pa.string())

    def withholds(self, device_id: str) -> bool:
        """Whether somebody this device has ever belonged to has not consented: then no payload of it is kept."""
        place = self.devices.get(device_id)
        if place is None:
            return False
        owners = self.owner[self.first[place] : self.first[place] + self.count[place]]
        return not bool(self.consented[owners].all())


def directory(devices: Iterable[str], belongings: Iterable[Belonging], persons: Iterable[Person]) -> Directory:
    """Build a snapshot. Belongings of unknown devices or persons are an error (KeyError)."""
    people = list(persons)
    place_of = {p.subject: i for i, p in enumerate(people)}
    ids = list(devices)
    by_device: dict[str, list[Belonging]] = {d: [] for d in ids}
    for belonging in belongings:
        by_device[belonging.device_id].append(belonging)
    count = np.array([len(by_device[d]) for d in ids], np.int64)
    ordered = [b for d in ids for b in by_device[d]]
    return Directory(
        persons=people,
        accounts={p.account: i for i, p in enumerate(people) if p.account},
        devices={d: i for i, d in enumerate(ids)},
        first=np.cumsum(count) - count,
        count=count,
        owner=np.array([place_of[b.subject] for b in ordered], np.int64),
        start=np.array([b.start for b in ordered], np.int64),
        end=np.array([b.end for b in ordered], np.int64),
    )


@dataclass(slots=True)
class Arrivals:
    """A micro-batch as it came from `vitals.readings`; all sequences have one entry per packet.

    `keys` are the Kafka keys (device ids), `accounts` the signed-in account that synced a packet or None, `received_at`
    the broker's append time in microseconds, `topic_id` the incarnation of the topic. `origins` says, by position,
    where a replayed packet came from the first time.
    """

    topic_id: str
    values: Sequence[bytes | None]
    keys: Sequence[bytes | None]
    accounts: Sequence[str | None]
    partitions: np.ndarray
    offsets: np.ndarray
    received_at: np.ndarray
    origins: Mapping[int, Origin] = field(default_factory=dict)


@dataclass(slots=True)
class Outcome:
    """`admitted` has the columns of READING_SCHEMA, in order of arrival; `refused` are JSON objects."""

    admitted: pa.RecordBatch
    refused: list[bytes]


def sort_out(arrivals: Arrivals, known: Directory) -> Outcome:
    """Decide every packet of a micro-batch. Exactly one of the two outcomes has each packet."""
    decoded = decode(arrivals.values)
    person, verdict = _owners(decoded, arrivals, known)
    refused = [_refused(arrivals, known, position, why, None) for position, why in decoded.refused]
    for entry in np.flatnonzero(verdict != _ADMITTED).tolist():
        position = int(decoded.rows[entry])
        refused.append(_refused(arrivals, known, position, _VERDICTS[verdict[entry]], int(person[entry])))
    admitted = _columns(decoded, arrivals, known, person)
    if (verdict != _ADMITTED).any():
        admitted = admitted.filter(pa.array(verdict == _ADMITTED))
    return Outcome(admitted, refused)


def _owners(decoded: Decoded, arrivals: Arrivals, known: Directory) -> tuple[np.ndarray, np.ndarray]:
    """For each decoded packet the person (or -1) and the verdict, a place in _VERDICTS."""
    count = len(decoded.rows)
    person = np.full(count, -1, np.int64)
    verdict = np.full(count, _ADMITTED, np.int8)
    measured = decoded.measured_at
    device = np.fromiter(map(known.devices.get, decoded.device_id, repeat(-1)), np.int64, count)

    belongs = np.where(device >= 0, known.count[device], 0) if len(known.count) else np.zeros(count, np.int64)
    for turn in range(int(belongs.max(initial=0))):
        rows = np.flatnonzero((belongs > turn) & (person < 0))
        place = known.first[device[rows]] + turn
        inside = (known.start[place] <= measured[rows]) & (measured[rows] < known.end[place])
        person[rows[inside]] = known.owner[place[inside]]
    verdict[person < 0] = _VERDICTS.index(Refusal.UNASSIGNED)
    verdict[device < 0] = _VERDICTS.index(Refusal.UNKNOWN_DEVICE)

    if arrivals.accounts.count(None) != len(
        arrivals.accounts
    ):  # history synced by a signed-in account is that account's
        for entry, row in enumerate(decoded.rows.tolist()):
            if (account := arrivals.accounts[row]) is not None:
                person[entry] = known.accounts.get(account, -1)
                found = person[entry] >= 0
                verdict[entry] = _ADMITTED if found else _VERDICTS.index(Refusal.UNKNOWN_ACCOUNT)
    consented = known.consented[person] if known.persons else np.zeros(count, bool)
    no_consent = _VERDICTS.index(Refusal.NO_CONSENT)
    verdict[(person >= 0) & ~consented] = no_consent
    ahead = measured > arrivals.received_at[decoded.rows] + AHEAD_AT_MOST
    verdict[(verdict != no_consent) & ahead] = _VERDICTS.index(Refusal.FUTURE)
    verdict[(verdict != no_consent) & (measured < EARLIEST)] = _VERDICTS.index(Refusal.TOO_OLD)
    return person, verdict


def _columns(decoded: Decoded, arrivals: Arrivals, known: Directory, person: np.ndarray) -> pa.RecordBatch:
    """Every decoded packet as a row of READING_SCHEMA; what a person gives is null where there is none."""
    owner = pa.array(person, mask=person < 0)
    rows = decoded.rows
    columns: dict[str, pa.Array] = {
        "organisation": known.organisations.take(owner),
        "subject": known.subjects.take(owner),
        "measured_at": pa.array(decoded.measured_at).cast(INSTANT),
        "offset_minutes": pa.array(decoded.offset_minutes),
        "received_at": pa.array(arrivals.received_at[rows]).cast(INSTANT),
        "device_id": pa.array(decoded.device_id, pa.string()),
        "record_id": pa.array(decoded.record_id, pa.string()),
        "dropped": pa.array(decoded.dropped, pa.string()),
        "consent_sequence": pa.array(known.consent_sequence).take(owner),
        "source_topic": pa.repeat(pa.scalar(arrivals.topic_id), len(rows)),
        "source_partition": pa.array(arrivals.partitions[rows], pa.int32()),
        "source_offset": pa.array(arrivals.offsets[rows], pa.int64()),
        **decoded.vitals,
    }
    return pa.RecordBatch.from_arrays([columns[f.name] for f in READING_SCHEMA], schema=READING_SCHEMA)


def _refused(arrivals: Arrivals, known: Directory, position: int, reason: str, person: int | None) -> bytes:
    """A refused packet: why, where it lies in `vitals.readings`, and unless consent forbids keeping it, what is needed
    to send it again: payload, key and account.
    """
    value = arrivals.values[position] or b""
    withheld = (
        reason == Refusal.NO_CONSENT
        or (person is not None and person >= 0 and not known.consented[person])
        or _may_be_withheld(value, arrivals.keys[position], arrivals.accounts[position], known)
    )
    entry: dict[str, object] = {
        "reason": str(reason),
        "topic_id": arrivals.topic_id,
        "partition": int(arrivals.partitions[position]),
        "offset": int(arrivals.offsets[position]),
        "received_at": datetime.fromtimestamp(int(arrivals.received_at[position]) / 1e6, UTC).isoformat(),
        "length": len(value),
        "sha256": hashlib.sha256(value).hexdigest(),
    }
    if (origin := arrivals.origins.get(position)) is not None:
        entry["origin"] = origin.to_json()
    if not withheld:
        entry["payload"] = value[:PAYLOAD_KEPT]  # bytes come out in base64
        entry["key"] = arrivals.keys[position]
        entry["account"] = arrivals.accounts[position]
    return msgspec.json.encode(entry)


def _may_be_withheld(value: bytes, key: bytes | None, account: str | None, known: Directory) -> bool:
    """Whether the packet may be of somebody who has not consented: by its account, its key and what it says itself.

    A packet that cannot be read is kept only if its key or account says whose it is.
    """
    place = known.accounts.get(account) if account is not None else None
    if place is not None and not known.consented[place]:
        return True
    sender, named = (key or b"").decode("utf-8", "replace"), device_named(value)
    if named is None and place is None and sender not in known.devices:
        return True
    return known.withholds(sender) or (named is not None and known.withholds(named))


def partition_of(subject: str, partitions: int) -> int:
    """The partition of `vitals.admitted` for a subject (32 hexadecimal digits): ranges of equal width, in order."""
    return int(subject[:8], 16) * partitions >> 32


def by_partition(admitted: pa.RecordBatch, partitions: int) -> list[tuple[int, pa.RecordBatch]]:
    """Split admitted readings by the range of their subject, order of arrival kept within a partition."""
    if admitted.num_rows == 0:
        return []
    coded = admitted.column("subject").dictionary_encode()
    of_subject = np.array([partition_of(s, partitions) for s in coded.dictionary.to_pylist()], np.int64)
    partition = of_subject[coded.indices.to_numpy()]
    order = np.argsort(partition, kind="stable")
    ordered = admitted.take(pa.array(order))
    ends = np.searchsorted(partition[order], np.arange(partitions), side="right")
    starts = np.r_[0, ends[:-1]]
    return [(p, ordered.slice(starts[p], ends[p] - starts[p])) for p in range(partitions) if ends[p] > starts[p]]
