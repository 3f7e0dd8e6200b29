"""A person's history on the page, drawn from a small lake; as tables too, and the whole portal without JavaScript."""

import secrets
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from django.conf import settings
from playwright.sync_api import expect

from ingestion.lake import READING_SCHEMA, append, open_readings
from portal.alerts.models import Alert
from tests.browser.conftest import elsewhere, raise_alert

MINUTES = 90


def archived(patient):
    """An hour and a half of minutes as the archiver writes them: the heart beats from 60 to 89 and over again."""
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    rows = [
        {
            "organisation": patient.organisation.key,
            "subject": patient.subject,
            "measured_at": now - timedelta(minutes=MINUTES - minute),
            "offset_minutes": 0,
            "received_at": now,
            "device_id": "watch-alice",
            "record_id": str(minute),
            "heart_rate": 60.0 + minute % 30,
            "spo2": 96.0,
            "consent_sequence": 1,
            "source_topic": "test",
            "source_partition": 0,
            "source_offset": minute,
        }
        for minute in range(MINUTES)
    ]
    table = open_readings(settings.LAKE_URL)
    append(
        table,
        pa.Table.from_pylist(rows, schema=READING_SCHEMA),
        topic_id=secrets.token_hex(8),
        begin={0: 0},
        end={0: MINUTES},
    )


@pytest.fixture
def history(portal):
    elsewhere(lambda: archived(portal.cast.patient))
    return portal


def test_a_record_draws_the_lake_and_follows_the_period(history):
    page = history.page("bob")
    page.goto(f"/patients/{history.cast.patient.pk}/")
    heart, breathing = page.locator("[data-vital=heart_rate]"), page.locator("[data-vital=respiratory_rate]")
    expect(heart.locator("[data-summary]")).to_have_text("90 readings, from 60 to 89 /min.")
    expect(heart.locator("svg .trace.scatter")).to_have_count(3)  # the band's two edges, and the mean
    expect(heart.locator("svg .xtick").first).to_be_visible()
    expect(breathing.locator("[data-summary]")).to_have_text("No readings in this period.")
    expect(breathing.locator("svg")).to_have_count(0)

    page.get_by_role("link", name="1 hour").click()
    expect(page.get_by_role("link", name="1 hour")).to_have_attribute("aria-current", "true")
    expect(heart.locator("[data-summary]")).to_contain_text("readings, from 60 to 89 /min.")
    assert int(heart.locator("[data-summary]").inner_text().split()[0]) < MINUTES
    page.locator("details.more summary").click()
    page.get_by_role("link", name="Weight").click()
    expect(page.locator("[data-vital=weight] [data-summary]")).to_have_text("No readings in this period.")

    today = datetime.now(UTC).date()
    page.get_by_label("From").fill(str(today))
    page.get_by_label("to", exact=True).fill(str(today - timedelta(days=1)))
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_role("alert")).to_contain_text("The last day must not be before the first")


def test_tables_say_what_the_charts_say(history):
    page = history.page("alice")
    page.goto("/me/")
    page.get_by_role("link", name="Show as tables").click()
    table = page.get_by_role("region", name="Heart rate").get_by_role("table")
    expect(table.locator("caption")).to_contain_text("90 readings, from 60 to 89 /min.")
    rows = table.locator("tbody tr")
    expect(rows.first).to_be_visible()
    lows, highs = rows.locator("td:nth-child(2)").all_inner_texts(), rows.locator("td:nth-child(4)").all_inner_texts()
    assert (min(map(int, lows)), max(map(int, highs))) == (60, 89)
    expect(page.get_by_role("region", name="Oxygen level")).to_contain_text("90 readings, from 96 to 96 %.")


def test_everything_works_without_javascript(history):
    alert = raise_alert(history.cast.patient)
    page = history.page("bob", java_script_enabled=False)
    page.goto("/board/")
    expect(page.locator(".board a.name").first).to_have_text("Alice Marsh")
    assert page.locator("noscript meta[http-equiv=refresh]").count() == 1
    page.locator(".board a.name").first.click()
    page.get_by_role("link", name="Show the history as tables").click()
    expect(page.get_by_role("region", name="Heart rate")).to_contain_text("90 readings")
    page.goto(f"/alerts/{alert.pk}/")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_have_text("The alert is acknowledged.")
    assert Alert.objects.get().state == Alert.State.ACKNOWLEDGED
