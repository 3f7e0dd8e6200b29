"""The same SQL on DuckDB as on Athena: views, consent, doubles, and files that need not be read."""

import re
import shutil
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import sqlglot
from sqlglot import exp

from analytics.sql import (
    CONSENT_SCHEMA,
    VIEWS,
    BadQuery,
    Session,
    Wearing,
    devices_in,
    named_queries,
    readings_of,
    run,
    statements,
)
from ingestion.lake import READING_SCHEMA, append, open_readings
from ingestion.lake.files import ROW_GROUP
from ingestion.lake.seal import seal
from ingestion.lake.tables import READINGS, newest
from ingestion.reading import ARROW_TYPES
from ingestion.vitals import VITALS

DAY = date(2026, 3, 1)
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
PEOPLE = {f"device_{n}": f"{n:032x}" for n in range(1, 9)}  # one device each


def rows(device, subject, times, *, received=timedelta(seconds=1), first=0, **vitals):
    count = len(times)
    columns = {f.name: pa.nulls(count, f.type) for f in READING_SCHEMA}
    columns |= {
        "organisation": pa.array(["org"] * count),
        "subject": pa.array([subject] * count),
        "measured_at": pa.array(times, pa.timestamp("us", "UTC")),
        "offset_minutes": pa.array([0] * count, pa.int16()),
        "received_at": pa.array([at + received for at in times], pa.timestamp("us", "UTC")),
        "device_id": pa.array([device] * count),
        "record_id": pa.array([""] * count),
        "consent_sequence": pa.array([1] * count, pa.int64()),
        "source_topic": pa.array(["t"] * count),
        "source_partition": pa.array([0] * count, pa.int32()),
        "source_offset": pa.array(range(first, first + count), pa.int64()),
    }
    columns |= {name: pa.array([value] * count, ARROW_TYPES[name]) for name, value in vitals.items()}
    return pa.table([columns[f.name] for f in READING_SCHEMA], schema=READING_SCHEMA)


def put(lake, table):
    opened = open_readings(lake)
    begin = opened.transaction_version("t-0") or 0
    append(opened, table, topic_id="t", begin={0: begin}, end={0: begin + max(table.num_rows, 1)})


def consents(*rows_):
    subjects = rows_ or [(s, "care", True) for s in PEOPLE.values()]
    columns = list(zip(*[("org", s, p, g, 1) for s, p, g in subjects], strict=True))
    return pa.table([pa.array(c, f.type) for c, f in zip(columns, CONSENT_SCHEMA, strict=True)], schema=CONSENT_SCHEMA)


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """Three days of eight people; two of the days are sealed. Values say whose they are. Not to be changed."""
    url = str(tmp_path_factory.mktemp("shared") / "lake")
    for days in range(3):
        times = [NOON + timedelta(days=days, minutes=m) for m in range(20)]
        of_day = [
            part
            for n, (device, subject) in enumerate(PEOPLE.items(), 1)
            for part in (
                rows(device, subject, times, heart_rate=60.0 + n, spo2=90.0 + n, temperature=36.5),
                rows(device, subject, times[:2], systolic=120.4, diastolic=79.6, received=timedelta(hours=1)),
            )
        ]
        for part in of_day if days == 2 else [pa.concat_tables(of_day)]:
            put(url, part)
    for days in range(2):
        seal(url, "org", DAY + timedelta(days=days), now=NOON + timedelta(days=9))
    return url


@pytest.fixture
def lake(shared, tmp_path):
    """The same lake, for this test alone."""
    shutil.copytree(shared, tmp_path / "lake")
    return str(tmp_path / "lake")


def everybody(devices):
    return [Wearing(PEOPLE[d], NOON, NOON + timedelta(days=9)) for d in devices if d in PEOPLE]


