"""The ward: when an episode opens, worsens and ends, and that neither batches nor a restart change it."""

from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics.episodes import Level
from analytics.terms import Limit, Term, Terms
from analytics.ward import Ward
from tests.analytics.readings import ALICE, BELLA, NOON, batch, reading

MINUTE = 60


def ward(*terms: Term) -> Ward:
    made = Ward()
    made.terms_are(Terms(terms or (Term(ALICE), Term(BELLA))))
    return made


def steps(rows, *terms):
    return [(t.step, t.cause, t.level, round((t.at - NOON).total_seconds())) for t in ward(*terms).take(batch(rows))]


def every(seconds, start, stop, **vitals):
    return [reading(t, **vitals) for t in range(start, stop, seconds)]


def test_one_spike_alerts_nobody():
    rows = [*every(5, 0, 60, spo2=97), reading(60, spo2=80), *every(5, 65, 400, spo2=97)]
    assert steps(rows) == []


def test_two_spikes_with_normal_readings_between_alert_nobody():
    rows = [*every(5, 0, 60, spo2=97), reading(60, spo2=80), *every(5, 65, 95, spo2=97), reading(100, spo2=80)]
    assert steps(rows) == []


def test_a_red_value_counts_at_the_first_reading_at_least_30_s_later():
    assert steps(every(10, 0, 200, spo2=88)) == [("opened", "news2", Level.LOW_MEDIUM, 30)]
    assert steps(every(60, 0, 200, spo2=88)) == [("opened", "news2", Level.LOW_MEDIUM, 60)]
    assert steps([reading(0, spo2=88), reading(29, spo2=88)]) == []


def test_one_normal_reading_between_red_ones_does_not_start_the_wait_anew():
    rows = [reading(0, spo2=88), reading(15, spo2=97), reading(30, spo2=88)]
    assert steps(rows) == [("opened", "news2", Level.LOW_MEDIUM, 30)]


def test_a_vital_that_is_due_rarely_alerts_at_once_and_says_that_it_is_not_confirmed():
    transitions = ward().take(batch([reading(0, systolic=85.0, device="cuff")]))
    (opened,) = transitions
    assert (opened.level, opened.evidence["unconfirmed"], opened.evidence["partial"]) == (Level.LOW_MEDIUM, True, True)
    assert opened.evidence["values"]["systolic"] == {
        "value": 85.0,
        "measured_at": "2026-03-01T12:00:00Z",
        "device_id": "cuff",
        "points": 3,
    }
    due_often = Term(ALICE, due_s={"systolic": 300})
    assert steps([reading(0, systolic=85.0)], due_often) == []


def test_two_devices_give_one_score_and_one_episode_that_worsens():
    rows = []
    for t in range(0, 120, 10):
        rows.append(reading(t, device="watch", heart_rate=115))  # 2 points
        rows.append(reading(t + 1, device="oximeter", spo2=88, respiratory_rate=22))  # 3 + 2
    assert steps(rows) == [("opened", "news2", Level.HIGH, 31)]


def test_an_episode_ends_after_a_quarter_of_an_hour_without_its_cause():
    rows = every(30, 0, 120, spo2=88) + every(30, 120, 1200, spo2=97)
    opened, ended = steps(rows)
    assert opened[:2] == ("opened", "news2")
    # The second normal reading breaks the run at 150 s; the quarter of an hour runs from there.
    assert ended == ("ended", "news2", Level.LOW_MEDIUM, 150 + 15 * MINUTE)


def test_a_relapse_within_the_quarter_of_an_hour_is_the_same_episode():
    rows = every(30, 0, 120, spo2=88) + every(30, 120, 600, spo2=97) + every(30, 600, 900, spo2=88)
    assert len(steps(rows)) == 1


