"""Sealing and tidying change how rows lie, never which: whatever else happens meanwhile, and whoever is killed."""

import os
import signal
import threading
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import pytest

from ingestion.lake import files, open_readings, position
from ingestion.lake import tidy as tidying
from ingestion.lake.files import Changed
from ingestion.lake.seal import AT_LATEST, QUIET, due, seal
from ingestion.lake.tables import READINGS, SUMMARIES, newest
from ingestion.lake.tidy import DAYS_APART, FILES_AT_MOST, keep_house, tidy
from tests.analytics.readings import ALICE, BELLA, NOON, reading
from tests.ingestion.lakes import ORGANISATION, add, recount, summaries, values
from tests.servers.forked import Forked

DAY = NOON.date()
LATER = NOON + timedelta(days=2)
MINUTES = [reading(60 * n, heart_rate=60 + n % 9) for n in range(40)]


def seal_day(lake: str, **more):
    return seal(lake, ORGANISATION, DAY, now=LATER, **more)


def files_of(lake: str, day=DAY):
    return newest(lake, READINGS).partition(ORGANISATION, day)


def test_a_sealed_day_is_one_sorted_file_with_each_reading_once(lake):
    add(lake, MINUTES[20:])
    add(lake, [reading(0, BELLA, temperature=36.6)], partition=1)
    add(lake, MINUTES[:30])
    assert seal_day(lake).doubles == 10
    (file,) = files_of(lake)
    assert file.sealed
    assert file.rows == 41
    assert (file.lowest, file.highest) == (ALICE, BELLA)
    assert file.first == NOON
    rows = open_readings(lake).to_pyarrow_table()
    keys = list(zip(rows["subject"].to_pylist(), rows["measured_at"].to_pylist(), strict=True))
    assert keys == sorted(keys)
    assert summaries(lake) == recount(MINUTES)
    assert summaries(lake, BELLA, "temperature")[NOON]["total"] == 36.6
    assert seal_day(lake).doubles == 0
    assert files_of(lake) == [file]


def test_a_day_is_due_once_it_has_ended_and_is_quiet_and_again_after_late_rows(lake):
    add(lake, MINUTES)
    added = files_of(lake)[0].added
    assert due(lake, now=NOON + timedelta(hours=11)) == []
    assert due(lake, now=added + QUIET - timedelta(seconds=1)) == []
    assert due(lake, now=added + QUIET - timedelta(seconds=1), wait=False) == [(ORGANISATION, DAY)]
    assert due(lake, now=added + QUIET) == [(ORGANISATION, DAY)]
    seal_day(lake)
    assert due(lake, now=added + 2 * AT_LATEST) == []
    add(lake, [reading(30, heart_rate=50)])
    assert due(lake, now=datetime.now(UTC) + AT_LATEST) == [(ORGANISATION, DAY)]
    seal_day(lake)
    assert summaries(lake) == recount([*MINUTES, reading(30, heart_rate=50)])


