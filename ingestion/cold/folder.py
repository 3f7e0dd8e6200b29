"""The cold store of a lake that is a folder. Asking back takes a time of the operator's choosing, and moves nothing."""

import json
import os
from datetime import datetime, timedelta
from pathlib import Path

from ingestion.cold.store import KEPT_DAYS, NotReady, State

_ASKED = ".asked"


class FolderStore:
    def __init__(self, folder: str, *, wait_s: float) -> None:
        self._folder = Path(folder)
        self._wait = timedelta(seconds=wait_s)

    def put(self, key: str, data: bytes) -> None:
        path = self._folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        self._write(path, data)

    def state(self, key: str, now: datetime) -> State:
        if not (self._folder / key).exists():
            return State.GONE
        asked = self._asked(key)
        if asked is None or now >= asked[1]:
            return State.ARCHIVED
        return State.READY if now >= asked[0] else State.RESTORING

    def ask(self, key: str, now: datetime) -> None:
        if self.state(key, now) is not State.ARCHIVED:
            return
        ready = now + self._wait
        times = [ready.isoformat(), (ready + timedelta(days=KEPT_DAYS)).isoformat()]
        self._write(self._folder / (key + _ASKED), json.dumps(times).encode())

    def get(self, key: str, now: datetime) -> bytes:
        if (state := self.state(key, now)) is not State.READY:
            raise NotReady(f"{key} is {state}")
        return (self._folder / key).read_bytes()

    def delete(self, key: str) -> int:
        (self._folder / (key + _ASKED)).unlink(missing_ok=True)
        path = self._folder / key
        if not path.exists():
            return 0
        path.unlink()
        for parent in path.relative_to(self._folder).parents:
            try:
                (self._folder / parent).rmdir()
            except OSError:
                break
        return 1

    def keys(self, prefix: str) -> list[str]:
        found = (path for path in self._folder.rglob("*.parquet") if path.is_file())
        return sorted(k for path in found if (k := path.relative_to(self._folder).as_posix()).startswith(prefix))

    def _asked(self, key: str) -> tuple[datetime, datetime] | None:
        """When the object can be read from, and until when."""
        try:
            ready, until = json.loads((self._folder / (key + _ASKED)).read_text())
        except FileNotFoundError:
            return None
        return datetime.fromisoformat(ready), datetime.fromisoformat(until)

    def _write(self, path: Path, data: bytes) -> None:
        """All or nothing, and on the disk before it is said to be there."""
        unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
        with unfinished.open("wb") as out:
            out.write(data)
            out.flush()
            os.fsync(out.fileno())
        unfinished.replace(path)
