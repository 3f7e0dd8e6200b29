"""The door as a pure function: whose a packet is, whether it may pass, and what is kept of one that may not."""

import base64
import hashlib
import json
from datetime import UTC, datetime, timedelta

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ingestion.door import PAYLOAD_KEPT, Arrivals, Belonging, Person, by_partition, directory, partition_of, sort_out
from ingestion.lake import READING_SCHEMA
from ingestion.reading import Refusal

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
ALICE, BELLA, DORA = "a" * 32, "2" * 32, "d" * 32


def micros(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)


def ago(hours: float) -> datetime:
    return NOW - timedelta(hours=hours)


# Alice and Bella have consented; Dora has withdrawn. `lent` was Bella's until 10 hours ago, is Alice's since 5 hours
# ago; `passed-on` was Dora's and is Bella's now; `stored` has never been anybody's.
WARD = directory(
    ["watch-alice", "watch-bella", "watch-dora", "lent", "passed-on", "stored"],
    [
        Belonging("watch-alice", ALICE, micros(ago(1000))),
        Belonging("watch-bella", BELLA, micros(ago(1000))),
        Belonging("watch-dora", DORA, micros(ago(1000))),
        Belonging("lent", BELLA, micros(ago(20)), micros(ago(10))),
        Belonging("lent", ALICE, micros(ago(5))),
        Belonging("passed-on", DORA, micros(ago(20)), micros(ago(10))),
        Belonging("passed-on", BELLA, micros(ago(10))),
    ],
    [
        Person(ALICE, "riverside", True, 7, account="alice"),
        Person(BELLA, "riverside", True, 8),
        Person(DORA, "hillside", False, 9, account="dora"),
    ],
)


def packet(device: str = "watch-alice", at: datetime = NOW, **more: object) -> bytes:
    return json.dumps({"device_id": device, "timestamp": at.isoformat(), "heart_rate": 72, **more}).encode()


def arrive(*values, keys=None, accounts=None, received_at=NOW):
    """Let packets arrive, each keyed by its device unless the keys are given: (admitted rows, refused objects)."""
    if keys is None:
        keys = [json.loads(v)["device_id"].encode() for v in values]
    count = len(values)
    arrivals = Arrivals(
        topic_id="topic-1",
        values=values,
        keys=keys,
        accounts=accounts or [None] * count,
        partitions=np.full(count, 3, np.int64),
        offsets=np.arange(100, 100 + count),
        received_at=np.full(count, micros(received_at), np.int64),
    )
    outcome = sort_out(arrivals, WARD)
    assert outcome.admitted.schema.equals(READING_SCHEMA)
    return outcome.admitted.to_pylist(), [json.loads(r) for r in outcome.refused]


def owner_of(value: bytes, **more) -> str:
    """Whose it is, or why it is nobody's."""
    admitted, refused = arrive(value, **more)
    return admitted[0]["subject"] if admitted else refused[0]["reason"]


def test_an_admitted_reading_says_whose_it_is_who_allowed_it_and_where_it_came_from():
    (row,), refused = arrive(packet(record_id="r-1", spo2=400))
    assert refused == []
    assert {name: value for name, value in row.items() if value is not None} == {
        "organisation": "riverside",
        "subject": ALICE,
        "measured_at": NOW,
        "offset_minutes": 0,
        "received_at": NOW,
        "device_id": "watch-alice",
        "record_id": "r-1",
        "heart_rate": 72,
        "dropped": "spo2:implausible",
        "consent_sequence": 7,
        "source_topic": "topic-1",
        "source_partition": 3,
        "source_offset": 100,
    }


def test_a_device_that_nobody_knows_or_nobody_has_is_refused():
    assert owner_of(packet("watch-nobody")) == Refusal.UNKNOWN_DEVICE
    assert owner_of(packet("stored")) == Refusal.UNASSIGNED


def test_a_device_is_a_persons_from_its_start_to_before_its_end():
    second = timedelta(seconds=1)
    for at, whose in (
        (ago(20) - second, Refusal.UNASSIGNED),
        (ago(20), BELLA),
        (ago(10) - second, BELLA),
        (ago(10), Refusal.UNASSIGNED),
        (ago(5) - second, Refusal.UNASSIGNED),
        (ago(5), ALICE),
        (NOW, ALICE),
    ):
        assert owner_of(packet("lent", at)) == whose, at