@pytest.mark.parametrize("point", ["seal_written", "seal_summarised", "seal_committed"])
class TestMeanwhile:
    """At each step of a sealing task something else happens; the task is then at the mercy of what it finds."""

    def test_rows_are_appended(self, lake, point):
        add(lake, MINUTES[:20])
        seal_day(lake, crash_point=once(point, lambda: add(lake, MINUTES[20:])))
        assert values(lake) == [row["heart_rate"] for row in MINUTES]
        assert [f.rows for f in files_of(lake) if not f.sealed] == [20]
        seal_day(lake)
        assert all(f.sealed for f in files_of(lake))
        assert summaries(lake) == recount(MINUTES)

    def test_another_task_seals_the_same_day_with_rows_that_came_since(self, lake, point):
        def other() -> None:
            add(lake, MINUTES[20:])
            seal_day(lake)

        add(lake, MINUTES[:20])
        seal_day(lake, crash_point=once(point, other))
        assert values(lake) == [row["heart_rate"] for row in MINUTES]
        assert [(f.rows, f.sealed) for f in files_of(lake)] == [(40, True)]
        assert summaries(lake) == recount(MINUTES)

    def test_another_task_seals_another_day(self, lake, point):
        yesterday = [reading(-86400 + 60 * n, heart_rate=70) for n in range(20)]
        add(lake, [*yesterday, *MINUTES])
        other = once(point, lambda: seal(lake, ORGANISATION, DAY - timedelta(days=1), now=LATER))
        seal_day(lake, crash_point=other)
        assert [f.sealed for f in newest(lake, READINGS).files] == [True, True]
        assert summaries(lake) == recount([*yesterday, *MINUTES])

    def test_a_person_is_erased(self, lake, point):
        add(lake, [*MINUTES, reading(0, BELLA, heart_rate=99)])
        seal_day(lake, crash_point=once(point, lambda: open_readings(lake).delete(f"subject = '{BELLA}'")))
        assert values(lake, BELLA) == []
        assert values(lake) == [row["heart_rate"] for row in MINUTES]

    def test_the_process_is_killed(self, lake, point):
        add(lake, MINUTES[:30])
        add(lake, MINUTES[20:])
        assert Forked(seal_until, (lake, point)).wait() == -signal.SIGKILL
        assert values(lake) == [row["heart_rate"] for row in MINUTES]
        seal_day(lake)
        assert values(lake) == [row["heart_rate"] for row in MINUTES]
        assert [(f.rows, f.sealed) for f in files_of(lake)] == [(40, True)]
        assert summaries(lake) == recount(MINUTES)


def seal_until(lake: str, point: str) -> None:
    """Seal the day, in a process of its own, that is killed at this point."""
    seal_day(lake, crash_point=lambda name: os.kill(os.getpid(), signal.SIGKILL) if name == point else None)


def once(point: str, act):
    """A crash point at which something else happens, the first time only."""
    left = [point]

    def at(name: str) -> None:
        if name in left:
            left.remove(name)
            act()

    return at


def test_archiving_sealing_and_tidying_at_once_lose_and_double_nothing(lake):
    """Four archive tasks, two sealing and one tidying the same two days, all at their own pace."""
    add(lake, [])
    days = (NOON, NOON - timedelta(days=1))
    parts = {
        p: [reading(60 * (10 * n + p) - 86400 * (n % 2), heart_rate=60 + n % 7) for n in range(24)] for p in range(4)
    }
    failed: list[BaseException] = []
    writing = threading.Event()

    def guarded(act, *arguments) -> threading.Thread:
        def run() -> None:
            try:
                act(*arguments)
            except BaseException as error:
                failed.append(error)

        return threading.Thread(target=run)

    def archive(partition: int) -> None:
        for begin in range(0, 24, 4):
            rows = parts[partition][begin : begin + 4]
            add(lake, [*rows, *rows[:1]], partition)  # the first one twice

    def keep(act) -> None:
        while not writing.is_set():
            act()

    def seal_both() -> None:
        for day in days:
            try:
                seal(lake, ORGANISATION, day.date(), now=LATER)
            except Changed:
                continue

    archivers = [guarded(archive, p) for p in parts]
    keepers = [guarded(keep, act) for act in (seal_both, seal_both, lambda: tidy(lake, now=NOON - timedelta(days=2)))]
    for thread in (*archivers, *keepers):
        thread.start()
    for thread in archivers:
        thread.join()
    writing.set()
    for thread in keepers:
        thread.join()
    assert failed == []
    everything = sorted((row for rows in parts.values() for row in rows), key=lambda row: row["measured_at"])
    assert values(lake) == [row["heart_rate"] for row in everything]
    seal_both()
    assert values(lake) == [row["heart_rate"] for row in everything]
    assert summaries(lake) == recount(everything)
    assert [position(open_readings(lake), "t", p) for p in parts] == [30] * 4


