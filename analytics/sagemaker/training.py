"""Training: `input/data/training/*.parquet` in, one model file and its card in `model/` out."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc

from analytics import store
from analytics import train as training
from analytics.learn import LEARNED, Learned, card_of, held_out, measured_days, slots
from analytics.sagemaker.places import BadInput, hyperparameters, machine, people
from analytics.train import together, verdict
from analytics.windows import START_EDGES

BUDGET = 0.5  # false alerts a week and person


def train(root: Path, now: datetime) -> Path:
    """Train everybody in the input; the model file. Hyperparameters: `version` (a name), `end` (RFC 3339; by default
    the midnight after the newest reading) and `budget`. Raises BadInput."""
    settings, here = hyperparameters(root), machine(root)
    given = dict(people(root / "input" / "data" / "training"))
    end = _end(settings.get("end"), max(pc.max(rows["measured_at"]).as_py() for rows in given.values()))
    learned: list[Learned] = []
    for subject, rows in given.items():
        history = slots(rows, end - LEARNED, end)
        replay = held_out(history, START_EDGES)
        replays = {"": replay} if replay is not None else {}
        learned.append(Learned(subject, training.fit(history), measured_days(history), replays))
    known = {one.subject: one.model for one in learned if one.model is not None}
    if not known:
        raise BadInput(f"Nobody has {training.LEAST_DAYS} days of readings before {end:%Y-%m-%d}: export more history")
    found = together({one.subject: one.replays[""] for one in learned if "" in one.replays})
    decided = verdict(found, None, float(settings.get("budget", BUDGET)))
    metrics = {
        "false_alerts_a_week": round(found.rate, 3),
        "alerts": found.alerts,
        "weeks": round(found.weeks, 2),
        "may_be_promoted": float(decided.promoted),
    }
    version = f"{settings.get('version', f'{now.astimezone(UTC):%Y%m%dT%H%M%S}')}-{here.number}"
    card = card_of(version, now, end, learned, metrics)
    store.write(str(root / "model"), card, known, START_EDGES)
    return root / "model" / f"{version}.parquet"


def _end(text: str | None, newest: datetime) -> datetime:
    if text is not None:
        try:
            end = datetime.fromisoformat(text)
        except ValueError as error:
            raise BadInput("“end” is not a time: write it as 2026-03-01T00:00:00Z") from error
        if end.tzinfo is None or end.astimezone(UTC).time().replace(tzinfo=None) != datetime.min.time():
            raise BadInput("“end” must be a midnight of UTC: write it as 2026-03-01T00:00:00Z")
        return end.astimezone(UTC)
    return newest.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
