"""Old readings: one object per person and quarter, in an archive storage class or the folder `cold/`."""

from ingestion.cold.store import ColdStore, NotReady, State, open_store
from ingestion.quarters import Quarter

__all__ = ["ColdStore", "NotReady", "Quarter", "State", "open_store"]
