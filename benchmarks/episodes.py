"""What is found of the simulator's labelled illnesses, how soon, and how often somebody is alerted for nothing.

The whole path at high speed, without broker and database: simulated people and faulty devices -> packets -> the door ->
readings -> both layers of the watcher, with personal models learned from a week before. 100 people, 14 days, a watch
that reports every five minutes; a third fall ill once, a tenth has a faulty device for a day. An illness is found if an
alert opens from its start to two hours after its end; every other alert episode is false. Last: one JSON object.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from analytics import train
from analytics.episodes import Step
from analytics.layers import Layers
from analytics.learn import slots
from analytics.terms import Term, Terms
from analytics.versions import Models, Version
from analytics.windows import START_EDGES
from ingestion.door import Arrivals, Belonging, Directory, Person, directory, sort_out
from ingestion.lake import READING_SCHEMA
from simulator import people as simulated
from simulator.episodes import EFFECTS, Episode
from simulator.faults import KINDS, Fault, Faults, Sent
from simulator.people import DAY, Kit, device_id

BEGIN = datetime(2026, 3, 1, tzinfo=UTC).timestamp()
LEARNED = 7  # days before, in which everybody is well
HOURS = {"hypoxia": 1.0, "infection": 72.0, "sepsis": 18.0, "tachycardia": 2.0, "heat": 6.0, "decline": 168.0}
AFTER_S = 2 * 3600.0
APART_S = 12 * 3600.0  # alert episodes of one person at most so far apart count as one
LAYERS = {"both layers": ("",), "limits alone": ("news2", "limit:"), "personal range alone": ("personal:",)}


@dataclass(slots=True)
class Score:
    """One kind of illness: how many there were, and the delay in hours of those that were found."""

    there: int = 0
    delays: list[float] = field(default_factory=list)

    def as_json(self) -> dict[str, float | int | None]:
        delay = round(float(np.median(self.delays)), 2) if self.delays else None
        return {"there": self.there, "found": len(self.delays), "median_delay_h": delay}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer people and days")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    people, days = (12, 8) if options.quick else (100, 14)
    begun = time.monotonic()
    ill, broken = planned(people, days, options.seed)
    alerts = scored(people, days, ill, broken, options.seed)
    result = {"benchmark": "episodes", "quick": options.quick, "people": people, "days": days, "seed": options.seed}
    for name, causes in LAYERS.items():
        of_layer = [a for a in alerts if a[1].startswith(causes)]
        found, false, of_fault = judged(of_layer, ill, broken, people)
        result[name] = {
            "illnesses": {kind: score.as_json() for kind, score in found.items()},
            "false_alerts_per_user_week": round(false / (people * days / 7), 3),
            "of_these_during_a_fault": of_fault,
        }
        print(f"\n{name}: {false / (people * days / 7):.3f} false alerts per user-week, {of_fault} of them at a fault")
        print(f"{'illness':14s} {'there':>6s} {'found':>6s} {'median delay':>13s}")
        for kind, score in found.items():
            said = score.as_json()
            delay = "" if said["median_delay_h"] is None else f"{said['median_delay_h']} h"
            print(f"{kind:14s} {said['there']:6d} {said['found']:6d} {delay:>13s}")
    result["seconds"] = round(time.monotonic() - begun, 1)
    print(json.dumps(result))


def planned(people: int, days: int, seed: int) -> tuple[list[Episode], list[Fault]]:
    """Every third person falls ill once, the kinds in turn; every tenth of the others has a fault for a day."""
    draw = np.random.default_rng([seed, 7])
    first = BEGIN + LEARNED * DAY
    ill, broken = [], []
    for number in range(1, people + 1):
        if number % 3 == 0:
            kind = list(EFFECTS)[number // 3 % len(EFFECTS)]
            length = HOURS[kind] * 3600
            start = first + draw.uniform(0.5 * DAY, max(days * DAY - length - AFTER_S, 0.6 * DAY))
            ill.append(Episode(kind, number, start, start + length))
        elif number % 10 == 1:
            start = first + draw.uniform(0, (days - 1) * DAY)
            broken.append(Fault(KINDS[number // 10 % len(KINDS)], number, start, start + DAY))
    return ill, broken


def scored(
    people: int, days: int, ill: Sequence[Episode], broken: Sequence[Fault], seed: int
) -> list[tuple[int, str, float]]:
    """(person, cause, time) of everything that was opened."""
    known = door_of(people)
    subjects = {subject_of(number): number for number in range(1, people + 1)}
    history, live = [], []
    for table in readings(people, LEARNED + days, ill, broken, seed, known):
        before = (table["measured_at"].cast(pa.int64()).to_numpy() / 1e6) < BEGIN + LEARNED * DAY
        history.append(table.filter(pa.array(before)))
        live.append(table.filter(pa.array(~before)))
    layers = Layers.anew(Models([Version("v1", learned(pa.concat_tables(history), subjects), START_EDGES)]))
    layers.terms_are(Terms(Term(subject) for subject in subjects))
    opened = []
    for table in [*history[-1:], *live]:  # the last stretch of the week before fills the windows
        for step in layers.take(table, decide=True)[0]:
            if step.step == Step.OPENED and step.at.timestamp() >= BEGIN + LEARNED * DAY:
                opened.append((subjects[step.subject], step.cause, step.at.timestamp()))
    return opened


def readings(
    people: int, days: int, ill: Sequence[Episode], broken: Sequence[Fault], seed: int, known: Directory
) -> Iterator[pa.Table]:
    """What the door admits, a day at a time."""
    ward = [simulated.Person(seed, number, ill) for number in range(1, people + 1)]
    kit = Kit(watch_every=300.0)
    faulty = Faults(broken)
    for day in range(days):
        start = BEGIN + day * DAY
        packets = [p for person in ward for p in person.packets(start, start + DAY, BEGIN, kit)]
        packets.sort(key=lambda p: (p.at, p.device_id))
        yield admitted(list(faulty.send(packets)), known)


def admitted(sent: Sequence[Sent], known: Directory) -> pa.Table:
    n = len(sent)
    outcome = sort_out(
        Arrivals(
            "t",
            [s.value for s in sent],
            [s.device_id.encode() for s in sent],
            [None] * n,
            np.zeros(n, np.int32),
            np.arange(n),
            np.array([int((s.at + 1) * 1e6) for s in sent], np.int64),
        ),
        known,
    )
    return pa.Table.from_batches([outcome.admitted], READING_SCHEMA)


def learned(history: pa.Table, subjects: dict[str, int]) -> dict[str, object]:
    """A model of everybody who has one after the week."""
    begin, end = (datetime.fromtimestamp(BEGIN + d * DAY, UTC) for d in (0, LEARNED))
    found = {}
    for subject in subjects:
        rows = history.filter(pa.compute.equal(history["subject"], subject)).sort_by("measured_at")
        if (model := train.fit(slots(rows, begin, end))) is not None:
            found[subject] = model
    return found


def judged(
    alerts: Sequence[tuple[int, str, float]], ill: Sequence[Episode], broken: Sequence[Fault], people: int
) -> tuple[dict[str, Score], int, int]:
    """Scores by kind, false alert episodes, and how many of these began while a device was faulty."""
    scores = {kind: Score() for kind in EFFECTS}
    explained: set[tuple[int, float]] = set()
    for episode in ill:
        times = sorted(at for who, _, at in alerts if who == episode.person)
        inside = [at for at in times if episode.start <= at <= episode.end + AFTER_S]
        scores[episode.kind].there += 1
        explained |= {(episode.person, at) for at in inside}
        if inside:
            scores[episode.kind].delays.append((inside[0] - episode.start) / 3600)
    false = of_fault = 0
    for person in range(1, people + 1):
        times = sorted({at for who, _, at in alerts if who == person and (person, at) not in explained})
        begins = [at for at, before in zip(times, [-np.inf, *times], strict=False) if at - before > APART_S]
        false += len(begins)
        of_fault += sum(f.person == person and f.start <= at <= f.end + AFTER_S for at in begins for f in broken)
    return scores, false, of_fault


def subject_of(number: int) -> str:
    return f"{number:032x}"


def door_of(people: int) -> Directory:
    """Everybody has consented, and their devices are theirs."""
    numbers = range(1, people + 1)
    owned = [(device_id(kind, n), subject_of(n)) for n in numbers for kind in ("watch", "cuff", "thermometer")]
    persons = [Person(subject_of(n), "0" * 8, True, 1) for n in numbers]
    return directory((d for d, _ in owned), (Belonging(d, s, 0) for d, s in owned), persons)


if __name__ == "__main__":
    main()
