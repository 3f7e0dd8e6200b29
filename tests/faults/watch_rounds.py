"""What happens to watchers and to Redis, and the patients whose readings get worse meanwhile."""

import os
import signal
import time
from collections import Counter
from collections.abc import Collection, Sequence

from django.conf import settings

from portal.alerts.live import POLL_S
from portal.alerts.models import Alert
from portal.pipeline.latest import connection as redis_connection
from portal.pipeline.latest import latest_read
from tests.faults.surroundings import wait_for
from tests.faults.watch_people import BED, SCORE, WATCH, Person, admit
from tests.faults.watch_service import Service, Watcher


class Patients:
    """Bob's patients, and one of Charlie's; `worse` are those of Bob's about whom there must be one alert each."""

    def __init__(self, service: Service, spare: int) -> None:
        """`spare`: how many of Bob's there are in each partition, to get worse one after the other."""
        self.service, cast = service, service.cast
        partitions = {"readings": settings.READINGS_PARTITIONS, "admitted": settings.ADMITTED_PARTITIONS}
        self._well = [
            admit(cast.patient.care_team, cast.bob, n % settings.ADMITTED_PARTITIONS, **partitions)
            for n in range(spare * settings.ADMITTED_PARTITIONS)
        ]
        self._of_charlie = admit(cast.dora.care_team, cast.charlie, 0, **partitions)
        self.worse: list[Person] = []

    def next_of(self, partitions: Collection[int]) -> Person:
        """Somebody in one of these partitions whose turn has come to get worse."""
        person = next(p for p in self._well if p.partition in partitions)
        self._well.remove(person)
        self.worse.append(person)
        return person

    def alerts(self) -> dict[int, Alert]:
        patients = [p.patient.pk for p in self.worse]
        return {a.pk: a for a in Alert.objects.filter(episode__patient__in=patients).select_related("episode")}

    def wait_until_told(self) -> None:
        """Until each is known at the socket and in the mailbox."""

        def told() -> bool:
            alerts = set(self.alerts())
            heard = alerts & {pk for pk, _ in self.service.bob.heard()}
            posted = alerts & {pk for _, pk in self.service.mailbox.received()}
            return len(heard) == len(posted) == len(self.worse)

        wait_for(f"{len(self.worse)} alerts are told", told)

    def figures(self) -> dict[str, int]:
        """How many alerts there must be, how many there are, and how often something was said twice or to others."""
        alerts, socket, mail = self.alerts(), self.service.bob.heard(), self.service.mailbox.received()
        bob = self.service.cast.bob.email
        of_charlie = Alert.objects.filter(episode__patient=self._of_charlie.patient).values_list("pk", flat=True)
        wrong = {pk for pk, _ in socket} - set(alerts)
        wrong |= {pk for pk, _ in self.service.charlie.heard()} - set(of_charlie)
        wrong |= {pk for recipient, pk in mail if pk not in (alerts if recipient == bob else of_charlie)}
        raised = Counter(alert.episode.patient_id for alert in alerts.values())
        return {
            "expected": len(self.worse),
            "raised": len(raised),
            "of_both_devices": sum(self._is_of_both(alert) for alert in alerts.values()),
            "at_socket": sum(socket[pk, "opened"] > 0 for pk in alerts),
            "in_mailbox": sum(mail[bob, pk] > 0 for pk in alerts),
            "doubles": sum(count.total() - len(count) for count in (raised, socket, mail)),
            "told_wrongly": len(wrong),
        }

    def figures_in_the_end(self) -> dict[str, int]:
        """The same after whatever could still come, and after Charlie has proved that he hears of his own patient."""
        for ago_s in (60, 10):
            self.service.sender.worsen(self._of_charlie, ago_s=ago_s)
        wait_for("Charlie hears of his own patient", self.service.charlie.heard)
        time.sleep(2 * POLL_S)
        return self.figures()

    def _is_of_both(self, alert: Alert) -> bool:
        person = next(p for p in self.worse if p.patient.pk == alert.episode.patient_id)
        devices = {value["device_id"] for value in alert.episode.evidence["values"].values()}
        return alert.episode.evidence["score"] == SCORE and devices == {person.watch, person.bed}


