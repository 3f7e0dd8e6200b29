"""The cold store as the settings say."""

from django.conf import settings

from ingestion.cold import ColdStore, open_store


def cold_store() -> ColdStore:
    return open_store(
        settings.LAKE_URL,
        storage_class=settings.ARCHIVE_STORAGE_CLASS,
        tier=settings.ARCHIVE_TIER,
        wait_s=settings.ARCHIVE_FOLDER_WAIT_S,
    )