def test_what_an_account_synced_is_the_accounts_whatever_the_device():
    long_ago = ago(24 * 365 * 10)
    for device in ("watch-nobody", "stored", "watch-bella", "lent"):
        assert owner_of(packet(device, long_ago), accounts=["alice"]) == ALICE
    assert owner_of(packet("watch-alice"), accounts=["nobody"]) == Refusal.UNKNOWN_ACCOUNT
    assert owner_of(packet("watch-alice"), accounts=["dora"]) == Refusal.NO_CONSENT


def test_nothing_of_a_withdrawn_person_is_kept():
    for value, keys, accounts in (
        (packet("watch-dora"), None, None),
        (packet("passed-on", ago(15)), None, None),
        (packet("watch-dora", NOW + timedelta(days=1)), None, None),  # refused for its time or for consent
        (packet("watch-dora", ago(2000)), None, None),  # refused because it was not hers yet
        (b'{"device_id": "watch-dora", "heart_rate":', [b"watch-dora"], None),  # unreadable: the key tells
        (packet("watch-dora", heart_rate="72"), [b"gateway-1"], None),  # the packet tells
        (packet("watch-dora")[:-1] + b',"timestamp":"yesterday"}', [None], None),
        (b'{"heart_rate": 72', [None], None),  # nothing tells whose it is
        (b'{"heart_rate": 72', [b""], None),
        (b'{"heart_rate": 72', [b"gateway-1"], ["dora"]),
        (packet("watch-nobody"), None, ["dora"]),
        (b"{", [b"passed-on"], None),  # it may be Dora's or Bella's
    ):
        admitted, (refused,) = arrive(value, keys=keys, accounts=accounts)
        assert admitted == []
        assert refused.keys() == {"reason", "topic_id", "partition", "offset", "received_at", "length", "sha256"}
        assert refused["sha256"] == hashlib.sha256(value).hexdigest()


def test_a_refused_packet_is_kept_for_whoever_mends_the_cause():
    value = packet("watch-nobody")
    _, (refused,) = arrive(value)
    assert base64.b64decode(refused["payload"]) == value
    assert (refused["topic_id"], refused["partition"], refused["offset"]) == ("topic-1", 3, 100)
    assert datetime.fromisoformat(refused["received_at"]) == NOW
    assert refused["length"] == len(value)


def test_of_a_huge_packet_only_the_beginning_is_kept():
    value = b"x" * 1_000_000
    _, (refused,) = arrive(value, keys=[b"watch-alice"])
    assert refused["reason"] == Refusal.TOO_LARGE
    assert refused["length"] == 1_000_000
    assert base64.b64decode(refused["payload"]) == value[:PAYLOAD_KEPT]


def test_a_key_that_is_not_text_is_no_reason_to_stop():
    for key in (b"\xff\xfe\x00", b"", None):
        (row,), _ = arrive(packet(), keys=[key])
        assert row["subject"] == ALICE
        _, (refused,) = arrive(b"{", keys=[key])
        assert refused["reason"] == Refusal.NOT_JSON


def test_a_clock_may_run_five_minutes_ahead_and_no_more():
    assert owner_of(packet(at=NOW + timedelta(minutes=5))) == ALICE
    assert owner_of(packet(at=NOW + timedelta(minutes=5, microseconds=1))) == Refusal.FUTURE


def test_a_clock_that_was_never_set_is_refused():
    assert owner_of(packet(at=datetime(1970, 1, 1, tzinfo=UTC)), accounts=["alice"]) == Refusal.TOO_OLD
    assert owner_of(packet(at=datetime(2000, 1, 1, tzinfo=UTC)), accounts=["alice"]) == ALICE
    for stamp, reason in (
        ("0001-01-01T00:00:00+23:59", Refusal.TOO_OLD),
        ("9999-12-31T23:59:59-23:59", Refusal.FUTURE),
    ):
        assert owner_of(packet(timestamp=stamp), accounts=["alice"]) == reason


