"""From the lake to a model: slots as the watcher has them, nights as people mean them."""

from datetime import date, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from analytics import learn, population, slots
from analytics.channels import NIGHTLY
from analytics.learn import Learner
from analytics.nights import NAMES, judge, nights
from analytics.personal import Personal
from analytics.rings import GRAINS
from analytics.slots import SLOTS_A_DAY
from analytics.versions import Models, Version
from analytics.windows import START_EDGES
from tests.analytics.readings import ALICE, NOON, batch, reading, table
from tests.ingestion.lakes import ORGANISATION, add

MIDNIGHT = NOON.replace(hour=0)
LONDON = ZoneInfo("Europe/London")
DAYS = 8


def lived(days=DAYS, every=300, ill_from=None):
    """Readings of Alice's last days before NOON's midnight."""
    draw = np.random.default_rng(3)
    rows = []
    for second in range(-days * 86_400, 0, every):
        hour = second % 86_400 // 3600
        ill = ill_from is not None and second >= ill_from
        rows.append(
            reading(
                second - 43_200,
                heart_rate=float(draw.normal(60 + 8 * (hour >= 8) + 25 * ill, 2.5)),
                respiratory_rate=float(draw.normal(15 + 6 * ill, 0.8)),
                spo2=float(draw.normal(97 - 3 * ill, 0.5)),
                skin_temperature=float(draw.normal(33.5 + ill, 0.2)),
                steps=float(draw.random() < 0.1 and hour >= 8) * 150,
            )
        )
    return rows


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    url = str(tmp_path_factory.mktemp("lake"))
    add(url, lived())
    return url


def learned(lake, **more):
    person = Learner(ORGANISATION, ALICE, **more)
    return next(iter(learn.learn(lake, [person], end=MIDNIGHT, edges=START_EDGES, judged={}, since=None)))


def test_a_person_is_learned_from_the_lake_and_judged_on_a_day_that_was_not_learned_from(lake):
    found = learned(lake)
    assert found.days == DAYS
    assert found.model.days == DAYS
    assert found.model.usual.centre[3, 0] == pytest.approx(60, abs=1.5)
    assert found.model.usual.centre[14, 0] == pytest.approx(68, abs=1.5)
    assert found.replays[""].alerts == 0
    assert found.replays[""].weeks == pytest.approx(1 / 7, abs=0.01)


def test_days_of_an_alarm_are_not_learned_from(lake):
    begin = MIDNIGHT - timedelta(days=4)
    assert learned(lake, alarms=[(begin, begin + timedelta(hours=3))]).model.days == DAYS - 3


def test_slots_of_history_are_those_that_the_watcher_sees(lake):
    rows = lived(days=2)
    history = learn.slots(table(rows), MIDNIGHT - timedelta(days=2), MIDNIGHT)
    assert len(history.hour) == 2 * SLOTS_A_DAY
    model = learned(lake).model
    layer = Personal(Models([Version("v1", {ALICE: model}, START_EDGES)]))
    layer.take(batch([*rows, reading(-43_200)]))
    expected = slots.deviations(model.usual, history)[-SLOTS_A_DAY:]
    assert np.allclose(layer.last_day(ALICE), expected, atol=1 / GRAINS, equal_nan=True)


def test_a_version_in_force_is_replayed_on_the_days_since_it_was_made(lake):
    model = learned(lake).model
    person = Learner(ORGANISATION, ALICE, events=[(MIDNIGHT - timedelta(days=1), MIDNIGHT - timedelta(hours=20))])
    judged = {"v1": ({ALICE: model}, START_EDGES)}
    since = MIDNIGHT - timedelta(days=2)
    (found,) = learn.learn(lake, [person], end=MIDNIGHT, edges=START_EDGES, judged=judged, since=since)
    assert found.replays["v1"].weeks == pytest.approx(2 / 7, abs=0.01)
    assert found.replays["v1"].found == frozenset()


@pytest.mark.parametrize("zone", [ZoneInfo("UTC"), ZoneInfo("Asia/Tokyo")])
def test_nights_are_those_of_the_persons_own_time_zone(lake, zone):
    found = nights(lake, organisation=ORGANISATION, subject=ALICE, zone=zone, last=date(2026, 2, 28), count=5)
    heart = found[:, NAMES.index("resting_heart_rate")]
    # Midnight to six in Tokyo is 15 to 21 h of UTC, when this heart beats faster.
    assert heart == pytest.approx(np.full(5, 60 if zone.key == "UTC" else 68), abs=1.5)
    assert np.isfinite(found[:, NAMES.index("steps")]).all()
    assert np.isnan(found[:, NAMES.index("glucose")]).all()


def test_two_ill_nights_are_unusual_and_say_why(tmp_path):
    add(str(tmp_path), lived(days=24, every=600, ill_from=-54 * 3600))
    channels = tuple(NIGHTLY)
    sign = np.array([NIGHTLY[c].sign for c in channels], float)
    people = population.simulated(channels, 12, 50, np.random.default_rng(1))
    shared = population.fit(list(people), channels, sign)
    values = nights(
        str(tmp_path), organisation=ORGANISATION, subject=ALICE, zone=LONDON, last=date(2026, 2, 28), count=24
    )
    tonight, before = judge(shared, values, "p1", ["watch"]), judge(shared, values[:-2], "p1")
    assert not before.unusual
    assert before.calm
    assert tonight.unusual
    assert tonight.evidence["model"] == "p1"
    shown = tonight.evidence["values"]
    assert shown["resting_heart_rate"]["value"] > shown["resting_heart_rate"]["usual_high"]
    assert shown["respiratory_rate"]["device_id"] == "watch"
    assert sum(v["share"] for v in shown.values()) == pytest.approx(1, abs=0.05)
    assert judge(shared, np.full((5, len(NAMES)), np.nan), "p1") is None
