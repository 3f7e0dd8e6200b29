"""The cold store of a lake on S3: objects in an archive storage class, restored by S3 itself."""

import os
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

from botocore.exceptions import ClientError

from ingestion.cold.store import KEPT_DAYS, NotReady, State
from ingestion.versions import client

ARCHIVES = ("GLACIER", "DEEP_ARCHIVE")  # those that must be asked before they can be read
_GONE = ("404", "NoSuchKey", "NotFound")


class S3Store:
    """`place` is s3://bucket/prefix. Credentials, region and endpoint come from the environment, as for any client."""

    def __init__(self, place: str, *, storage_class: str, tier: str) -> None:
        url = urlsplit(place)
        self._bucket, self._prefix = url.netloc, url.path.strip("/") + "/"
        self._class, self._tier = storage_class, tier
        self._client: Any = client()

    def put(self, key: str, data: bytes) -> None:
        more: dict[str, str] = {}
        if encryption := os.environ.get("LAKE_ENCRYPTION"):
            more["ServerSideEncryption"] = encryption
            if encryption != "AES256" and (kms := os.environ.get("LAKE_KMS_KEY_ID")):
                more["SSEKMSKeyId"] = kms
        self._client.put_object(
            Bucket=self._bucket, Key=self._prefix + key, Body=data, StorageClass=self._class, **more
        )

    def state(self, key: str, now: datetime) -> State:
        try:
            head = self._client.head_object(Bucket=self._bucket, Key=self._prefix + key)
        except ClientError as error:
            if error.response["Error"]["Code"] in _GONE:
                return State.GONE
            raise
        if head.get("StorageClass") not in ARCHIVES:
            return State.READY
        restore = head.get("Restore", "")
        if 'ongoing-request="true"' in restore:
            return State.RESTORING
        return State.READY if 'ongoing-request="false"' in restore else State.ARCHIVED

    def ask(self, key: str, now: datetime) -> None:
        if self.state(key, now) is not State.ARCHIVED:
            return
        request = {"Days": KEPT_DAYS, "GlacierJobParameters": {"Tier": self._tier}}
        try:
            self._client.restore_object(Bucket=self._bucket, Key=self._prefix + key, RestoreRequest=request)
        except ClientError as error:
            if error.response["Error"]["Code"] != "RestoreAlreadyInProgress":
                raise

    def get(self, key: str, now: datetime) -> bytes:
        try:
            answer = self._client.get_object(Bucket=self._bucket, Key=self._prefix + key)
        except ClientError as error:
            if error.response["Error"]["Code"] in ("InvalidObjectState", *_GONE):
                raise NotReady(f"{key} is {self.state(key, now)}") from None
            raise
        data: bytes = answer["Body"].read()
        return data

    def delete(self, key: str) -> int:
        """Every version and every delete marker, so that nothing of it can be brought back."""
        removed = 0
        for page in self._versions(self._prefix + key):
            for kind in ("Versions", "DeleteMarkers"):
                for version in page.get(kind, []):
                    if version["Key"] == self._prefix + key:
                        self._client.delete_object(
                            Bucket=self._bucket, Key=version["Key"], VersionId=version["VersionId"]
                        )
                        removed += kind == "Versions"
        return removed

    def keys(self, prefix: str) -> list[str]:
        found = {
            version["Key"].removeprefix(self._prefix)
            for page in self._versions(self._prefix + prefix)
            for kind in ("Versions", "DeleteMarkers")
            for version in page.get(kind, [])
        }
        return sorted(found)

    def _versions(self, prefix: str) -> Any:
        return self._client.get_paginator("list_object_versions").paginate(Bucket=self._bucket, Prefix=prefix)
