"""After a crash the watcher may say again what it has said: the database must come out the same."""

from datetime import timedelta

from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from analytics.episodes import Level, Step
from portal.alerts.models import Alert, AlertEvent, Episode, Message
from portal.alerts.services import transitions_apply
from portal.people.models import Change
from tests.portal.conftest import NOW, hypoxia, make_cast

CAUSES = ("news2", "limit:systolic:high")


@st.composite
def histories(draw):
    """Steps as a watcher says them, for two causes at once: opened, worsened any number of times, ended, again."""
    levels, steps = dict.fromkeys(CAUSES, Level.NONE), []
    for minute in range(draw(st.integers(1, 10))):
        cause = draw(st.sampled_from(CAUSES))
        before = levels[cause]
        worse = [level for level in (Level.LOW_MEDIUM, Level.MEDIUM, Level.HIGH) if level > before]
        levels[cause] = draw(st.sampled_from([*worse, Level.NONE] if before else worse))
        step = Step.ENDED if not levels[cause] else Step.WORSENED if before else Step.OPENED
        steps.append((cause, step, levels[cause] or before, NOW + timedelta(minutes=minute)))
    return steps


def say(patient, steps):
    with transaction.atomic():
        transitions_apply(
            [hypoxia(patient, cause=cause, step=step, level=level, at=at) for cause, step, level, at in steps], now=NOW
        )


def state():
    """Everything that transitions write, without primary keys."""
    return (
        list(Episode.objects.order_by("began_at", "cause").values_list("cause", "level", "began_at", "ended_at")),
        sorted(Alert.objects.values_list("episode__began_at", "state")),
        list(AlertEvent.objects.order_by("pk").values_list("alert__episode__began_at", "kind", "level")),
        sorted(Message.objects.values_list("event__kind", "recipient__username")),
        list(Change.objects.order_by("sequence").values_list("sequence", "kind", "what")),
    )


class Replays(TestCase):
    @settings(max_examples=30, suppress_health_check=[HealthCheck.too_slow])
    @given(histories(), st.data())
    def test_a_history_said_again_from_anywhere_leaves_the_same_state(self, steps, data):
        patient = make_cast().patient
        say(patient, steps)
        once = state()
        start = data.draw(st.integers(0, len(steps) - 1))
        end = data.draw(st.integers(start + 1, len(steps)))
        say(patient, steps[start:end])
        assert state() == once

        last = {cause: (step, level) for cause, step, level, _ in steps}
        still_open = {e.cause: e.level for e in Episode.objects.filter(ended_at__isnull=True)}
        assert still_open == {cause: level for cause, (step, level) in last.items() if step != Step.ENDED}
        assert Episode.objects.count() == sum(step == Step.OPENED for _, step, _, _ in steps)
