"""One person is erased everywhere, whatever dies on the way; everybody else's rows stay as they are."""

import hashlib
import os
from datetime import UTC, date, datetime, timedelta

import pyarrow.compute as pc
import pytest
from django.core.exceptions import PermissionDenied

from analytics import store
from ingestion.archiver import archive
from ingestion.cold import Quarter
from ingestion.erase import log_cut, rows_remove, traces
from ingestion.kafka import ADMITTED, topics_create
from ingestion.lake import open_readings
from ingestion.lake.seal import seal
from ingestion.lake.tables import READINGS, SUMMARIES, open_table
from ingestion.walk import walk
from portal.accounts.models import User
from portal.archive import archiving
from portal.archive.archiving import quarter_archive
from portal.archive.models import Part
from portal.archive.services import request_make
from portal.operations.consents import consents_export
from portal.operations.devices import devices_follow
from portal.operations.erased import erased_subjects
from portal.operations.models import DeviceInLake
from portal.people.models import Patient
from portal.rights.erasing import erasure_advance, erasure_begin, tombstones_fall
from portal.rights.models import Erasure
from tests.analytics.test_sql import put, rows
from tests.portal.personal_models import made
from tests.portal.test_archive import Killed, killed_at

NOW = datetime.now(UTC)
OLD, SEALED, OPEN = date(2025, 3, 30), date(2026, 10, 1), date(2026, 11, 20)


@pytest.fixture(params=["folder", pytest.param("glacier", marks=pytest.mark.glacier)])
def lake(request, cast, settings, tmp_path, monkeypatch):
    """Alice and Dora in the same files: a quarter in the archive, a sealed day, an open day.

    In a folder, and in a bucket that keeps what was replaced or deleted.
    """
    monkeypatch.setattr(archiving, "QUIET", timedelta(days=-3650))
    settings.LAKE_URL = request.getfixturevalue("glacier") if request.param == "glacier" else str(tmp_path / "lake")
    for day in (OLD, SEALED, OPEN):
        times = [datetime(day.year, day.month, day.day, 12, tzinfo=UTC) + timedelta(minutes=m) for m in range(20)]
        for device, patient in (("watch-alice", cast.patient), ("watch-dora", cast.dora)):
            mine = rows(device, patient.subject, times, heart_rate=70.0)
            put(settings.LAKE_URL, mine.set_column(0, "organisation", [[cast.organisation.key] * 20]).cast(mine.schema))
    for day in (OLD, SEALED):
        seal(settings.LAKE_URL, cast.organisation.key, day, now=NOW)
    assert quarter_archive(cast.organisation.key, Quarter(2025, 1), now=NOW, seconds=300)
    devices_follow(settings.LAKE_URL)
    consents_export(settings.LAKE_URL)
    return settings.LAKE_URL


def fingerprint(lake, kind, subject):
    """A hash of all that a table holds of one person."""
    table = open_table(lake, kind).to_pyarrow_table().filter(pc.field("subject") == subject)
    order = [(name, "ascending") for name in ("day", "measured_at", "vital", "quarter") if name in table.column_names]
    return table.num_rows, hashlib.sha256(str(table.sort_by(order).to_pylist()).encode()).hexdigest()


@pytest.mark.parametrize("lake", ["folder"], indirect=True)
def test_rows_of_one_person_leave_a_table_and_its_log(lake, cast):
    before = {kind.name: fingerprint(lake, kind, cast.dora.subject) for kind in (READINGS, SUMMARIES)}
    assert before["readings"][0] == 40
    counted = {k.name: rows_remove(lake, k, cast.organisation.key, cast.patient.subject) for k in (READINGS, SUMMARIES)}
    assert (counted["readings"].rows, counted["summaries_quarter"].rows) == (40, 4)
    for kind in (READINGS, SUMMARIES):
        assert log_cut(lake, kind) >= 1
        assert fingerprint(lake, kind, cast.patient.subject)[0] == 0
        assert fingerprint(lake, kind, cast.dora.subject) == before[kind.name]
        assert rows_remove(lake, kind, cast.organisation.key, cast.patient.subject).rows == 0
    assert not [path for path in traces(lake, cast.patient.subject) if path.startswith(("readings", "summaries"))]
    assert [path for path in traces(lake, cast.dora.subject) if path.startswith("readings/")]
    # The table goes on: positions are kept, and rows can be appended.
    assert open_readings(lake).transaction_version("t-0") > 0
    put(lake, rows("watch-dora", cast.dora.subject, [NOW]))


@pytest.mark.kafka
@pytest.mark.redis
def test_a_person_is_erased_though_the_worker_dies_at_every_step(lake, cast, settings, empty_redis, tmp_path):
    bootstrap = os.environ["TEST_KAFKA_BOOTSTRAP_SERVERS"]
    topics_create(bootstrap, readings=4, admitted=4)
    subject, dora = cast.patient.subject, cast.dora.subject
    before = {kind.name: fingerprint(lake, kind, dora) for kind in (READINGS, SUMMARIES)}
    settings.MODELS_URL = str(tmp_path / "models")
    version = made(cast, "v1")
    request_make(patient=cast.patient, first=OLD, last=OLD, by=cast.bob, now=NOW)
    assert len(traces(lake, subject)) >= 6
    with pytest.raises(PermissionDenied):
        erasure_begin(patient=cast.patient, by=cast.bob, now=NOW)
    erasure = erasure_begin(patient=cast.patient, by=cast.admin, now=NOW)
    assert erasure_begin(patient=cast.patient, by=cast.admin, now=NOW) == erasure
    assert not erasure_advance(erasure, NOW + timedelta(seconds=30))  # a door may still be admitting
    later = NOW + timedelta(seconds=80)
    if list(walk(bootstrap, ADMITTED)):
        assert not erasure_advance(erasure, later)
        assert erasure.step == Erasure.Step.DRAINING
    archive(lake, bootstrap, range(4))
    for place in (
        "erase_written",
        "erase_committed",
        "erase_archive",
        "erase_object",
        "erase_cutting",
        "erase_cut",
        "erase_database",
        "erase_redis",
        "erase_models",
    ):
        with pytest.raises(Killed):
            erasure_advance(Erasure.objects.get(), later, killed_at(place))
    erasure = Erasure.objects.get()
    assert erasure_advance(erasure, later)

    assert traces(lake, subject) == []
    mine = {kind.name: fingerprint(lake, kind, dora) for kind in (READINGS, SUMMARIES)}
    assert mine == before
    assert not Patient.objects.filter(subject=subject).exists()
    assert not DeviceInLake.objects.filter(subject=subject).exists()
    assert set(Part.objects.values_list("subject", flat=True)) == {dora}
    user = User.objects.get(pk=cast.alice.pk)
    assert (user.email, user.first_name, user.is_active, user.has_usable_password()) == ("", "", False, False)
    assert erasure.receipt["readings"]["rows"] == 40
    assert erasure.receipt["summaries_quarter"]["rows"] == 4
    assert erasure.receipt["archive"]["objects"] == 1
    assert erasure.receipt["models"]["files"] == 1
    assert subject not in store.read(settings.MODELS_URL, version.name)[1]
    assert erasure.receipt["database"]["people_patient"] == 1

    assert erased_subjects() == {subject}
    assert tombstones_fall(later + timedelta(days=6)) == 0
    assert tombstones_fall(later + timedelta(days=8)) == 1
    assert erased_subjects() == set()