def test_without_a_directory_nobody_is_known():
    arrivals = Arrivals("t", [packet()], [None], [None], np.zeros(1), np.zeros(1), np.array([micros(NOW)]))
    outcome = sort_out(arrivals, directory([], [], []))
    assert outcome.admitted.num_rows == 0
    assert json.loads(outcome.refused[0])["reason"] == Refusal.UNKNOWN_DEVICE


OWNERS = {
    "watch-alice": [(ago(1000), None, ALICE)],
    "watch-bella": [(ago(1000), None, BELLA)],
    "watch-dora": [(ago(1000), None, DORA)],
    "lent": [(ago(20), ago(10), BELLA), (ago(5), None, ALICE)],
    "passed-on": [(ago(20), ago(10), DORA), (ago(10), None, BELLA)],
    "stored": [],
}


def expected(device: str, at: datetime, account: str | None) -> str:
    """The rules again, one packet at a time: a subject, or a reason."""
    if account is not None:
        owner = {"alice": ALICE, "dora": DORA}.get(account, Refusal.UNKNOWN_ACCOUNT)
    elif device not in OWNERS:
        owner = Refusal.UNKNOWN_DEVICE
    else:
        found = [who for start, end, who in OWNERS[device] if start <= at and (end is None or at < end)]
        owner = found[0] if found else Refusal.UNASSIGNED
    if owner == DORA:
        return Refusal.NO_CONSENT
    if at > NOW + timedelta(minutes=5):
        return Refusal.FUTURE
    if at < datetime(2000, 1, 1, tzinfo=UTC):
        return Refusal.TOO_OLD
    return owner


readable = st.tuples(
    st.sampled_from([*OWNERS, "watch-nobody"]),
    st.integers(-40, 2).map(lambda hours: NOW + timedelta(hours=hours)) | st.just(datetime(1970, 1, 1, tzinfo=UTC)),
    st.sampled_from([None, None, None, "alice", "dora", "nobody"]),
)


@given(st.lists(readable | st.binary(max_size=30) | st.none(), max_size=30))
def test_each_packet_has_one_outcome_and_it_is_that_of_the_rules(sent):
    values, keys, accounts = [], [], []
    for each in sent:
        device, at, account = each if isinstance(each, tuple) else ("watch-alice", NOW, None)
        values.append(packet(device, at) if isinstance(each, tuple) else each)
        keys.append(device.encode())
        accounts.append(account)
    admitted, refused = arrive(*values, keys=keys, accounts=accounts)

    outcomes = {row["source_offset"] - 100: row["subject"] for row in admitted}
    assert list(outcomes) == sorted(outcomes)  # admitted in order of arrival
    outcomes |= {entry["offset"] - 100: entry["reason"] for entry in refused}
    assert len(admitted) + len(refused) == len(outcomes) == len(sent)
    for place, each in enumerate(sent):
        if isinstance(each, tuple):
            assert outcomes[place] == expected(*each)
        else:
            assert outcomes[place] in (Refusal.EMPTY, Refusal.NOT_JSON, Refusal.NOT_AN_OBJECT)


@given(st.lists(st.sampled_from(["watch-alice", "watch-bella"]), max_size=40), st.integers(1, 12))
def test_every_admitted_reading_goes_to_the_partition_of_its_person_in_order(devices, partitions):
    arrivals = Arrivals(
        topic_id="t",
        values=[packet(device) for device in devices],
        keys=[None] * len(devices),
        accounts=[None] * len(devices),
        partitions=np.zeros(len(devices), np.int64),
        offsets=np.arange(len(devices)),
        received_at=np.full(len(devices), micros(NOW)),
    )
    seen = []
    for partition, readings in by_partition(sort_out(arrivals, WARD).admitted, partitions):
        assert {partition_of(s, partitions) for s in readings.column("subject").to_pylist()} == {partition}
        offsets = readings.column("source_offset").to_pylist()
        assert offsets == sorted(offsets)
        seen += offsets
    assert sorted(seen) == list(range(len(devices)))


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), st.integers(1, 64))
def test_partitions_are_ranges_of_subjects(one, other, partitions):
    low, high = sorted((one, other))
    places = [partition_of(f"{number:08x}" + "0" * 24, partitions) for number in (0, low, high, 2**32 - 1)]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, partitions - 1)
