"""`manage.py lake_sql` and `lake_export`: what people type, and what comes back."""

from datetime import timedelta
from pathlib import Path

import boto3
import pyarrow.parquet as pq
import pytest
from botocore.stub import Stubber
from deltalake import DeltaTable
from django.core.management import CommandError, call_command

from analytics import athena
from analytics.sql import BadQuery, statements
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.operations.consents import consents_export, consents_follow, consents_url
from portal.operations.devices import devices_follow, wearing
from portal.operations.models import DeviceInLake
from portal.watchdog.ring import device_of, ring_make
from tests.analytics.test_sql import DAY, NOON, put, rows
from tests.portal.conftest import NOW


@pytest.fixture
def lake(cast, settings, tmp_path):
    """Alice's readings of two days from her watch, and Dora's."""
    settings.LAKE_URL = str(tmp_path / "lake")
    for days in range(2):
        times = [NOON + timedelta(days=days, minutes=m) for m in range(5)]
        for device, patient in (("watch-alice", cast.patient), ("watch-dora", cast.dora)):
            mine = rows(device, patient.subject, times, heart_rate=72.0, systolic=118.0, diastolic=76.0)
            of_org = mine.set_column(0, "organisation", [[patient.organisation.key] * mine.num_rows])
            put(settings.LAKE_URL, of_org.cast(mine.schema))
    return settings.LAKE_URL


def test_the_query_people_try_first(lake, capsys):
    call_command("lake_sql", "SELECT * FROM iot_data WHERE device_id = 'watch-alice' LIMIT 2")
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0].split(" | ")[1].strip() == "timestamp"
    assert lines[2].startswith("watch-alice | 2026-03-0")
    assert "118/76" in lines[2]
    assert err == "2 rows; 2 of the table's 4 files could hold them\n"


def test_somebody_who_has_withdrawn_is_not_there(lake, cast, capsys):
    consent_record(patient=cast.patient, purpose=Purpose.CARE, given=False, by=cast.alice, now=NOW)
    call_command("lake_sql", "SELECT DISTINCT device_id FROM iot_data", "--csv")
    assert capsys.readouterr().out.split() == ["device_id", "watch-dora"]


def test_synthetic_patients_are_in_no_answer(lake, settings, capsys):
    settings.WATCHDOG_EVERY_S = 300
    patient = ring_make(NOW)[0]
    mine = rows(device_of(patient), patient.subject, [NOON], heart_rate=180.0)
    put(lake, mine.set_column(0, "organisation", [[patient.organisation.key]]).cast(mine.schema))
    call_command("lake_sql", "SELECT DISTINCT device_id FROM iot_data ORDER BY 1", "--csv")
    assert capsys.readouterr().out.split() == ["device_id", "watch-alice", "watch-dora"]


def test_a_named_query_and_a_mistake(lake, capsys):
    call_command("lake_sql", "averages_by_device", "--csv")
    assert "watch-dora,10,72.0," in capsys.readouterr().out
    call_command("lake_sql", "--list")
    assert "one_device: The first ten readings" in capsys.readouterr().out
    with pytest.raises(CommandError, match="no_such_column"):
        call_command("lake_sql", "SELECT no_such_column FROM iot_data")
    with pytest.raises(CommandError, match="--list"):
        call_command("lake_sql")


def test_the_lookup_knows_what_came_since(lake, cast):
    assert devices_follow(lake) == 4
    before = DeviceInLake.objects.get(device_id="watch-alice")
    assert (before.subject, before.last_at) == (cast.patient.subject, NOON + timedelta(days=1, minutes=4))
    later = NOON + timedelta(days=5)
    put(lake, rows("watch-alice", cast.patient.subject, [later]))
    put(lake, rows("watch-alice", "9" * 32, [later]))  # synced by an account: nobody assigned it
    people = {one.subject: one for one in wearing(lake)(["watch-alice"])}
    assert set(people) == {cast.patient.subject, "9" * 32}
    assert (people[cast.patient.subject].first, people[cast.patient.subject].last) == (NOON, later)