def test_positions_outlive_sealing_checkpoints_and_a_cleaned_log(tmp_path):
    lake = str(tmp_path)
    add(lake, MINUTES[:20])
    add(lake, MINUTES[:9], partition=5)
    seal_day(lake)
    for n in range(FILES_AT_MOST + 1):
        add(lake, [reading(86400 + n, heart_rate=60)])
    tidy(lake, now=NOON + timedelta(days=1))
    log = tmp_path / "readings" / "_delta_log"
    for entry in log.glob("*.json"):
        os.utime(entry, (0, 0))
    before = len(list(log.glob("*.json")))
    removed = keep_house(lake, now=LATER, summaries_kept=timedelta(days=400), kept=timedelta())
    assert len(list(log.glob("*.json"))) < before
    assert removed >= 2 + FILES_AT_MOST
    table = open_readings(lake)
    assert position(table, "t", 0) == 20 + FILES_AT_MOST + 1
    assert position(table, "t", 5) == 9
    assert values(lake) == [row["heart_rate"] for row in MINUTES[:20]] + [60] * (FILES_AT_MOST + 1)
    add(lake, MINUTES[20:])
    assert position(open_readings(lake), "t", 0) == 49


def test_what_a_killed_task_left_behind_is_removed_and_nothing_else(tmp_path):
    lake = str(tmp_path)
    add(lake, MINUTES)
    left = tmp_path / "readings" / f"organisation={ORGANISATION}" / f"day={DAY}" / "part-of-a-killed-task.parquet"
    left.write_bytes(b"half a file")
    assert keep_house(lake, now=LATER, summaries_kept=timedelta(days=400)) == 0  # it may still be being written
    os.utime(left, (0, 0))
    assert keep_house(lake, now=LATER, summaries_kept=timedelta(days=400)) == 1
    assert not left.exists()
    assert values(lake) == [row["heart_rate"] for row in MINUTES]


