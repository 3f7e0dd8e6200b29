"""A personal model of Alice, made without a lake."""

import numpy as np

from analytics import windows
from analytics.slots import SLOTS_A_DAY, Slots
from analytics.store import Card
from analytics.windows import START_EDGES
from portal.personal.shares import share_of
from portal.personal.versions import version_make

USUAL, NOISE = [66.0, 15.0, 97.0, 33.5], [2.5, 0.8, 0.5, 0.2]


def made(cast, name, edges=START_EDGES):
    draw, n = np.random.default_rng(1), 14 * SLOTS_A_DAY
    model = windows.fit(Slots(draw.normal(USUAL, NOISE, (n, 4)), np.zeros(n), np.arange(n) // 12 % 24))
    at = "2026-03-01T00:00:00Z"
    card = Card(name, at, at, at, 1, {})
    share = share_of(cast.patient.subject)
    return version_make(share=share, card=card, models={cast.patient.subject: model}, edges=edges)
