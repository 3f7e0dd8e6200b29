"""Alice asks for readings of last year in a browser; the worker that brings them back is killed at every state.

On a folder, and on an S3 server whose archive storage class behaves as Glacier: an object cannot be read, is restored
for a while after it was asked for, and can then be read.
"""

import os
import signal
import subprocess
import sys
import time
from datetime import UTC, date, datetime, timedelta

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from playwright.sync_api import expect, sync_playwright

from ingestion.cold import NotReady, Quarter
from ingestion.lake.seal import seal
from portal.archive import archiving
from portal.archive.archiving import quarter_archive
from portal.archive.cold import cold_store
from portal.archive.models import Part, Request
from tests.analytics.test_sql import put, rows
from tests.portal.conftest import make_cast
from tests.servers.missing import free_port, listens, wait_until
from tests.servers.process import run
from tests.servers.s3 import ministack

pytestmark = [pytest.mark.browser, pytest.mark.postgres, pytest.mark.redis]
DAYS = (date(2025, 3, 30), date(2025, 3, 31))
STATES = ("restore_asked", "restore_noted", "restore_part_ready", "restore_ready", "restore_told")
WORKER = """
import django
django.setup()
from portal.archive.tasks import archive_restore
archive_restore()
"""


@pytest.fixture
def glacier(tmp_path, monkeypatch):
    """An S3 server with archive storage classes, and a bucket with versions; the lake's address in it."""
    import contextlib

    with contextlib.ExitStack() as stack:
        port = free_port()
        env = {**os.environ, "GATEWAY_PORT": str(port), "BIND_HOST": "127.0.0.1", "SERVICES": "s3"}
        run(stack, [str(ministack())], tmp_path / "ministack.log", env=env)
        wait_until(lambda: listens(port), "ministack")
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
        s3.create_bucket(Bucket="lake")
        s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
        yield "s3://lake/home"


@pytest.fixture(params=["folder", "glacier"])
def lake(request, transactional_db, settings, tmp_path, monkeypatch):
    settings.LAKE_URL = request.getfixturevalue("glacier") if request.param == "glacier" else str(tmp_path / "lake")
    settings.ARCHIVE_FOLDER_WAIT_S = 2
    monkeypatch.setattr(archiving, "QUIET", timedelta(days=-3650))
    return settings.LAKE_URL


def archived(lake):
    """The cast, with two days of Alice in the archive."""
    cast = make_cast()
    now = datetime.now(UTC)
    for day in DAYS:
        times = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(minutes=m) for m in range(30)]
        mine = rows("watch-alice", cast.patient.subject, times, heart_rate=70.0)
        put(lake, mine.set_column(0, "organisation", [[cast.organisation.key] * len(times)]).cast(mine.schema))
        seal(lake, cast.organisation.key, day, now=now)
    assert quarter_archive(cast.organisation.key, Quarter(2025, 1), now=now, seconds=300)
    return cast


def work(settings, crash_at=""):
    """One run of the worker's task in a process of its own; its exit code."""
    database = settings.DATABASES["default"]
    url = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    env = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.settings",
        "TEST_DATABASE_URL": url,
        "LAKE_URL": settings.LAKE_URL,
        "ARCHIVE_FOLDER_WAIT_S": str(settings.ARCHIVE_FOLDER_WAIT_S),
        "WELLRANGE_CRASH_AT": crash_at,
    }
    return subprocess.run([sys.executable, "-c", WORKER], env=env, check=False, timeout=200).returncode


def work_until(settings, state, seconds=120):
    until = time.monotonic() + seconds
    while Request.objects.get().state != state and time.monotonic() < until:
        assert work(settings) == 0
        time.sleep(0.5)
    assert Request.objects.get().state == state


def test_a_person_gets_old_readings_back_though_the_worker_dies(lake, settings, live_server):
    cast = archived(lake)
    key = Part.objects.get().key
    with pytest.raises((NotReady, ClientError)):  # nobody reads it before it was asked for
        cold_store().get(key, datetime.now(UTC))
    session = cast.client("alice").cookies["sessionid"].value
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["TEST_CHROMIUM"], args=["--no-sandbox"])
        context = chromium.new_context()
        context.add_cookies([{"name": "sessionid", "value": session, "url": live_server.url}])
        page = context.new_page()
        page.set_default_timeout(60_000)

        page.goto(f"{live_server.url}/me/?from=2025-03-01&to=2025-04-02&view=table")
        expect(page.get_by_text("are in the archive")).to_be_visible()
        page.get_by_role("link", name="Ask for them").click()
        page.get_by_label("From").fill("2025-03-30")
        page.get_by_label("to", exact=True).fill("2025-03-31")
        page.get_by_role("button", name="Ask for these days").click()
        expect(page.get_by_text("0 of 1 parts are back")).to_be_visible()

        for state in STATES:
            until = time.monotonic() + 60
            while (code := work(settings, state)) == 0 and time.monotonic() < until:
                time.sleep(0.5)  # the object is still on its way
            assert code == -signal.SIGKILL, state
            page.reload()
            expect(page.get_by_role("heading", name="Asked for")).to_be_visible()
        work_until(settings, Request.State.READY)
        assert work(settings) == 0

        page.reload()
        expect(page.locator("[data-state=ready]")).to_be_visible()
        link = page.get_by_role("link", name="download as CSV").get_attribute("href")
        lines = context.request.get(live_server.url + link).text().splitlines()
        assert lines[0] == "measured_at,device_id,heart_rate"
        assert len(lines) == 61
        chromium.close()
    request = Request.objects.get()
    assert request.told_at is not None
    assert request.expires_at - request.ready_at == timedelta(days=7)

    # Erased, no version of the object is left.
    assert cold_store().delete(key) >= 1
    assert cold_store().keys("") == []
