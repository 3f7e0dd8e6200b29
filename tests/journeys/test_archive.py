"""Alice asks for readings of last year in a browser; the worker that brings them back is killed at every state.

On a folder, and on an S3 server whose archive storage class behaves as Glacier: an object cannot be read, is restored
for a while after it was asked for, and can then be read.
"""

import os
import time
from datetime import UTC, date, datetime, timedelta

import pytest
from botocore.exceptions import ClientError
from playwright.sync_api import expect, sync_playwright

from ingestion.cold import NotReady, Quarter
from ingestion.lake.seal import seal
from portal.archive import archiving
from portal.archive.archiving import quarter_archive
from portal.archive.cold import cold_store
from portal.archive.models import Part, Request
from tests.analytics.test_sql import put, rows
from tests.nursery import KILLED
from tests.portal.conftest import make_cast

pytestmark = [pytest.mark.browser, pytest.mark.postgres, pytest.mark.redis]
DAYS = (date(2025, 3, 30), date(2025, 3, 31))
STATES = ("restore_asked", "restore_noted", "restore_part_ready", "restore_ready", "restore_told")


@pytest.fixture(params=["folder", pytest.param("glacier", marks=pytest.mark.glacier)])
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


@pytest.fixture
def work(lake, settings, nursery):
    """Runs the worker's task once in a process of its own, killed at the place that is named; its exit code."""

    def once(crash_at=""):
        places = {"LAKE_URL": settings.LAKE_URL, "ARCHIVE_FOLDER_WAIT_S": settings.ARCHIVE_FOLDER_WAIT_S}
        return nursery.run("portal.archive.tasks.archive_restore", crash_at=crash_at, **places)

    return once


def work_until(work, state, seconds=120):
    until = time.monotonic() + seconds
    while Request.objects.get().state != state and time.monotonic() < until:
        assert work() == 0
        time.sleep(0.2)
    assert Request.objects.get().state == state


def test_a_person_gets_old_readings_back_though_the_worker_dies(lake, work, live_server):
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
            while (code := work(state)) == 0 and time.monotonic() < until:
                time.sleep(0.2)  # the object is still on its way
            assert code == KILLED, state
            page.reload()
            expect(page.get_by_role("heading", name="Asked for")).to_be_visible()
        work_until(work, Request.State.READY)
        assert work() == 0

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