def is_well(figures: dict[str, int]) -> bool:
    """Every alert is there, at the socket and in the mailbox, made of both devices, once and nowhere else."""
    seen = {figures[name] for name in ("raised", "of_both_devices", "at_socket", "in_mailbox")}
    return seen == {figures["expected"]} and figures["doubles"] == figures["told_wrongly"] == 0


def worsen(patients: Patients, *people: Person) -> None:
    for ago_s in (60, 10):
        patients.service.sender.worsen(*people, ago_s=ago_s)


def nothing_happens(patients: Patients) -> None:
    """Somebody in each partition gets worse, and that is all."""
    patients.service.wait_until_shared()
    worsen(patients, *(patients.next_of([p]) for p in range(settings.ADMITTED_PARTITIONS)))
    patients.wait_until_told()


def watchers_kill_themselves(patients: Patients, *points: str) -> int:
    """A watcher at each of these points, all at about the same time; how many did."""
    service = patients.service
    doomed = [service.start_watcher(crash_at=point) for point in points]
    service.wait_until_shared()
    worsen(patients, *(patients.next_of(service.partitions_of(watcher)) for watcher in doomed))
    wait_for("the watchers have killed themselves", lambda: all(w.was_killed for w in doomed))
    patients.wait_until_told()
    return sum(w.was_killed for w in doomed)


def watcher_freezes(patients: Patients, point: str, *, stopped_s: float = 0, redis_is_emptied: bool = False) -> bool:
    """A watcher stops at this point and is woken after another has taken over; whether it then gave up."""
    service = patients.service
    frozen = service.start_watcher(crash_at=f"{point}:1:stop")
    service.wait_until_shared()
    worsen(patients, patients.next_of(service.partitions_of(frozen)))
    wait_for("the watcher has frozen", lambda: frozen.is_frozen)
    since = time.monotonic()
    if redis_is_emptied:
        redis_connection().flushdb()
    patients.wait_until_told()
    time.sleep(max(0.0, stopped_s - (time.monotonic() - since)))
    os.kill(frozen.process.pid, signal.SIGCONT)
    wait_for("the woken watcher has ended", lambda: frozen.process.poll() is not None)
    # Inside its transaction it is the database that has given up on it.
    why = "idle-in-transaction timeout" if point == "before_commit" else "has another watcher now"
    return frozen.process.returncode == 1 and why in frozen.said()


def watcher_is_stopped(patients: Patients, *, stopped_s: float) -> None:
    """A watcher is stopped from outside, wherever it is, and woken: it may give up, or come back to the group."""
    service = patients.service
    stopped = service.start_watcher()
    service.wait_until_shared()
    person = patients.next_of(service.partitions_of(stopped))
    service.sender.worsen(person, ago_s=60)
    os.kill(stopped.process.pid, signal.SIGSTOP)
    service.sender.worsen(person, ago_s=10)
    time.sleep(stopped_s)
    os.kill(stopped.process.pid, signal.SIGCONT)
    patients.wait_until_told()
    _kill(stopped)


def redis_is_emptied(patients: Patients, *, killed: Sequence[Watcher] = ()) -> None:
    """Redis forgets everything between the readings that are too high and those that confirm them.

    Who takes over from the `killed` has no checkpoint and reads the log again.
    """
    service = patients.service
    service.wait_until_shared()
    person = patients.next_of(service.partitions_of((*killed, service.running()[0])[0]))
    service.sender.worsen(person, ago_s=60)
    subject = person.patient.subject
    wait_for("the first readings are seen", lambda: len(latest_read([subject])[subject]) == len(WATCH | BED))
    redis_connection().flushdb()
    for watcher in killed:
        _kill(watcher)
    service.sender.worsen(person, ago_s=10)
    patients.wait_until_told()
    wait_for("latest values are back", lambda: all(latest_read(p.patient.subject for p in patients.worse).values()))


def _kill(watcher: Watcher) -> None:
    watcher.process.kill()
    watcher.process.wait()
