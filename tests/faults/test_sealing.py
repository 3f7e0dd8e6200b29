"""The short form of `python -m tests.faults.sealing`: one kill of each that hits, on a folder and on a failing S3."""

import os

import pytest

from tests.analytics.readings import reading
from tests.faults import seal_rounds
from tests.faults.seal_worker import rows_of
from tests.ingestion.lakes import add

pytestmark = pytest.mark.timeout(300)


@pytest.mark.parametrize("store", ["folder", pytest.param("s3", marks=pytest.mark.s3)])
def test_each_row_is_in_the_lake_once(tmp_path, store):
    endpoint = os.environ["TEST_S3_ENDPOINT"] if store == "s3" else None
    report = seal_rounds.run(tmp_path, kills=1, freeze_s=1, s3=endpoint)
    assert report.is_well(1), report
    assert report.refused_when_full
    assert store == "folder" or report.failures_of_the_store


def test_the_recount_sees_what_is_lost_doubled_or_wrong(tmp_path):
    lake = str(tmp_path)
    add(lake, rows_of(0, 20).to_pylist())
    assert not any(v for k, v in seal_rounds.count(lake, 20).items() if k not in ("rows", "in_lake", "summaries_wrong"))
    add(lake, [rows_of(3, 4).to_pylist()[0], reading(0, heart_rate=1) | {"source_offset": 21}])
    figures = seal_rounds.count(lake, 23)
    assert (figures["lost"], figures["doubled"], figures["wrong"]) == (2, 1, 1)
    assert figures["summaries_wrong"]  # nothing is sealed, so nothing is summarised
