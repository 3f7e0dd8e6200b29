"""Model files: what was written is read, small, and nothing else is taken for a model."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from analytics import population, store, train, windows
from analytics.slots import CHANNELS, SLOTS_A_DAY, Slots
from analytics.store import Card, UnreadableModel
from analytics.train import Replay
from tests.stores import lake

__all__ = ["lake"]  # a folder, and S3 over HTTP

CARD = Card("v7", "2026-03-01T02:00:00Z", "2026-02-01T00:00:00Z", "2026-03-01T00:00:00Z", 2, {"rate": 0.1})
EDGES = windows.Edges(np.full((len(windows.LENGTHS), len(CHANNELS)), 4.0), np.full(2, 3.0))


def history(days, seed=1):
    draw = np.random.default_rng(seed)
    n = days * SLOTS_A_DAY
    values = draw.normal([66, 15, 97, 33.5], [3, 1, 0.6, 0.2], (n, 4))
    return Slots(values, np.zeros(n), np.arange(n) // 12 % 24)


def test_a_model_file_gives_back_what_was_written_and_a_person_takes_less_than_4_kib(lake):
    models = {f"{i:032x}": train.fit(history(7, seed=i)) for i in range(3)}
    store.write(lake, CARD, models, EDGES)
    card, found, edges = store.read(lake, "v7")
    assert card == CARD
    assert found.keys() == models.keys()
    for subject, model in models.items():
        assert np.allclose(found[subject].usual.centre, model.usual.centre, rtol=1e-6)
        assert np.allclose(found[subject].usual.spread, model.usual.spread, rtol=1e-6)
        assert found[subject].days == 7
        assert model.nbytes() < 4096
    assert np.array_equal(edges.single, EDGES.single)
    with pytest.raises(UnreadableModel, match="again"):
        store.read(lake, "v8")


def test_other_files_are_refused_with_what_to_do(tmp_path):
    (tmp_path / "half.parquet").write_bytes(b"PAR1 and then the power failed")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    for name in ("half", "other", "none"):
        with pytest.raises(UnreadableModel, match="again"):
            store.read(str(tmp_path), name)
    (tmp_path / "p.json").write_text("{}")
    with pytest.raises(UnreadableModel, match="again"):
        store.read_population(str(tmp_path), "p.json")


def test_a_model_of_an_older_layout_is_refused_and_not_misread(tmp_path):
    """Its edges belong to other statistics."""
    store.write(str(tmp_path), CARD, {"a" * 32: train.fit(history(7))}, EDGES)
    path = tmp_path / "v7.parquet"
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"wellrange.model": b"1"}), path)
    with pytest.raises(UnreadableModel, match="train it again"):
        store.read(str(tmp_path), "v7")


def test_the_shared_part_scores_the_same_after_it_was_stored(tmp_path):
    channels = ("resting_heart_rate", "spo2")
    learned = population.from_published(channels, people=8, nights=40)
    store.write_population(str(tmp_path), "p.json", learned)
    again = store.read_population(str(tmp_path), "p.json")
    values = next(iter(population.simulated(channels, 1, 40, np.random.default_rng(3)))).values
    assert np.array_equal(population.scores(learned, values), population.scores(again, values), equal_nan=True)


def test_three_days_are_enough_and_the_page_says_how_far_learning_is():
    assert train.fit(history(2)) is None
    model = train.fit(history(4))
    assert train.learning(model.days) == "learning, night 4 of 7"
    assert train.learning(7) is None


def test_alarm_days_are_not_learned_from_but_a_change_that_stays_is():
    alarm = np.zeros(40, bool)
    alarm[5] = True
    assert np.flatnonzero(~train.learned_days(alarm)).tolist() == [4, 5, 6]
    alarm[10:40] = True
    learned = train.learned_days(alarm)
    assert not learned[9:23].any()
    assert learned[23:].all()


def test_a_version_takes_over_only_if_it_is_not_worse():
    old = Replay(1, 10.0, frozenset({0, 1}))
    assert train.verdict(Replay(1, 10.0, frozenset({0, 1, 2})), old, 0.05).promoted
    assert not train.verdict(Replay(3, 10.0, frozenset({0, 1})), old, 0.05).promoted
    assert "misses 1" in train.verdict(Replay(0, 10.0, frozenset({0})), old, 0.05).reason
    assert train.verdict(Replay(0, 10.0, frozenset()), None, 0.05).promoted


def test_a_replay_counts_what_was_found_and_what_was_for_nothing():
    model, recent = train.fit(history(7)), history(2, seed=9)
    recent.values[100:150, 0] += 40
    recent.values[500:530, 0] += 40
    result = train.replay(model, EDGES, recent, [(100, 160)])
    assert (result.found, result.alerts) == (frozenset({0}), 1)
