"""Ended days are sealed by tasks of the worker, or by hand; whoever comes second finds nothing to do."""

import fnmatch
from datetime import UTC, datetime, timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from ingestion.lake import seal as sealing
from ingestion.lake.tables import READINGS, SUMMARIES, newest
from ingestion.lake.tidy import FILES_AT_MOST
from portal.celery import app
from portal.pipeline import tasks
from tests.analytics.readings import NOON, reading
from tests.ingestion.lakes import ORGANISATION, add, recount, summaries, values

pytestmark = pytest.mark.django_db  # it knows which quarters have been put away
ROWS = [reading(60 * n, heart_rate=60 + n) for n in range(20)]


@pytest.fixture
def lake(tmp_path, settings) -> str:
    settings.LAKE_URL = str(tmp_path / "lake")
    settings.CELERY_TASK_ALWAYS_EAGER = True
    add(settings.LAKE_URL, ROWS[:10])
    add(settings.LAKE_URL, ROWS[5:], partition=1)
    return settings.LAKE_URL


def sealed_files(lake: str) -> list[bool]:
    return [file.sealed for file in newest(lake, READINGS).partition(ORGANISATION, NOON.date())]


def test_a_day_is_sealed_by_a_task_of_its_own_once_it_is_quiet(lake, monkeypatch):
    tasks.seal_due()
    assert sealed_files(lake) == [False, False]  # rows came a moment ago
    monkeypatch.setattr(sealing, "QUIET", timedelta())
    tasks.seal_due()
    assert sealed_files(lake) == [True]
    assert values(lake) == [row["heart_rate"] for row in ROWS]
    assert summaries(lake) == recount(ROWS)
    version = newest(lake, READINGS).version
    tasks.seal_day(organisation=ORGANISATION, day=NOON.date().isoformat())
    assert newest(lake, READINGS).version == version


def test_the_files_of_today_are_made_few_and_those_without_an_owner_removed(lake, settings):
    now = datetime.now(UTC)
    today = [reading(60 * n, heart_rate=60) | {"measured_at": now + timedelta(seconds=n)} for n in range(12)]
    for row in today:
        add(lake, [row])
    tasks.tidy_lake()
    files = newest(lake, READINGS).partition(ORGANISATION, now.date())
    assert len(files) <= FILES_AT_MOST
    assert sum(file.rows for file in files) == 12
    settings.SUMMARIES_KEPT_DAYS = 1
    tasks.seal_day(organisation=ORGANISATION, day=NOON.date().isoformat())
    assert newest(lake, SUMMARIES).files
    tasks.keep_lake()
    assert not newest(lake, SUMMARIES).files
    assert len(values(lake)) == len(ROWS) + 12


def test_every_entry_of_the_schedule_is_a_task_that_exists(settings):
    app.loader.import_default_modules()
    for name, entry in settings.CELERY_BEAT_SCHEDULE.items():
        assert entry["task"] in app.tasks, name
    for pattern in settings.CELERY_TASK_ROUTES:
        assert fnmatch.filter(app.tasks, pattern), pattern


class TestByHand:
    def test_days_of_a_period_are_sealed_without_waiting(self, lake):
        out = StringIO()
        call_command("seal_days", "--to", str(NOON.date() - timedelta(days=1)), stdout=out)
        assert "0 days sealed: 0 readings" in out.getvalue()
        call_command("seal_days", "--organisation", ORGANISATION, stdout=out)
        assert "1 days sealed: 20 readings, 5 doubles dropped." in out.getvalue()
        assert sealed_files(lake) == [True]

    def test_a_day_that_keeps_changing_is_named(self, lake, monkeypatch):
        def changed(*_, **__):
            raise sealing.Changed

        monkeypatch.setattr("portal.pipeline.management.commands.seal_days.seal", changed)
        with pytest.raises(CommandError, match=f"{NOON.date()} of {ORGANISATION}"):
            call_command("seal_days", stdout=StringIO())
