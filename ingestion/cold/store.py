"""Where objects lie that are seldom read: putting away, asking back, reading for some days."""

from datetime import datetime
from enum import StrEnum
from typing import Protocol

from ingestion.lake.storage import is_s3

KEPT_DAYS = 7  # how long an object that was asked back can be read
FOLDER = "cold"


class State(StrEnum):
    ARCHIVED = "archived"
    RESTORING = "restoring"
    READY = "ready"
    GONE = "gone"


class NotReady(Exception):
    """The object has to be asked back first, or is still on its way."""


class ColdStore(Protocol):
    """Every call may be repeated: putting the same object, asking again, deleting what is gone."""

    def put(self, key: str, data: bytes) -> None: ...

    def state(self, key: str, now: datetime) -> State: ...

    def ask(self, key: str, now: datetime) -> None:
        """Ask an object back for KEPT_DAYS; one that is on its way or ready stays so."""

    def get(self, key: str, now: datetime) -> bytes:
        """Raises NotReady."""

    def delete(self, key: str) -> int:
        """Remove every version of the object; how many there were."""

    def keys(self, prefix: str) -> list[str]:
        """Every key that has a version under this prefix, sorted."""


def open_store(lake: str, *, storage_class: str = "GLACIER", tier: str = "Bulk", wait_s: float = 0.0) -> ColdStore:
    """The store beside a lake: objects under `cold/` in the lake's bucket, in this storage class, or in its folder.

    `tier` is S3's, for restoring; `wait_s` how long a folder lets people wait, since it has no archive to wait for.
    """
    from ingestion.cold.folder import FolderStore
    from ingestion.cold.s3 import S3Store

    place = f"{lake.rstrip('/')}/{FOLDER}"
    if is_s3(lake):
        return S3Store(place, storage_class=storage_class, tier=tier)
    return FolderStore(place.removeprefix("file://"), wait_s=wait_s)