def test_the_ledger_follows_into_the_lake(lake, cast):
    consents_export(lake)
    consents_follow(lake)
    assert not consents_follow(lake)
    consent_record(patient=cast.patient, purpose=Purpose.RESEARCH, given=True, by=cast.alice, now=NOW)
    assert consents_follow(lake)
    table = DeltaTable(consents_url(lake)).to_pyarrow_table()
    given = {(r["subject"], r["purpose"]): r["given"] for r in table.to_pylist()}
    assert given == {
        (cast.patient.subject, "care"): True,
        (cast.patient.subject, "research"): True,
        (cast.dora.subject, "care"): True,
    }


def test_an_export_is_plain_parquet_without_the_day_in_it(lake, tmp_path, capsys):
    folder = tmp_path / "out"
    for _ in range(2):  # again over the first
        call_command("lake_export", str(folder), "--from", "2026-03-02")
    assert "10 readings of 1 days" in capsys.readouterr().out
    (file,) = (path for path in folder.rglob("*") if path.is_file())
    assert file.parent.name == f"day={DAY + timedelta(days=1)}"
    assert "day" not in pq.read_schema(file).names
    assert pq.read_metadata(file).num_rows == 10
    with pytest.raises(CommandError, match="empty folder"):
        call_command("lake_export", str(Path(__file__).parent))
    with pytest.raises(CommandError, match="Choose one of the purposes"):
        call_command("lake_export", str(folder), "--purpose", "marketing")
    call_command("lake_export", str(tmp_path / "research"), "--purpose", "research")
    assert "0 readings" in capsys.readouterr().out


@pytest.fixture
def client(monkeypatch):
    client = boto3.client("athena", region_name="eu-west-2", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        client.stub = stub
        monkeypatch.setattr("portal.operations.management.commands.lake_sql.boto3.client", lambda name: client)
        yield client
        stub.assert_no_pending_responses()


def started(client, text, state, **more):
    asked = {"QueryString": text, "QueryExecutionContext": {"Database": "wellrange"}, "WorkGroup": "wellrange"}
    client.stub.add_response("start_query_execution", {"QueryExecutionId": "q" * 16}, asked)
    for now in ("RUNNING", state):
        execution = {"Status": {"State": now, **more.get("status", {})}, "StatementType": more.get("kind", "DML")}
        execution["Statistics"] = {"DataScannedInBytes": 1234}
        client.stub.add_response("get_query_execution", {"QueryExecution": execution})


def result(*rows_):
    data = [{"Data": [{"VarCharValue": v} if v is not None else {} for v in row]} for row in rows_]
    info = [{"Name": name, "Type": "varchar"} for name in ("device_id", "heart_rate")]
    return {"ResultSet": {"Rows": data, "ResultSetMetadata": {"ColumnInfo": info}}}


def test_athena_gets_the_same_text(client, monkeypatch, db, capsys):
    monkeypatch.setattr(athena.time, "sleep", lambda s: None)
    text = "SELECT device_id, heart_rate FROM iot_data"
    started(client, text, "SUCCEEDED")
    client.stub.add_response("get_query_results", result(("device_id", "heart_rate"), ("w", None), ("w", "71.0")))
    call_command("lake_sql", text, "--athena", "--csv")
    out, err = capsys.readouterr()
    assert out.split() == ["device_id,heart_rate", "w,", "w,71.0"]
    assert "1,234 bytes read" in err


def test_athenas_reason_is_said(client):
    started(client, "SELECT 1", "FAILED", status={"StateChangeReason": "SYNTAX_ERROR: nothing like it"})
    with pytest.raises(BadQuery, match="nothing like it"):
        athena.run(client, "SELECT 1", athena.Place("wellrange", "wellrange"), wait=lambda s: None)


def test_setting_athena_up_names_this_lake(client, cast, settings, tmp_path, monkeypatch):
    settings.LAKE_URL = str(tmp_path / "lake")
    monkeypatch.setattr(athena.time, "sleep", lambda s: None)
    for _, text in statements():
        started(client, text.replace("${LAKE_URL}", settings.LAKE_URL), "SUCCEEDED", kind="DDL")
        client.stub.add_response("get_query_results", result())
    call_command("lake_sql", "--setup", "--athena")