def test_the_query_people_try_first(shared):
    answer = run(shared, "SELECT * FROM iot_data WHERE device_id = 'device_1' LIMIT 10", consents=consents())
    assert answer.columns == ["device_id", "timestamp", "heart_rate", "blood_pressure", "temperature"]
    assert len(answer.rows) == 10
    assert {row[0] for row in answer.rows} == {"device_1"}
    pressures = run(
        shared, "SELECT DISTINCT blood_pressure FROM iot_data WHERE device_id='device_1'", consents=consents()
    )
    assert set(pressures.rows) == {("120/80",), (None,)}


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM iot_data WHERE device_id = 'device_3'",
        "SELECT count(*) FROM iot_data WHERE device_id IN ('device_3', 'device_4')",
        "SELECT avg(heart_rate) FROM care_readings WHERE device_id = 'device_3' OR device_id = 'device_4'",
        "SELECT count(*) FROM iot_data WHERE device_id = 'device_3' AND heart_rate > 60",
        "SELECT max(heart_rate) FROM iot_data WHERE device_id = 'device_3' OR heart_rate > 65",
        "SELECT count(*) FROM iot_data WHERE NOT device_id = 'device_3'",
        "SELECT count(*) FROM iot_data a JOIN iot_data b USING (\"timestamp\") WHERE a.device_id = 'device_3'",
        "SELECT count(*) FROM iot_data WHERE device_id LIKE 'device_3%'",
        "SELECT count(*) FROM iot_data WHERE device_id = 'nobody''s'",
        "SELECT count(*) FROM iot_data",
    ],
)
def test_an_answer_from_fewer_files_is_the_same_answer(shared, text):
    everything = run(shared, text, consents=consents())
    pruned = run(shared, text, consents=consents(), wearing=everybody)
    assert sorted(map(str, pruned.rows)) == sorted(map(str, everything.rows))


def test_a_query_for_one_device_reads_no_other_persons_files(lake, tmp_path):
    """What must not be read is made unreadable, and the answer comes all the same."""
    text = """SELECT count(*), min(heart_rate) FROM iot_data
        WHERE device_id = 'device_1' AND "timestamp" >= TIMESTAMP '2026-03-03 00:00:00 UTC'"""
    needed = [
        file.path
        for file in newest(lake, READINGS).files
        if file.lowest <= PEOPLE["device_1"] <= file.highest and file.span == DAY + timedelta(days=2)
    ]
    table = tmp_path / "lake" / "readings"
    for path in table.rglob("*.parquet"):
        if str(path.relative_to(table)) not in needed:
            path.write_bytes(b"not to be read")
    session = Session(lake, consents=consents(), wearing=everybody)
    assert session.execute(text).fetchall() == [(20 + 2, 61.0)]
    assert session.files < len(session.snapshot.files)
    with pytest.raises(BadQuery):  # and without the lookup it would have read them
        Session(lake, consents=consents()).execute("SELECT count(heart_rate) FROM iot_data").fetchall()


