"""However a packet is decoded, as one of many at once or in its own slow way, the answer is the same."""

import json
from datetime import UTC, datetime, timedelta, timezone

from hypothesis import given
from hypothesis import strategies as st

from ingestion.reading import Decoded, decode
from ingestion.vitals import CODES, FLAGS, NUMBERS, VITALS

values = st.none() | st.booleans() | st.integers(-5, 400) | st.floats() | st.text(max_size=5) | st.lists(st.integers())
vitals = {
    **{name: st.floats(VITALS[name].low, VITALS[name].high) | values for name in NUMBERS},
    **{name: st.booleans() | values for name in FLAGS},
    **{name: st.sampled_from(VITALS[name].codes) | values for name in CODES},
    "blood_pressure": st.sampled_from(["120/80", "900/80", "120-80", ""]) | values,
    "record_id": st.text(max_size=3) | values,
    "not_ours": values,
}
times = st.sampled_from(["2026-11-24T10:00:00Z", "2026-11-24T11:00:00.5+01:00", "", "yesterday"]) | values
packets = st.fixed_dictionaries({"timestamp": times}, optional=vitals).map(lambda fields: {"device_id": "a", **fields})
BY_THE_SLOW_WAY = {"device_id": "a", "timestamp": "2026-02-30T10:00:00Z", "heart_rate": 72}


def answer(decoded: Decoded, entry: int) -> tuple[object, ...]:
    return (
        decoded.device_id[entry],
        decoded.measured_at[entry],
        decoded.offset_minutes[entry],
        decoded.dropped[entry],
        {name: array[entry].as_py() for name, array in decoded.vitals.items()},
    )


def only(packet: dict[str, object], *others: dict[str, object]) -> tuple[object, ...] | str:
    """What became of the first of these packets: its columns, or why it was refused."""
    decoded = decode([json.dumps(p).encode() for p in (packet, *others)])
    for position, reason in decoded.refused:
        if position == 0:
            return str(reason)
    return answer(decoded, 0)


@given(packets.filter(lambda p: "glucose" not in p))
def test_a_packet_with_one_wrong_type_is_read_as_without_it(packet):
    """The wrong type sends it through the lenient decoder."""
    strict, lenient = only(packet), only({**packet, "glucose": "high"})
    if isinstance(strict, str):
        assert lenient == strict
        return
    *others, why, found = strict
    assert lenient == (*others, "; ".join(sorted([*(why.split("; ") if why else []), "glucose:type"])), found)


@given(packets)
def test_a_neighbour_whose_time_cannot_be_read_changes_nothing(packet):
    """The thirtieth of February sends every time of the batch through the slow reader."""
    assert only(packet, BY_THE_SLOW_WAY) == only(packet)


digits = st.integers(0, 99).map("{:02}".format)
nearly_times = st.builds(
    "{}-{}-{}{}{}:{}:{}{}{}".format,
    st.integers(1, 9999).map("{:04}".format),
    digits,
    digits,
    st.sampled_from("Tt "),
    digits,
    digits,
    digits,
    st.sampled_from(["", ".", ".1", ".123456", ".1234567"]),
    st.sampled_from(["Z", "z", "", "+00:00", "-05:30", "+2400"]),
)


@given(nearly_times)
def test_whatever_looks_like_a_time_is_read_the_same_way_by_both_readers(text):
    packet = {"device_id": "a", "timestamp": text, "heart_rate": 72}
    assert only(packet, BY_THE_SLOW_WAY) == only(packet)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2099, 1, 1)), st.integers(-14 * 60, 14 * 60), st.booleans())
def test_every_instant_is_read_to_the_microsecond(at, offset, in_utc):
    at = at.replace(tzinfo=UTC if in_utc else timezone(timedelta(minutes=offset)))
    text = at.isoformat().replace("+00:00", "Z")
    decoded = decode([json.dumps({"device_id": "a", "timestamp": text, "heart_rate": 72}).encode()])
    assert datetime.fromtimestamp(0, UTC) + timedelta(microseconds=int(decoded.measured_at[0])) == at
    assert decoded.offset_minutes[0] == (0 if in_utc else offset)
