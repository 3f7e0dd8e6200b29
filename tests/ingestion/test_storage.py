"""What the lake asks of an object store, seen from between the two."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import timedelta

import numpy as np
import pytest

from ingestion.lake import files, open_readings, position, storage_options
from ingestion.lake.seal import seal
from ingestion.lake.storage import BadSetting
from tests.analytics.readings import NOON, reading
from tests.ingestion.lakes import ORGANISATION, add, recount, summaries, values
from tests.ingestion.s3_proxy import Proxy, s3_proxy
from tests.stores import s3_lake

ROWS = [reading(60 * n, heart_rate=60 + n) for n in range(30)]
LATER = NOON + timedelta(days=2)


@pytest.fixture
def lake(monkeypatch: pytest.MonkeyPatch) -> str:
    return s3_lake(monkeypatch)


@pytest.fixture
def proxy(lake: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    with s3_proxy(os.environ["TEST_S3_ENDPOINT"]) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        yield proxy


def fill_and_seal(lake: str) -> None:
    add(lake, ROWS)
    seal(lake, ORGANISATION, NOON.date(), now=LATER)


def as_scheduled(work: Callable[[], object]) -> None:
    """Do it again after a failure, as the next task does: a commit whose answer was lost is never sent twice."""
    for _ in range(20):
        with suppress(OSError):
            work()
            return
    pytest.fail("it never succeeded")


@pytest.mark.s3
def test_every_commit_asks_that_nobody_else_has_made_it(lake, proxy):
    fill_and_seal(lake)
    commits = [s for s in proxy.seen if s.method == "PUT" and "_delta_log/" in s.path and s.path.endswith(".json")]
    assert len(commits) >= 5  # two tables made, rows, summaries, the sealed day
    assert all(s.headers.get("if-none-match") == "*" for s in commits)


@pytest.mark.s3
@pytest.mark.parametrize("fault", [500, 503, "reset"])
def test_a_store_that_fails_now_and_then_is_asked_again(lake, proxy, fault):
    """Every other thing fails at first; a reset is the worst: it has been done, and nobody was told."""
    proxy.fail_first(fault)
    as_scheduled(lambda: add(lake, ROWS, begin=0))
    as_scheduled(lambda: seal(lake, ORGANISATION, NOON.date(), now=LATER))
    as_scheduled(lambda: add(lake, [reading(3600, heart_rate=99)], begin=30))
    assert proxy.failed[str(fault)] > 3
    proxy.pass_on()
    assert values(lake) == [row["heart_rate"] for row in ROWS] + [99]
    assert position(open_readings(lake), "t", 0) == 31
    seal(lake, ORGANISATION, NOON.date(), now=LATER)
    assert summaries(lake) == recount([*ROWS, reading(3600, heart_rate=99)])


@pytest.mark.s3
def test_encryption_is_asked_for_with_every_object(lake, proxy, monkeypatch):
    monkeypatch.setenv("LAKE_ENCRYPTION", "aws:kms")
    monkeypatch.setenv("LAKE_KMS_KEY_ID", "arn:aws:kms:eu-central-1:111122223333:key/lake")
    fill_and_seal(lake)
    # S3 takes the wish with a whole object and with the beginning of an upload in parts, not with the parts.
    whole = [s for s in proxy.seen if s.method == "PUT" and "partNumber=" not in s.path]
    in_parts = [s for s in proxy.seen if s.method == "POST" and "uploads" in s.path]
    assert len(whole) >= 5
    assert len(in_parts) >= 2
    for seen in (*whole, *in_parts):
        assert seen.headers["x-amz-server-side-encryption"] == "aws:kms", seen.path
        assert seen.headers["x-amz-server-side-encryption-aws-kms-key-id"].endswith("key/lake")


@pytest.mark.s3
def test_a_large_file_is_sent_in_parts(lake, proxy, monkeypatch):
    monkeypatch.setattr(files, "LEVEL", 1)
    rng = np.random.default_rng(1)
    noise = [reading(n / 10, record_id=rng.bytes(512).hex(), heart_rate=60) for n in range(30_000)]  # 15 MB
    add(lake, noise)
    seal(lake, ORGANISATION, NOON.date(), now=LATER)
    assert len(values(lake)) == len(noise)
    seen = proxy.seen
    parts = [s for s in seen if s.method == "PUT" and "partNumber=" in s.path]
    sealed = [s for s in parts if "/readings/" in s.path and "part-00000" not in s.path]
    assert len(sealed) >= 2
    assert any(s.method == "POST" and "uploadId=" in s.path for s in seen)


def test_an_encryption_that_does_not_exist_is_refused_with_what_to_write(monkeypatch):
    monkeypatch.setenv("LAKE_ENCRYPTION", "rot13")
    with pytest.raises(BadSetting, match="aws:kms"):
        storage_options("s3://bucket/lake")
    assert storage_options("/a/folder") == {}
