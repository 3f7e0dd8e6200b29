"""The reading contract, through `decode`, the one public door of `ingestion.reading`."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingestion.reading import LARGEST_PACKET, Refusal, decode, device_named
from ingestion.vitals import CODES, FLAGS, NUMBERS, VITALS


def packet(**fields: object) -> bytes:
    return json.dumps({"device_id": "watch-1", "timestamp": "2026-11-24T10:00:00Z", **fields}).encode()


def column(name: str, *values: bytes) -> list[object]:
    return decode(values).vitals[name].to_pylist()


def test_the_least_packet_is_a_reading():
    decoded = decode([packet(heart_rate=72, blood_pressure="120/80", temperature=36.8)])
    assert decoded.refused == []
    assert decoded.device_id[0] == "watch-1"
    assert decoded.measured_at[0] == int(datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp() * 1e6)
    values = {name: array[0].as_py() for name, array in decoded.vitals.items() if array[0].is_valid}
    assert values == {"heart_rate": 72, "systolic": 120, "diastolic": 80, "temperature": 36.8}


def test_the_offset_of_the_source_is_kept():
    decoded = decode([packet(timestamp="2026-11-24T12:45:00+05:45", heart_rate=72)])
    assert decoded.offset_minutes.tolist() == [345]
    assert decoded.measured_at[0] == int(datetime(2026, 11, 24, 7, tzinfo=UTC).timestamp() * 1e6)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, Refusal.EMPTY),
        (b"", Refusal.EMPTY),
        (b"  \n", Refusal.EMPTY),
        (b"{", Refusal.NOT_JSON),
        (b"\xff\xfe{\x00}\x00", Refusal.NOT_JSON),
        (b'{"a":' * 5000 + b"1" + b"}" * 5000, Refusal.NOT_JSON),
        (b'{"device_id":"a","timestamp":"2026-11-24T10:00:00Z","heart_rate":NaN}', Refusal.NOT_JSON),
        (b"[1]", Refusal.NOT_AN_OBJECT),
        (b" " * (LARGEST_PACKET + 1), Refusal.TOO_LARGE),
        (packet(device_id=None, heart_rate=72), Refusal.NO_DEVICE),
        (packet(device_id="", heart_rate=72), Refusal.NO_DEVICE),
        (packet(device_id=7, heart_rate=72), Refusal.NO_DEVICE),
        (packet(timestamp=None, heart_rate=72), Refusal.NO_TIME),
        (packet(timestamp="yesterday", heart_rate=72), Refusal.BAD_TIME),
        (packet(timestamp=1764000000, heart_rate=72), Refusal.BAD_TIME),
        (packet(timestamp="2026-11-24T10:00:00", heart_rate=72), Refusal.NO_OFFSET),
        (packet(), Refusal.NOTHING_MEASURED),
        (packet(heart_rate=-5), Refusal.NOTHING_MEASURED),
        (packet(heart_rate=10**400), Refusal.NOTHING_MEASURED),
    ],
)
def test_a_packet_that_is_not_a_reading_is_refused_with_its_reason(value, reason):
    good = packet(heart_rate=72)
    decoded = decode([good, value, good])
    assert decoded.refused == [(1, reason)]
    assert decoded.rows.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"spo2": "97"}, "spo2:type"),
        ({"spo2": True}, "spo2:type"),
        ({"spo2": 400}, "spo2:implausible"),
        ({"consciousness": "X"}, "consciousness:implausible"),
        ({"blood_pressure": "120-80"}, "blood_pressure:type"),
        ({"blood_pressure": "900/80"}, "systolic:implausible"),
    ],
)
def test_one_bad_value_is_dropped_and_the_others_go_on(fields, why):
    decoded = decode([packet(heart_rate=72, **fields)])
    assert decoded.vitals["heart_rate"].to_pylist() == [72]
    assert decoded.dropped == [why]
    assert decoded.vitals["spo2"].to_pylist() == [None]


def test_an_empty_bed_is_admitted_without_vitals():
    decoded = decode([packet(presence=False, heart_rate=31, battery=80)])
    assert decoded.refused == []
    assert decoded.vitals["presence"].to_pylist() == [False]
    assert decoded.vitals["heart_rate"].to_pylist() == [None]
    assert decoded.vitals["battery"].to_pylist() == [80]


def test_the_record_id_is_the_sources_own_or_empty():
    named = [packet(heart_rate=72, record_id=name) for name in ("r-1", "čtení", "čtení", "ořez")]
    decoded = decode([*named, packet(heart_rate=72)])
    assert decoded.record_id[0] == "r-1"
    assert decoded.record_id[1] == decoded.record_id[2] != decoded.record_id[3]
    assert all(name.isascii() for name in decoded.record_id)
    assert decoded.record_id[4] == ""


@pytest.mark.parametrize("more", ["", ', "battery": "full"'], ids=["strict", "lenient"])
def test_repeated_keys_mean_the_last_one(more):
    decoded = decode(
        [
            f'{{"device_id": "b", "timestamp": "2026-11-24T09:00:00Z", "heart_rate": 1, "spo2": 97{more},'
            '"device_id": "a", "timestamp": "2026-11-24T10:00:00Z", "heart_rate": 60, "spo2": null}'.encode()
        ]
    )
    assert list(decoded.device_id) == ["a"]
    assert decoded.measured_at[0] == int(datetime(2026, 11, 24, 10, tzinfo=UTC).timestamp() * 1e6)
    assert decoded.vitals["heart_rate"].to_pylist() == [60]
    assert decoded.vitals["spo2"].to_pylist() == [None]


def test_packets_may_have_line_breaks_and_blank_ones_shift_nothing():
    written_out = json.dumps(json.loads(packet(heart_rate=61)), indent=2).replace("\n", "\r\n").encode()
    decoded = decode([b"", packet(heart_rate=60), b"\n\n", b"\n" + written_out + b"\n", None, packet(heart_rate=62)])
    assert decoded.rows.tolist() == [1, 3, 5]
    assert decoded.vitals["heart_rate"].to_pylist() == [60, 61, 62]
    assert decoded.refused == [(0, Refusal.EMPTY), (2, Refusal.EMPTY), (4, Refusal.EMPTY)]


def test_a_device_is_found_in_a_packet_that_is_wrong_otherwise():
    assert device_named(b'{"timestamp": 7, "device_id": "b", "x": [[[]]], "device_id": "a"}') == "a"
    for value in (b"", b"{", b"[]", b'{"device_id": 7}', b'{"device_id": "a"', b"[" * 100_000, b"\xff\xfe"):
        assert device_named(value) is None


json_values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers())
packets = st.dictionaries(
    st.sampled_from(["device_id", "timestamp", "record_id", "blood_pressure", "x", *NUMBERS, *FLAGS, *CODES]),
    json_values,
).map(lambda fields: json.dumps({"device_id": "a", "timestamp": "2026-11-24T10:00:00Z", **fields}).encode())


@given(st.lists(packets | st.binary(max_size=40) | st.none(), max_size=12))
def test_every_packet_is_either_decoded_or_refused_and_alone_or_together_makes_no_difference(values):
    together = decode(values)
    assert sorted([*together.rows.tolist(), *(r for r, _ in together.refused)]) == list(range(len(values)))
    for entry, row in enumerate(together.rows.tolist()):
        alone = decode([values[row]])
        assert alone.rows.tolist() == [0]
        for name, array in together.vitals.items():
            assert array[entry] == alone.vitals[name][0]
        assert alone.dropped == [together.dropped[entry]]
        assert alone.measured_at[0] == together.measured_at[entry]


well_formed = st.fixed_dictionaries(
    {
        "device_id": st.text(min_size=1, max_size=8),
        "timestamp": st.datetimes(
            datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC) | st.just(timezone(timedelta(hours=5.75)))
        ).map(datetime.isoformat),
        "record_id": st.text(min_size=1, max_size=8),
    },
    optional={
        "blood_pressure": st.sampled_from(["120/80", "1/2", "120-80", " 120 / 80 "]),
        "presence": st.booleans(),
        "consciousness": st.sampled_from("AVX"),
        **{name: st.floats(-1, 400) | st.integers(-1, 400) for name in NUMBERS if name != "battery"},
    },
)


@given(well_formed, st.sampled_from([None, 2]))
def test_the_strict_and_the_lenient_decoder_agree(fields, indent):
    """One value of a wrong type sends a packet to the lenient decoder: the rest of it must come out the same."""
    strict = decode([json.dumps(fields, indent=indent).encode()])
    lenient = decode([json.dumps({**fields, "battery": "full"}, indent=indent).encode()])
    assert lenient.refused == strict.refused
    assert list(lenient.device_id) == list(strict.device_id)
    assert lenient.measured_at.tolist() == strict.measured_at.tolist()
    assert lenient.offset_minutes.tolist() == strict.offset_minutes.tolist()
    assert lenient.vitals == strict.vitals
    for entry, why in enumerate(strict.dropped):
        assert lenient.dropped[entry] == "; ".join(sorted(["battery:type", *(why.split("; ") if why else [])]))
        if fields["record_id"].isascii():
            assert lenient.record_id[entry] == strict.record_id[entry] == fields["record_id"]


@given(st.sampled_from(NUMBERS), st.floats(allow_nan=False))
def test_no_implausible_number_gets_through(name, number):
    decoded = decode([packet(presence=True, **{name: number})] if abs(number) < 1e308 else [])
    for value in decoded.vitals[name].to_pylist():
        assert value is None or VITALS[name].low <= value <= VITALS[name].high