class TestFiles:
    def test_the_current_day_is_kept_to_few_files_while_it_is_written(self, lake):
        for n in range(FILES_AT_MOST + 3):
            add(lake, MINUTES[2 * n : 2 * n + 2])
            tidy(lake, now=NOON)
            assert len(files_of(lake)) <= FILES_AT_MOST
        assert values(lake) == [row["heart_rate"] for row in MINUTES[: 2 * FILES_AT_MOST + 6]]

    def test_a_long_day_has_few_files_of_each_size_and_a_row_is_written_few_times(self, tmp_path, monkeypatch):
        monkeypatch.setattr(tidying, "RUN", 10)
        lake, written, seen = str(tmp_path), 0, set()
        for n in range(100):
            add(lake, [reading(20 * n, heart_rate=60), reading(20 * n + 10, BELLA, heart_rate=70)])
            if n % 5 == 4:
                tidy(lake, now=NOON)
            new = {f.path: f.rows for f in files_of(lake) if f.path not in seen}
            written += sum(new.values())
            seen |= new.keys()
        assert len(files_of(lake)) <= 2 * FILES_AT_MOST + 5
        assert written <= 4 * 200
        assert len(values(lake)) == len(values(lake, BELLA)) == 100
        assert seal_day(lake).doubles == 0
        assert summaries(lake)[NOON]["count"] == 45

    def test_what_comes_late_is_kept_to_few_files_too_and_waits_no_longer_to_be_sealed(self, lake):
        add(lake, MINUTES)
        seal_day(lake)
        (sealed,) = files_of(lake)
        late = [reading(60 * n + 30, heart_rate=90 + n) for n in range(FILES_AT_MOST + 2)]
        for row in late:
            add(lake, [row])
        since = min(f.added for f in files_of(lake) if not f.sealed)
        assert tidy(lake, now=LATER).days == 1
        assert sealed in files_of(lake)
        (merged,) = (f for f in files_of(lake) if not f.sealed)
        assert (merged.rows, merged.added) == (len(late), since)
        assert due(lake, now=since + AT_LATEST) == [(ORGANISATION, DAY)]
        assert seal_day(lake).doubles == 0
        assert summaries(lake) == recount([*MINUTES, *late])

    def test_a_large_day_is_cut_into_files_of_the_target_size(self, tmp_path, monkeypatch):
        monkeypatch.setattr(files, "FILE_BYTES", 40_000)
        monkeypatch.setattr(files, "ROWS_AT_ONCE", 1_500)
        people = [f"{n * 4096 + 77:04x}" * 8 for n in range(16)]
        rows = [
            reading(7 * n, person, device=person, heart_rate=60 + n * n % 40, source_offset=n * 7919 % 65521)
            for person in people
            for n in range(1500)
        ]
        lake = str(tmp_path)
        add(lake, rows)
        seal_day(lake)
        found = sorted(files_of(lake), key=lambda f: f.lowest)
        assert len(found) > 2
        assert all(40_000 <= f.size < 80_000 for f in found[:-1])
        assert all(a.highest < b.lowest for a, b in pairwise(found)), "a person is split over two"
        assert sum(f.rows for f in found) == len(rows)
        assert summaries(lake, people[3]) == recount(r for r in rows if r["subject"] == people[3])

    def test_a_month_of_summaries_is_merged_and_can_still_be_corrected(self, lake):
        rows = [reading(86400 * day + 60 * n, heart_rate=60 + n) for day in range(DAYS_APART + 2) for n in range(5)]
        add(lake, rows)
        for organisation, day in due(lake, now=LATER + timedelta(days=30), wait=False):
            seal(lake, organisation, day, now=LATER)
        month = (ORGANISATION, DAY.replace(day=1))
        assert len(newest(lake, SUMMARIES).by_partition[month]) == DAYS_APART + 2
        assert tidy(lake, now=LATER).months == 1
        assert len(newest(lake, SUMMARIES).by_partition[month]) == 1
        assert summaries(lake) == recount(rows)
        late = reading(86400 * 3 + 30, heart_rate=200)
        add(lake, [late])
        seal(lake, ORGANISATION, late["measured_at"].date(), now=LATER)
        assert summaries(lake) == recount([*rows, late])

    def test_a_month_that_takes_several_files_is_merged_once(self, lake, monkeypatch):
        """Files that share the people out are not too many; files that lie over one another are."""
        monkeypatch.setattr(files, "FILE_BYTES", 500)
        monkeypatch.setattr(tidying, "RUN", 10)
        people = [f"{n * 4096 + 77:04x}" * 8 for n in range(16)]
        rows = [
            reading(86400 * day + 900 * n, who, device=who, heart_rate=60 + n)
            for day in range(DAYS_APART + 2)
            for who in people
            for n in range(2)
        ]
        add(lake, rows)
        for organisation, day in due(lake, now=LATER + timedelta(days=30), wait=False):
            seal(lake, organisation, day, now=LATER)
        month = (ORGANISATION, DAY.replace(day=1))
        assert len(newest(lake, SUMMARIES).by_partition[month]) == DAYS_APART + 2
        assert tidy(lake, now=LATER).months == 1
        assert len(newest(lake, SUMMARIES).by_partition[month]) > 1
        assert tidy(lake, now=LATER + timedelta(days=900)).months == 0
        assert summaries(lake, people[3]) == recount(r for r in rows if r["subject"] == people[3])

    def test_summaries_end_when_they_are_no_longer_kept(self, lake):
        add(lake, MINUTES)
        seal_day(lake)
        keep_house(lake, now=NOON + timedelta(days=99), summaries_kept=timedelta(days=90))
        assert summaries(lake) == recount(MINUTES)  # a month goes as a whole, once all of it is too old
        keep_house(lake, now=NOON + timedelta(days=125), summaries_kept=timedelta(days=90))
        assert summaries(lake) == {}
        assert values(lake) == [row["heart_rate"] for row in MINUTES]
