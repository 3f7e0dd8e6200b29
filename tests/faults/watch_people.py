"""People with two devices each, whose packets lie on different partitions: only together do they make a NEWS2 alert."""

import json
import secrets
import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from confluent_kafka import Message, Producer

from ingestion.door import partition_of
from ingestion.kafka import READINGS
from portal.accounts.models import User
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.devices.models import Device
from portal.devices.services import device_add, device_assign
from portal.monitoring.services import Draft, plan_write
from portal.people.models import CareTeam, Patient
from tests.portal.conftest import YESTERDAY

# NEWS2 (RCP 2017): 2 + 2 points from the watch, 2 from the bed. From 5 on it is an alert; neither reaches that alone.
WATCH = {"heart_rate": 115, "spo2": 93}
BED = {"respiratory_rate": 22}
SCORE = 6


@dataclass(frozen=True, slots=True)
class Person:
    """A patient, the partition of `vitals.admitted`, and two devices on different partitions of `vitals.readings`."""

    patient: Patient
    partition: int
    watch: str
    bed: str


def admit(team: CareTeam, clinician: User, partition: int, *, readings: int, admitted: int) -> Person:
    """A new patient of this team in this partition of `vitals.admitted`, watched since yesterday."""
    subject = secrets.token_hex(16)
    while partition_of(subject, admitted) != partition:
        subject = secrets.token_hex(16)
    patient = Patient.objects.create(
        organisation=team.organisation,
        care_team=team,
        subject=subject,
        name=f"Patient {subject[:6]}",
        birth_date=date(1950, 5, 17),
    )
    superuser = User.objects.get(username="admin")
    consent_record(patient=patient, purpose=Purpose.CARE, given=True, by=superuser, now=YESTERDAY)
    draft = Draft(
        reason="COPD, after discharge",
        starts_at=YESTERDAY,
        vitals={"heart_rate": 5, "spo2": 5, "respiratory_rate": 5},
        responders=[(clinician, 15)],
    )
    plan_write(patient=patient, draft=draft, author=clinician, now=YESTERDAY)
    watch = f"watch-{subject[:12]}"
    beds = (f"bed-{subject[:12]}-{n}" for n in range(1000))
    bed = next(b for b in beds if _partition(b, readings) != _partition(watch, readings))
    for device_id, kind in ((watch, Device.Kind.WATCH), (bed, Device.Kind.BED)):
        device = Device(organisation=team.organisation, device_id=device_id, kind=kind)
        device_assign(device=device_add(device=device, now=YESTERDAY), patient=patient, now=YESTERDAY)
    return Person(patient, partition, watch, bed)


def _partition(key: str, partitions: int) -> int:
    """Where librdkafka's default partitioner puts a key; `Sender` sees to it that this is true."""
    return zlib.crc32(key.encode()) % partitions


class Sender:
    """Sends packets as devices do."""

    def __init__(self, bootstrap: str) -> None:
        self._producer = Producer({"bootstrap.servers": bootstrap, "linger.ms": 5})
        self.places: dict[str, set[int]] = {}  # the partitions each device's packets came to

    def worsen(self, *people: Person, ago_s: float) -> None:
        """One packet of each of their devices, measured so many seconds ago; a second one confirms the first."""
        at = (datetime.now(UTC) - timedelta(seconds=ago_s)).isoformat()
        for person in people:
            for device_id, vitals in ((person.watch, WATCH), (person.bed, BED)):
                packet = {"device_id": device_id, "timestamp": at, **vitals}
                self._producer.produce(READINGS, json.dumps(packet), key=device_id, on_delivery=self._delivered)
        if self._producer.flush(30):
            raise TimeoutError("the broker did not take the packets")
        for person in people:
            assert not self.places[person.watch] & self.places[person.bed]

    def _delivered(self, error: object, message: Message) -> None:
        assert error is None, error
        self.places.setdefault(message.key().decode(), set()).add(message.partition())
