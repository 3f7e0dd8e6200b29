"""Old quarters go to the archive and come back, whatever dies on the way; who may not see them does not."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from django.core import mail
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.urls import reverse

from analytics.history import Period, Source, daily, series
from ingestion.cold import Quarter, State
from ingestion.cold.late import merge
from ingestion.cold.objects import unpack
from ingestion.lake import open_readings
from ingestion.lake.seal import due as days_due
from ingestion.lake.seal import seal
from ingestion.lake.summaries import read_summaries, summarise
from ingestion.quarters import touching
from portal.archive import archiving
from portal.archive.archiving import days_to_seal, due, quarter_archive
from portal.archive.cold import cold_store
from portal.archive.models import Batch, Part, Request
from portal.archive.selectors import archived_text
from portal.archive.services import readings_of, request_make, requests_advance
from portal.archive.wording import wait_text
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from tests.analytics.test_sql import put, rows

QUARTER = Quarter(2025, 1)
START = datetime(2025, 3, 30, 12, tzinfo=UTC)
LATER = datetime(2026, 11, 25, 12, tzinfo=UTC)  # more than 180 days on; what tests write counts as old from LATER on
DAYS = [date(2025, 3, 30), date(2025, 3, 31), date(2025, 4, 1)]


class Killed(BaseException):
    """The worker dies here."""


def killed_at(place, turn=1):
    passed = []

    def passing(at):
        passed.append(at)
        if passed.count(place) == turn and at == place:
            raise Killed(place)

    return passing


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    """Files written just now count as written long ago."""
    monkeypatch.setattr(archiving, "QUIET", timedelta(days=-3650))


@pytest.fixture
def lake(cast, settings, tmp_path):
    """Three sealed days of Alice and Dora, two of them in the first quarter of 2025."""
    settings.LAKE_URL = str(tmp_path / "lake")
    settings.ARCHIVE_FOLDER_WAIT_S = 3600
    for day in DAYS:
        add(settings.LAKE_URL, cast, day)
        seal(settings.LAKE_URL, cast.organisation.key, day, now=LATER)
    return settings.LAKE_URL


def add(lake, cast, day, minutes=range(30), rate=70.0):
    times = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(minutes=m) for m in minutes]
    for device, patient in (("watch-alice", cast.patient), ("watch-dora", cast.dora)):
        mine = rows(device, patient.subject, times, heart_rate=rate)
        put(lake, mine.set_column(0, "organisation", [[cast.organisation.key] * len(times)]).cast(mine.schema))


def table(lake):
    return open_readings(lake).to_pyarrow_table().sort_by([("subject", "ascending"), ("measured_at", "ascending")])


def put_away(cast, **more):
    for _ in range(5):
        if quarter_archive(cast.organisation.key, QUARTER, now=LATER, **more):
            return
    raise AssertionError("it never ends")


def brought_back(part):
    store = cold_store()
    store.ask(part.key, LATER)
    return unpack(store.get(part.key, LATER + timedelta(hours=1)))


def in_quarter(rows_):
    return rows_.filter(pc.field("measured_at") < pa.scalar(QUARTER.end, pa.timestamp("us", "UTC")))


COLUMNS = ["subject", "measured_at", "device_id", "heart_rate", "source_offset"]


def test_one_object_a_person_and_quarter_and_the_rows_are_gone_from_the_table(lake, cast):
    before = table(lake)
    assert due(LATER) == [(cast.organisation.key, QUARTER), (cast.organisation.key, Quarter(2025, 2))]
    put_away(cast)
    after = table(lake)
    assert set(after["day"].to_pylist()) == {date(2025, 4, 1)}
    parts = {part.subject: part for part in Part.objects.all()}
    assert set(parts) == {cast.patient.subject, cast.dora.subject}
    back = pa.concat_tables([brought_back(parts[s]) for s in sorted(parts)]).select(COLUMNS)
    assert back.equals(in_quarter(before).select(COLUMNS).cast(back.schema))
    assert due(LATER) == [(cast.organisation.key, Quarter(2025, 2))]


def test_the_command_puts_away_what_is_old_enough_and_says_how_much(lake, cast, capsys):
    call_command("archive_old")
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith(f"2025Q1 of {cast.organisation.key} is in the archive: 2 objects, 120 readings, ")
    assert second.startswith(f"2025Q2 of {cast.organisation.key} is in the archive: 2 objects, 60 readings, ")
    assert table(lake).num_rows == 0
    call_command("archive_old")
    assert capsys.readouterr().out == "Nothing is old enough, sealed and quiet.\n"


def test_what_is_young_or_not_sealed_stays(lake, cast, monkeypatch):
    assert due(datetime(2025, 9, 27, tzinfo=UTC)) == []  # 180 days after 31 March
    assert due(datetime(2025, 9, 28, tzinfo=UTC)) == [(cast.organisation.key, QUARTER)]
    add(lake, cast, DAYS[0], [40])
    assert due(datetime(2025, 9, 28, tzinfo=UTC)) == []
    monkeypatch.setattr(archiving, "QUIET", timedelta(days=8))
    assert due(datetime.now(UTC)) == []


@pytest.mark.parametrize(
    ("place", "turn"),
    [
        ("archive_put", 1),
        ("archive_put", 2),
        ("archive_noted", 1),
        ("archive_written", 1),
        ("archive_removed", 1),
    ],
)
def test_killed_anywhere_nothing_is_lost_or_there_twice(lake, cast, place, turn):
    before = table(lake)
    with pytest.raises(Killed):
        put_away(cast, passing=killed_at(place, turn))
    assert due(LATER)[0] == (cast.organisation.key, QUARTER)
    put_away(cast)
    assert Batch.objects.get().state == Batch.State.DONE
    back = pa.concat_tables([brought_back(p) for p in Part.objects.order_by("subject")]).select(COLUMNS)
    assert back.equals(in_quarter(before).select(COLUMNS).cast(back.schema))
    assert table(lake).num_rows == before.num_rows - back.num_rows


def test_days_of_a_quarter_on_its_way_to_the_archive_are_not_sealed(lake, cast):
    with pytest.raises(Killed):
        put_away(cast, passing=killed_at("archive_put", 1))
    for day in DAYS:
        add(lake, cast, day, [45])
    assert QUARTER.last == DAYS[1] == date(2025, 3, 31)
    assert days_to_seal(LATER, wait=False) == [(cast.organisation.key, DAYS[2])]


def test_a_quarter_that_changes_while_it_is_put_away_begins_again(lake, cast):
    with pytest.raises(Killed):
        put_away(cast, passing=killed_at("archive_put", 1))
    add(lake, cast, DAYS[0], [45])
    assert days_to_seal(LATER, wait=False) == []
    Batch.objects.all().delete()  # as if the sealing had begun before the archiving
    assert days_to_seal(LATER, wait=False) == [(cast.organisation.key, DAYS[0])]
    with pytest.raises(Killed):
        put_away(cast, passing=killed_at("archive_put", 1))
    seal(lake, cast.organisation.key, DAYS[0], now=LATER)
    put_away(cast)
    assert sum(Part.objects.values_list("rows", flat=True)) == 2 * (30 + 31)
    assert set(table(lake)["day"].to_pylist()) == {date(2025, 4, 1)}


def counts(lake, cast, vital="heart_rate"):
    found = read_summaries(
        lake,
        organisation=cast.organisation.key,
        subject=cast.patient.subject,
        vitals=[vital],
        start=QUARTER.start,
        end=QUARTER.end,
        columns=["count", "high", "times"],
    )
    return sum(found["count"].to_pylist()), max(found["high"].to_pylist()), sum(map(sum, found["times"].to_pylist()))


@pytest.mark.parametrize("place", [None, "archive_noted", "archive_written", "archive_merged", "archive_removed"])
def test_what_comes_late_goes_to_a_side_object_and_into_the_summaries_once(lake, cast, place):
    put_away(cast)
    assert counts(lake, cast) == (60, 70.0, 60)
    add(lake, cast, DAYS[0], [41, 42], rate=90.0)
    assert due(LATER)[0] == (cast.organisation.key, QUARTER)
    if place:
        with pytest.raises(Killed):
            put_away(cast, passing=killed_at(place))
    put_away(cast)
    assert counts(lake, cast) == (62, 90.0, 62)
    assert [p.rows for p in Part.objects.filter(subject=cast.patient.subject).order_by("batch__sequence")] == [60, 2]
    assert "came late" in archived_text(cast.patient, QUARTER.start, QUARTER.end)
    assert set(table(lake)["day"].to_pylist()) == {date(2025, 4, 1)}


def charted(lake, cast, day):
    start = datetime(day.year, day.month, day.day, tzinfo=UTC)
    whose = {"organisation": cast.organisation.key, "subject": cast.patient.subject}
    drawn = series(lake, **whose, vitals=["heart_rate"], start=start, end=start + timedelta(days=1))["heart_rate"]
    counted = daily(lake, **whose, vital="heart_rate", period=Period(start, start + timedelta(days=1), ZoneInfo("UTC")))
    return drawn.count, int(counted.counts.sum()), drawn.source


def test_what_comes_late_is_never_sealed_alone_nor_charted_alone(lake, cast, capsys):
    assert charted(lake, cast, DAYS[0]) == (30, 30, Source.READINGS)
    put_away(cast)
    assert charted(lake, cast, DAYS[0]) == (30, 30, Source.SUMMARIES)
    add(lake, cast, DAYS[0], [41, 42], rate=90.0)
    assert days_due(lake, now=LATER, wait=False) == []
    seal(lake, cast.organisation.key, DAYS[0], now=LATER)
    call_command("seal_days")
    assert "0 days sealed" in capsys.readouterr().out
    assert counts(lake, cast) == (60, 70.0, 60)
    assert charted(lake, cast, DAYS[0]) == (30, 30, Source.SUMMARIES)
    put_away(cast)
    assert charted(lake, cast, DAYS[0]) == (32, 32, Source.SUMMARIES)
    assert charted(lake, cast, DAYS[2]) == (30, 30, Source.READINGS)


def test_merged_summaries_are_those_of_all_rows():
    times = [START + timedelta(seconds=20 * n) for n in range(200)]
    some = rows("a", "5" * 32, times[:120], heart_rate=61.0)
    more = rows("b", "5" * 32, times[120:], heart_rate=75.5)
    whole = summarise(pa.concat_tables([some, more])).to_pylist()
    merged = merge(pa.concat_tables([summarise(some), summarise(more)])).to_pylist()
    for row in whole:
        row["devices"] = sorted(row["devices"])
    assert merged == whole


def ask(cast, who="alice", first=DAYS[0], last=DAYS[1]):
    return request_make(patient=cast.patient, first=first, last=last, by=getattr(cast, who), now=LATER)


def test_from_asking_to_reading_to_expiry(lake, cast):
    before = table(lake)
    put_away(cast)
    request = ask(cast)
    assert request.expected_at == LATER + timedelta(hours=1)
    assert ask(cast) == request
    requests_advance(LATER)
    request.refresh_from_db()
    assert request.state == Request.State.RESTORING
    client = cast.client("alice")
    download = reverse("archive-readings", args=[request.pk])
    assert client.get(download).status_code == 404
    soon = LATER + timedelta(hours=1)
    assert requests_advance(soon) == 0
    request.refresh_from_db()
    assert (request.state, request.expires_at) == (Request.State.READY, soon + timedelta(days=7))
    (told,) = mail.outbox
    assert told.to == [cast.alice.email]
    assert "heart" not in told.body.lower()
    requests_advance(soon)
    assert len(mail.outbox) == 1

    mine = before.filter(pc.field("subject") == cast.patient.subject)
    back = readings_of(request, soon)
    assert back.select(COLUMNS).equals(in_quarter(mine).select(COLUMNS).cast(back.select(COLUMNS).schema))
    requests_advance(soon + timedelta(days=7))
    request.refresh_from_db()
    assert request.state == Request.State.EXPIRED
    assert client.get(download).status_code == 404
    assert ask(cast) != request  # asked again, it begins anew


@pytest.mark.parametrize(
    "place", ["restore_asked", "restore_noted", "restore_part_ready", "restore_ready", "restore_told"]
)
def test_a_restore_survives_a_worker_killed_at_any_state(lake, cast, place):
    put_away(cast)
    request = ask(cast)
    soon = LATER + timedelta(hours=2)
    for now in (LATER, soon):
        try:
            requests_advance(now, killed_at(place))
        except Killed:
            requests_advance(now)
    request.refresh_from_db()
    assert request.state == Request.State.READY
    assert request.told_at == soon
    assert {m.extra_headers["Message-ID"] for m in mail.outbox} == {f"<archive-{request.pk}@wellrange>"}
    assert len(mail.outbox) == (2 if place == "restore_told" else 1)
    assert readings_of(request, soon).num_rows == 60


def test_an_object_that_is_gone_is_said(lake, cast):
    put_away(cast)
    request = ask(cast)
    cold_store().delete(Part.objects.get(subject=cast.patient.subject).key)
    requests_advance(LATER)
    request.refresh_from_db()
    assert request.state == Request.State.FAILED


def test_who_may_ask_and_who_may_read(lake, cast, client):
    put_away(cast)
    page = reverse("archive", args=[cast.patient.pk])
    form = {"first": "2025-03-30", "last": "2025-03-31"}
    for who in ("charlie", "admin"):
        assert cast.client(who).get(page).status_code == 404, who
        assert cast.client(who).post(page, form).status_code == 404, who
    assert client.get(page).status_code == 302
    text = cast.client("bob").get(page).content.decode()
    assert "1 January 2025 to 31 March 2025: 60 readings" in text
    assert "up to 60 minutes" in text
    assert cast.client("bob").post(page, form).status_code == 302
    request = Request.objects.get()
    requests_advance(LATER)
    requests_advance(datetime.now(UTC) + timedelta(hours=2))
    Request.objects.update(state=Request.State.READY, expires_at=datetime.now(UTC) + timedelta(days=7))
    cast_store_ready_now(request)
    download = reverse("archive-readings", args=[request.pk])
    assert cast.client("charlie").get(download).status_code == 404
    answer = cast.client("alice").get(download)
    lines = b"".join(answer.streaming_content).decode().splitlines()
    assert lines[0] == "measured_at,device_id,heart_rate"
    assert lines[1] == '2025-03-30T13:00:00+01:00,"watch-alice",70.0'
    assert len(lines) == 61
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=False, by=cast.alice, now=LATER)
    assert cast.client("alice").get(download).status_code == 404
    assert "60 readings" not in cast.client("alice").get(page).content.decode()


def cast_store_ready_now(request):
    """Ask so long ago that the folder gives the object now."""
    for wanted in request.wanted.all():
        (cold_store()._folder / (wanted.part.key + ".asked")).unlink()
        cold_store().ask(wanted.part.key, datetime.now(UTC) - timedelta(hours=2))


def test_what_cannot_be_asked_for_says_why(lake, cast):
    page = reverse("archive", args=[cast.patient.pk])
    client = cast.client("alice")
    for form, words in (
        ({"first": "2025-03-30", "last": "2025-03-31"}, "Nothing of these days is in the archive"),
        ({"first": "yesterday", "last": "2025-03-31"}, "year-month-day"),
        ({"first": "2025-04-01", "last": "2025-03-31"}, "must not be before"),
    ):
        answer = client.post(page, form)
        assert answer.status_code == 400
        assert words in answer.content.decode()
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=False, by=cast.alice, now=LATER)
    with pytest.raises(ValidationError, match="Consent"):
        ask(cast)


def test_charts_say_which_part_is_in_the_archive(lake, cast):
    query = "?from=2025-03-01&to=2025-04-02"
    client = cast.client("bob")
    page = reverse("patient", args=[cast.patient.pk])
    assert "in the archive" not in client.get(page + query).content.decode()
    put_away(cast)
    text = client.get(page + query).content.decode()
    assert "Single readings from 1 Mar 2025 to 31 Mar 2025 are in the archive" in text
    assert reverse("archive", args=[cast.patient.pk]) in text
    assert "in the archive" not in client.get(page + "?from=2025-04-01&to=2025-04-02").content.decode()


def test_the_folder_store(settings, tmp_path):
    settings.LAKE_URL, settings.ARCHIVE_FOLDER_WAIT_S = str(tmp_path), 60
    store = cold_store()
    assert store.state("a/b/c.parquet", LATER) is State.GONE
    store.put("a/b/c.parquet", b"x")
    assert store.state("a/b/c.parquet", LATER) is State.ARCHIVED
    store.ask("a/b/c.parquet", LATER)
    assert store.state("a/b/c.parquet", LATER + timedelta(seconds=59)) is State.RESTORING
    assert store.get("a/b/c.parquet", LATER + timedelta(seconds=60)) == b"x"
    assert store.state("a/b/c.parquet", LATER + timedelta(days=8)) is State.ARCHIVED
    assert store.keys("a/") == ["a/b/c.parquet"]
    assert (store.delete("a/b/c.parquet"), store.delete("a/b/c.parquet"), store.keys("")) == (1, 0, [])


def test_quarters():
    assert Quarter.of(date(2024, 12, 31)) == Quarter(2024, 4)
    assert Quarter(2024, 4).following == Quarter(2025, 1)
    assert [q.name for q in touching(datetime(2024, 12, 31, tzinfo=UTC), datetime(2025, 4, 1, tzinfo=UTC))] == [
        "2024Q4",
        "2025Q1",
    ]
    assert len(list(Quarter(2024, 1).days())) == 91  # a leap year
    assert [wait_text(timedelta(seconds=s)) for s in (5, 300, 43200)] == ["a minute", "5 minutes", "12 hours"]
