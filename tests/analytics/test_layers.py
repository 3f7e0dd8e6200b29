"""Both layers together: whatever a personal model or a tag does, the absolute limits decide as they would alone."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics import windows
from analytics.batch import batch_of
from analytics.layers import Layers
from analytics.personal import Tag
from analytics.slots import CHANNELS
from analytics.terms import Limit, Term, Terms
from analytics.versions import Models, Version
from analytics.ward import CAUSE, Ward
from analytics.windows import Edges
from tests.analytics.readings import ALICE, BELLA, NOON, reading, table
from tests.analytics.test_personal import days

TERMS = Terms(
    [
        Term(ALICE, limits={"heart_rate": Limit(45, 125, "new medicine")}),
        Term(BELLA, paused_from=int((NOON.timestamp() + 7200) * 1e6)),
    ]
)
ALWAYS_ILL = Tag("ill", 0, 2**62)


@pytest.fixture(scope="module")
def model():
    return windows.fit(days(14))


@st.composite
def streams(draw):
    """Readings of two people: silences, walks, artefacts, values that the limits and NEWS2 know, and late ones."""
    noise = np.random.default_rng(draw(st.integers(0, 10**6)))
    rows, at = [], 0.0
    for i in range(draw(st.integers(1, 90))):
        at += draw(st.sampled_from([20, 60, 300, 300, 900, 9000]))
        ill = noise.random() < 0.5
        values = noise.normal([132 if ill else 68, 26 if ill else 15, 88 if ill else 97, 33.5], [3, 1, 0.6, 0.2])
        vitals = {n: float(v) for n, v in zip(CHANNELS, values, strict=True) if noise.random() > 0.2}
        if noise.random() < 0.1:
            vitals["steps"] = 200.0
        who = ALICE if noise.random() < 0.7 else BELLA
        late = 3600 if noise.random() < 0.05 else 0
        rows.append(reading(at + i / 100, who, late=late, **vitals))
    return table(rows)


@st.composite
def anything_personal(draw, model):
    """Models from deaf to alerting at everything, perhaps none, and tags that may explain all of it."""
    height = draw(st.sampled_from([0.01, 1.0, 100.0]))
    edges = Edges(np.full((len(windows.LENGTHS), len(CHANNELS)), height), np.full(2, height))
    shift = draw(st.sampled_from([0.0, 60.0]))  # a model that takes illness for usual
    usual = replace(model.usual, centre=model.usual.centre + np.array([1, 0.2, -1 / 6, 0]) * shift)
    versions = [Version("v", {ALICE: replace(model, usual=usual), BELLA: model}, edges)]
    tags = {ALICE: [ALWAYS_ILL]} if draw(st.booleans()) else {}
    return Models(draw(st.sampled_from([versions, []]))), tags


def layers_of(models, tags):
    layers = Layers.anew(models)
    layers.terms_are(TERMS)
    layers.personal.tags_are(tags)
    return layers


@settings(max_examples=40, deadline=None)
@given(streams(), st.data())
def test_no_personal_model_and_no_tag_can_silence_an_absolute_limit(model, readings, data):
    alone = Ward()
    alone.terms_are(TERMS)
    together = layers_of(*data.draw(anything_personal(model))).take(readings)[0]
    assert [t for t in together if t.cause in CAUSE] == alone.take(batch_of(readings))


@settings(max_examples=30, deadline=None)
@given(streams(), st.data())
def test_both_layers_give_the_same_steps_in_any_batching(model, readings, data):
    models, tags = data.draw(anything_personal(model))
    n = readings.num_rows
    cuts = sorted(data.draw(st.lists(st.integers(0, n), max_size=5)))
    layers, found = layers_of(models, tags), []
    for a, b in zip([0, *cuts], [*cuts, n], strict=True):
        found += layers.take(readings.slice(a, b - a))[0]
    whole = layers_of(models, tags).take(readings)[0]

    def of(steps, personal):
        return [t for t in steps if t.cause.startswith("personal:") == personal]

    for personal in (False, True):
        assert of(found, personal) == of(whole, personal)


def test_the_property_is_not_empty(model):
    """Alice's limit, NEWS2 and her personal range all open on the same illness."""
    rows = [
        reading(i * 60, heart_rate=132.0 if i > 90 else 66.0, spo2=97.0, respiratory_rate=15.0, skin_temperature=33.5)
        for i in range(150)
    ]
    edges = Edges(np.full((len(windows.LENGTHS), len(CHANNELS)), 4.0), np.full(2, 4.0))
    steps, _ = layers_of(Models([Version("v", {ALICE: model}, edges)]), {}).take(table(rows))
    assert {"news2", "limit:heart_rate:high", "personal:heart_rate:high"} <= {t.cause for t in steps}
