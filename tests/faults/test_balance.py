"""The checker itself: it must see each way in which a packet can go wrong."""

import base64
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.balance import Outcome, balance, files_named
from tests.faults.poisoning import disguises
from tests.faults.traffic import LAKE, Sent

SENT = {
    (0, 0): Sent(LAKE, "p0", "hash-0"),
    (0, 1): Sent("unknown_device", "p1", "hash-1"),
    (1, 0): Sent(LAKE, "p2", "hash-2"),
}
ROWS = [Outcome("t", (0, 0), LAKE, record_id="p0"), Outcome("t", (1, 0), LAKE, record_id="p2")]
REFUSED = [Outcome("t", (0, 1), "unknown_device", sha256="hash-1")]


def figures(rows, refused) -> dict[str, int]:
    """The figures that are not 0."""
    found = balance(SENT, "t", rows, refused)
    assert found.is_even is not any(found.figures()[k] for k in ("lost", "doubled", "foreign", "wrong"))
    return {name: count for name, count in found.figures().items() if count}


EVEN = {"sent": 3, "in_lake": 2, "refused": 1}


def test_each_packet_once_is_even():
    assert figures(ROWS, REFUSED) == EVEN


@pytest.mark.parametrize(
    ("rows", "refused", "wrong"),
    [
        (ROWS[1:], REFUSED, {"lost": 1, "in_lake": 1}),
        (ROWS, [], {"lost": 1, "refused": 0}),
        ([*ROWS, ROWS[0]], REFUSED, {"doubled": 1, "in_lake": 3}),
        (ROWS, REFUSED * 2, {"doubled": 1, "refused": 2}),
        ([*ROWS, Outcome("t", (0, 1), LAKE, record_id="p1")], REFUSED, {"doubled": 1, "wrong": 1, "in_lake": 3}),
        ([*ROWS, Outcome("t", (0, 2), LAKE, record_id="p3")], REFUSED, {"foreign": 1, "in_lake": 3}),
        ([*ROWS, Outcome("older", (0, 0), LAKE, record_id="p0")], REFUSED, {"foreign": 1, "in_lake": 3}),
        ([ROWS[0], Outcome("t", (1, 0), LAKE, record_id="p0")], REFUSED, {"wrong": 1}),
        (ROWS, [Outcome("t", (0, 1), "unknown_device", sha256="hash-2")], {"wrong": 1}),
        (ROWS, [Outcome("t", (0, 1), "no_consent", sha256="hash-1")], {"wrong": 1}),
    ],
)
def test_whatever_went_wrong_is_seen(rows, refused, wrong):
    assert figures(rows, refused) == {name: count for name, count in (EVEN | wrong).items() if count}


def test_only_files_that_a_commit_names_and_none_has_removed_count(tmp_path):
    log = tmp_path / "_delta_log"
    log.mkdir()
    add = [{"add": {"path": f"day=1/{name}.parquet"}} for name in ("a", "b", "c%20d")]
    log.joinpath("00.json").write_text("\n".join(map(json.dumps, [{"commitInfo": {}}, *add[:2]])))
    log.joinpath("01.json").write_text("\n".join(map(json.dumps, [{"remove": {"path": "day=1/a.parquet"}}, add[2]])))
    assert files_named(tmp_path) == {"day=1/b.parquet", "day=1/c d.parquet"}


@given(st.binary(max_size=8), st.binary(max_size=8))
def test_a_text_is_found_inside_base64(before, after):
    encoded = base64.b64encode(before + b"a canary" + after)
    assert any(look in encoded for look in disguises(b"a canary"))
