"""docs/reading-contract.md says what the code does."""

import json
import re

import numpy as np
import pytest

from ingestion.door import AHEAD_AT_MOST, EARLIEST, PAYLOAD_KEPT, Arrivals, directory, sort_out
from ingestion.lake import READING_SCHEMA
from ingestion.reading import LARGEST_PACKET, Refusal, decode
from ingestion.vitals import VITALS
from tests.docs.pages import ROOT, first_codes, rows
from tests.docs.tables import CONTRACT, with_tables

TEXT = CONTRACT.read_text()


def test_the_table_of_vitals_is_that_of_the_code():
    assert with_tables(TEXT) == TEXT, "run: .venv/bin/python -m tests.docs.tables"
    assert first_codes(CONTRACT, "The vitals") == list(VITALS)


def test_every_reason_for_a_refusal_is_explained():
    assert first_codes(CONTRACT, "Refused packets") == [str(reason) for reason in Refusal]
    assert all(meaning for _, meaning in rows(CONTRACT, "Refused packets"))


def test_the_example_is_a_reading_with_all_its_values():
    packet = re.search(r"```json\n(.*?)\n```", TEXT, re.DOTALL)[1]
    decoded = decode([packet.encode()])
    assert decoded.refused == []
    assert decoded.dropped == [None]
    measured = {name for name, array in decoded.vitals.items() if array.null_count == 0}
    assert measured == {"heart_rate", "systolic", "diastolic", "temperature"}


@pytest.mark.parametrize(
    ("said", "is_so"),
    [
        ("at most 64 KiB", LARGEST_PACKET == 64 * 1024),
        ("the first 64 KiB", PAYLOAD_KEPT == 64 * 1024),
        ("At most 5 minutes ahead", AHEAD_AT_MOST == 5 * 60 * 1e6),
        ("not before the year 2000", EARLIEST == 946_684_800 * 1e6),
        ("version 1.", READING_SCHEMA.metadata == {b"wellrange.reading": b"1"}),
    ],
)
def test_numbers_are_those_of_the_code(said, is_so):
    assert said in TEXT
    assert is_so


def test_a_refused_packet_has_the_fields_that_are_named():
    one = np.zeros(1, np.int64)
    arrivals = Arrivals("topic", [b"{"], [b"watch-1"], [None], one, one, one)
    (entry,) = sort_out(arrivals, directory([], [], [])).refused
    section = TEXT.split("## Refused packets")[1]
    assert all(f"`{field}`" in section for field in json.loads(entry))


def test_the_columns_of_an_admitted_reading_are_named():
    section = TEXT.split("## What an admitted reading is")[1]
    assert all(f"`{field}`" in section for field in READING_SCHEMA.names if field not in VITALS)


def test_the_index_names_the_contract():
    assert "reading-contract.md" in (ROOT / "docs" / "README.md").read_text()