def test_a_value_that_is_too_old_neither_opens_nor_ends_an_episode():
    rows = every(30, 0, 120, spo2=88) + every(60, 120, 3 * 60 * MINUTE, heart_rate=70)
    assert len(steps(rows)) == 1
    fever_long_ago = [
        reading(0, temperature=39.5),
        *every(60, 13 * 60 * MINUTE, 13 * 60 * MINUTE + 300, heart_rate=115),
    ]
    assert (
        steps([*fever_long_ago, *every(60, 13 * 60 * MINUTE + 300, 13 * 60 * MINUTE + 600, respiratory_rate=18)]) == []
    )


def test_history_that_comes_late_is_never_a_page():
    assert steps([reading(t, spo2=80, late=31 * MINUTE) for t in range(0, 600, 30)]) == []
    assert len(steps([reading(t, spo2=80, late=29 * MINUTE) for t in range(0, 600, 30)])) == 1


def test_a_device_whose_clock_runs_ahead_does_not_hide_the_others():
    ahead = [reading(240, spo2=97, late=-240)]
    assert len(steps(ahead + [reading(t, spo2=85) for t in range(5, 60, 5)])) == 1


def test_the_plans_own_limits_are_causes_of_their_own():
    term = Term(ALICE, scale=0, limits={"heart_rate": Limit(50, 120, "beta blocker")})
    (low,) = ward(term).take(batch(every(30, 0, 90, heart_rate=45, spo2=80)))
    assert (low.cause, low.level) == ("limit:heart_rate:low", Level.MEDIUM)
    assert low.evidence["limit"] == 50
    assert low.evidence["reason"] == "beta blocker"
    assert low.evidence["values"]["heart_rate"]["value"] == 45


@pytest.mark.parametrize(
    "term",
    [
        Term(BELLA),
        Term(ALICE, watched_to=int(NOON.timestamp() * 1e6)),
        Term(ALICE, watched_from=int((NOON + timedelta(days=1)).timestamp() * 1e6)),
        Term(ALICE, paused_from=int((NOON - timedelta(days=1)).timestamp() * 1e6)),
        Term(ALICE, valid_to=int(NOON.timestamp() * 1e6)),
        Term(ALICE, scale=0),
    ],
    ids=["no plan", "ended", "not started", "paused", "older version", "NEWS2 off, no limits"],
)
def test_nobody_is_alerted_outside_of_a_plan(term):
    assert steps(every(30, 0, 300, spo2=80), term) == []


def test_the_plan_in_force_when_a_reading_was_received_decides():
    change = int((NOON + timedelta(seconds=300)).timestamp() * 1e6)
    strict = Term(ALICE, scale=0, valid_to=change, limits={"heart_rate": Limit(None, 100, "strict")})
    lax = Term(ALICE, scale=0, valid_from=change, limits={"heart_rate": Limit(None, 150, "lax")})
    assert len(steps(every(30, 0, 200, heart_rate=110), strict, lax)) == 1
    assert steps(every(30, 400, 700, heart_rate=110), strict, lax) == []


def test_scale_2_does_not_alert_on_the_saturation_it_aims_at():
    assert steps(every(30, 0, 300, spo2=89), Term(ALICE, scale=2)) == []


vital = st.fixed_dictionaries(
    {},
    optional={
        "spo2": st.sampled_from([97.0, 94.0, 90.0, 85.0]),
        "heart_rate": st.sampled_from([70.0, 115.0, 135.0]),
        "respiratory_rate": st.sampled_from([16.0, 22.0, 26.0]),
        "systolic": st.sampled_from([120.0, 85.0]),
        "consciousness": st.sampled_from(["A", "V"]),
    },
)


@st.composite
def streams(draw):
    rows, t = [], 0
    for _ in range(draw(st.integers(1, 60))):
        t += draw(st.sampled_from([1, 10, 31, 120, 1000]))
        jitter = draw(st.sampled_from([0, 0, 0, -20, 40]))
        who = draw(st.sampled_from([ALICE, BELLA]))
        rows.append(reading(t + jitter, who, late=max(0, -jitter), device=draw(st.sampled_from("xy")), **draw(vital)))
    return rows


TERMS = Terms([Term(ALICE, limits={"heart_rate": Limit(None, 130, "r")}), Term(BELLA)])