def test_row_groups_of_others_are_left_out_within_a_sealed_file(tmp_path):
    url = str(tmp_path / "lake")
    times = [NOON.replace(hour=0) + timedelta(seconds=15 * n) for n in range(5000)]
    put(url, pa.concat_tables([rows(f"d{n}", f"{n:032x}", times, heart_rate=70.0) for n in range(40)]))
    seal(url, "org", DAY, now=NOON + timedelta(days=9))
    (fragment,) = readings_of(url, newest(url, READINGS).files).get_fragments()
    kept = fragment.subset(filter=pc.field("subject").isin([f"{3:032x}"]))
    assert (fragment.num_row_groups, kept.num_row_groups) == (-(-200_000 // ROW_GROUP), 2)  # 15,000 to 20,000


def test_consent_decides_what_each_purpose_sees(shared):
    one, two, three = (PEOPLE[f"device_{n}"] for n in (1, 2, 3))
    ledger = consents(
        (one, "care", True),
        (one, "research", True),
        (two, "care", True),
        (two, "sharing", True),
        (two, "research", False),
        (three, "care", False),
        (three, "research", True),
    )

    def who(view):
        return {s for (s,) in run(shared, f"SELECT DISTINCT subject FROM {view}", consents=ledger).rows}

    assert who("care_readings") == {one, two}
    assert who("research_readings") == {one}
    assert who("sharing_readings") == {two}
    assert {d for (d,) in run(shared, "SELECT DISTINCT device_id FROM iot_data", consents=ledger).rows} == {
        "device_1",
        "device_2",
    }
    with pytest.raises(BadQuery, match="device_id"):
        run(shared, "SELECT device_id FROM research_readings", consents=ledger)


def test_each_reading_is_there_once_in_open_and_in_sealed_days(lake):
    before = run(lake, "SELECT count(*) FROM iot_data", consents=consents()).rows
    for days in (0, 2):  # a sealed day and an open one
        times = [NOON + timedelta(days=days, minutes=m) for m in range(20)]
        again = rows("device_1", PEOPLE["device_1"], times, heart_rate=61.0, spo2=91.0, temperature=36.5)
        put(lake, again)
    assert run(lake, "SELECT count(*) FROM iot_data", consents=consents()).rows == before
    assert run(lake, "SELECT count(*) FROM readings", consents=consents()).rows[0][0] == before[0][0] + 40


def test_days_that_are_open_are_the_same_by_log_and_by_sql(shared):
    (view,) = (text for name, text in statements() if name.endswith("open_days"))
    select = view.split(" AS\n", 1)[1]
    session = Session(shared, consents=consents())
    assert session.execute(select).fetchall() == session.execute("SELECT * FROM open_days").fetchall()
    assert session.execute("SELECT * FROM open_days").fetchall() == [("org", DAY + timedelta(days=2))]


@pytest.mark.parametrize("name", named_queries())
def test_every_named_query_runs(shared, name):
    ledger = consents(*[(s, p, True) for s in PEOPLE.values() for p in ("care", "research", "sharing")])
    answer = run(shared, named_queries()[name], consents=ledger, wearing=everybody)
    assert answer.rows, name


@pytest.mark.parametrize(("name", "text"), [*statements(), *named_queries().items()])
def test_athena_can_parse_it(name, text):
    (parsed,) = sqlglot.parse(text.replace("${LAKE_URL}", "s3://bucket/lake"), read="athena")
    assert not list(parsed.find_all(exp.Command)), "sqlglot did not understand it and kept it as text"
    if name.endswith(("readings", "consents")) and name[0] in "12":
        table = parsed.find(exp.Table)
        properties = {p.name: p.args["value"].name for p in parsed.find_all(exp.Property) if p.args.get("value")}
        assert parsed.args["kind"] == "TABLE"
        assert table.name == name[2:]
        assert properties["table_type"] == "DELTA"
        assert parsed.find(exp.LocationProperty).this.name == f"s3://bucket/lake/{table.name}/"
        assert parsed.find(exp.ExternalProperty)
    elif name[0].isdigit():
        assert parsed.args["kind"] == "VIEW"
        assert parsed.this.name == name[2:]


def test_the_views_know_every_vital():
    for view in ("4_unique_readings", "5_care_readings", "6_research_readings", "7_sharing_readings"):
        text = dict(statements())[view]
        assert all(re.search(rf"\b{vital}\b", text) for vital in VITALS), view
    unique = dict(statements())["4_unique_readings"]
    assert all(unique.count(vital) >= 4 for vital in VITALS)  # twice chosen, once numbered, once compared


def test_sql_reaches_nothing_but_the_lake(shared):
    for text in (
        f"SELECT * FROM read_text('{Path(__file__)}')",
        "COPY (SELECT 1) TO '/tmp/wellrange-must-not-be-here'",
        "INSTALL httpfs",
        "ATTACH '/tmp/wellrange-must-not-be-here'",
        "SET enable_external_access = true",
    ):
        with pytest.raises(BadQuery):
            run(shared, text, consents=consents(), wearing=everybody)


@pytest.mark.parametrize(
    ("condition", "devices"),
    [
        ("(\"device_id\" = 'a')", {"a"}),
        ("\"device_id\" IN ('a', 'it''s')", {"a", "it's"}),
        ("((\"device_id\" = 'a') OR (\"device_id\" = 'b'))", {"a", "b"}),
        ("(\"device_id\" != 'a')", None),
        ("(NOT \"device_id\" = 'a')", None),
        ('(("device_id" = \'a\') OR ("heart_rate" > 3.0))', None),
        ("(\"device_id\" >= 'a')", None),
        ("(\"subject\" = 'a')", None),
        ("", None),
    ],
)
def test_only_what_admits_by_device_alone_narrows(condition, devices):
    assert devices_in(condition) == devices


def test_the_views_lie_where_the_portal_looks():
    assert (VIEWS / "8_iot_data.sql").exists()
