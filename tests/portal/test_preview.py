"""What would have fired: asked on the plan's page, worked out from the lake, shown beside what is in force."""

from datetime import datetime, timedelta

import pyarrow as pa
import pytest

from ingestion.lake import READING_SCHEMA, append
from ingestion.lake import open_readings as opened
from portal.alerts.models import Response
from portal.monitoring.models import Plan, Preview
from portal.monitoring.tasks import preview_make
from tests.portal.conftest import NOW
from tests.portal.test_burden import raise_alert
from tests.portal.test_care import plan_form


@pytest.fixture
def lake(cast, tmp_path, settings):
    """Two days of Alice's heart rate, with an hour at 118 in the middle."""
    settings.LAKE_URL = str(tmp_path / "lake")
    begin = int((NOW - timedelta(days=2)).timestamp())
    times = [datetime.fromtimestamp(begin + 60 * n, NOW.tzinfo) for n in range(2 * 1440)]
    count = len(times)
    columns = {f.name: pa.nulls(count, f.type) for f in READING_SCHEMA}
    columns |= {
        "organisation": pa.array([cast.organisation.key] * count),
        "subject": pa.array([cast.patient.subject] * count),
        "measured_at": pa.array(times, pa.timestamp("us", "UTC")),
        "received_at": pa.array(times, pa.timestamp("us", "UTC")),
        "offset_minutes": pa.array([0] * count, pa.int16()),
        "device_id": pa.array(["watch-alice"] * count),
        "record_id": pa.array([str(n) for n in range(count)]),
        "heart_rate": pa.array([118.0 if 1440 <= n < 1500 else 70.0 for n in range(count)]),
        "consent_sequence": pa.array([1] * count),
        "source_topic": pa.array(["t"] * count),
        "source_partition": pa.array([0] * count, pa.int32()),
        "source_offset": pa.array(range(count)),
    }
    table = pa.table([columns[f.name] for f in READING_SCHEMA], schema=READING_SCHEMA)
    append(opened(settings.LAKE_URL), table, topic_id="t", begin={0: 0}, end={0: count})
    return times[1440]


@pytest.mark.django_db(transaction=True)
def test_a_lower_limit_is_tried_before_it_is_in_force(cast, lake, settings):
    settings.CELERY_TASK_ALWAYS_EAGER = True
    alert = raise_alert(cast, "news2", now=lake)
    Response.objects.create(
        alert=alert, by=cast.bob, at=lake, called="patient", reached=True, advice="x", outcome="advice", useful=True
    )
    page, client = f"/patients/{cast.patient.pk}/plan/", cast.client("bob")
    asked = client.post(page, plan_form(cast, action="preview", high_heart_rate="110", news2="off"))
    assert asked.status_code == 302
    preview_make(preview=Preview.objects.get().pk)
    result = Preview.objects.get().result
    assert result["before"]["causes"] == {}
    assert result["after"]["causes"] == {"limit:heart_rate:high": 1}
    assert (result["known"], len(result["before"]["missed"]), len(result["after"]["missed"])) == (1, 1, 0)
    shown = client.get(asked.url)
    assert "Heart rate too high" in shown.content.decode()
    assert Plan.objects.filter(in_force_to__isnull=True).get().version == 1
    assert client.post(page, {**Preview.objects.get().form, "action": "write"}).status_code == 302
    assert Plan.objects.get(in_force_to__isnull=True).limits.get().high == 110


def test_nobody_else_sees_it(cast, lake):
    preview = Preview.objects.create(patient=cast.patient, asked_by=cast.bob, asked_at=NOW, draft={}, form={})
    page = f"/patients/{cast.patient.pk}/plan/preview/{preview.pk}/"
    assert "Replaying" in cast.client("bob").get(page).content.decode()
    assert cast.client("charlie").get(page).status_code == 404
    assert cast.client("alice").get(page).status_code == 403