def run(batches, made=None):
    made = made or ward()
    made.terms_are(TERMS)
    return [t for rows in batches for t in made.take(batch(rows))]


@settings(max_examples=60)
@given(streams(), st.data())
def test_any_batching_gives_the_same_steps(rows, data):
    cuts = sorted(data.draw(st.lists(st.integers(0, len(rows)), max_size=8)))
    batches = [rows[a:b] for a, b in zip([0, *cuts], [*cuts, len(rows)], strict=True)]
    assert run(batches) == run([rows])


@settings(max_examples=60)
@given(streams(), st.data())
def test_a_restart_from_any_checkpoint_gives_the_rest_of_the_steps_and_no_other(rows, data):
    """Checkpoint at `kept`, decided up to `decided`, killed; the episodes come from the database."""
    kept, decided = sorted(data.draw(st.tuples(st.integers(0, len(rows)), st.integers(0, len(rows)))))
    whole = run([rows])

    first = ward()
    done = run([rows[:kept]], first)
    packed = first.packed()
    done += run([rows[kept:decided]], first)
    episodes = {}
    for t in done:
        episodes[t.subject, t.cause] = 0 if t.step == "ended" else t.level

    again = Ward.unpacked(packed)
    again.terms_are(TERMS)
    again.open_episodes_are((s, c, level) for (s, c), level in episodes.items() if level)
    assert again.take(batch(rows[kept:decided]), decide=False) == []
    assert done + again.take(batch(rows[decided:])) == whole


@settings(max_examples=30)
@given(streams(), st.data())
def test_any_number_of_restarts_with_any_replay_and_any_batches_gives_the_same_steps(rows, data):
    """Also from no checkpoint at all, and across a change of plan: each life reads again what was decided before it."""
    change = int((NOON + timedelta(seconds=data.draw(st.integers(0, 2000)))).timestamp() * 1e6)
    before, after = {"heart_rate": Limit(None, 130, "r")}, {"heart_rate": Limit(75, None, "s")}
    terms = Terms(
        [
            Term(ALICE, valid_to=change, limits=before),
            Term(ALICE, valid_from=change, scale=2, limits=after),
            Term(BELLA),
        ]
    )

    def take(made, start, end, *, decide=True):
        cuts = sorted(data.draw(st.lists(st.integers(start, end), max_size=3)))
        batches = zip([start, *cuts], [*cuts, end], strict=True)
        return [t for a, b in batches for t in made.take(batch(rows[a:b]), decide=decide)]

    def ward_of(packed, episodes):
        made = Ward.unpacked(packed) if packed else Ward()
        made.terms_are(terms)
        made.open_episodes_are((s, c, level) for (s, c), level in episodes.items() if level)
        return made

    whole = ward_of(None, {}).take(batch(rows))
    decided, done, episodes, checkpoints = 0, [], {}, [(0, None)]
    for life in range(data.draw(st.integers(1, 4)), 0, -1):
        kept, packed = data.draw(st.sampled_from(checkpoints))
        made = ward_of(packed, episodes)
        assert take(made, kept, decided, decide=False) == []
        end = len(rows) if life == 1 else data.draw(st.integers(decided, len(rows)))
        steps = take(made, decided, end)
        done += steps
        episodes |= {(t.subject, t.cause): 0 if t.step == "ended" else t.level for t in steps}
        decided = end
        checkpoints.append((end, made.packed()))
    assert done == whole


@settings(max_examples=30)
@given(streams(), st.data())
def test_readings_that_come_twice_change_nothing(rows, data):
    """A door that is at-least-once says a stretch again after a crash."""
    start = data.draw(st.integers(0, len(rows)))
    end = data.draw(st.integers(start, len(rows)))
    assert run([rows[:end], rows[start:end], rows[end:]]) == run([rows])


def test_windows_of_another_layout_are_not_taken():
    import analytics.ward as module

    packed = ward().packed()
    layout = module._LAYOUT
    try:
        module._LAYOUT = "0:" + layout
        assert Ward.unpacked(packed) is None
    finally:
        module._LAYOUT = layout
