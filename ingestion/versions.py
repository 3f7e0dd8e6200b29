"""Earlier versions of objects in an S3 bucket that keeps them: what was replaced or deleted can still be read there."""

import os
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from ingestion.lake.storage import is_s3

Version = tuple[str, str]  # key and id


def client() -> Any:
    """An S3 client. Credentials, region and endpoint come from the environment, as for any other."""
    # Servers other than Amazon's rarely have a host name for each bucket.
    addressing = "path" if os.environ.get("AWS_ENDPOINT_URL") else "auto"
    return boto3.client("s3", config=Config(retries={"max_attempts": 8}, s3={"addressing_style": addressing}))


def earlier_versions(url: str) -> Iterator[tuple[str, bytes]]:
    """Name and content of what was replaced or deleted below `url` and is still kept; nothing where it is a folder.

    Of an object in an archive class only the name.
    """
    if not is_s3(url):
        return
    s3, (bucket, prefix) = client(), _place(url)
    replaced, _ = _versions(s3, bucket, prefix)
    for key, version in replaced:
        try:
            yield key, s3.get_object(Bucket=bucket, Key=key, VersionId=version)["Body"].read()
        except ClientError as error:
            if error.response["Error"]["Code"] != "InvalidObjectState":
                raise
            yield key, b""


def versions_forget(url: str) -> int:
    """Remove for good what was replaced or deleted below `url`; how many versions. The present objects stay."""
    if not is_s3(url):
        return 0
    s3, (bucket, prefix) = client(), _place(url)
    replaced, markers = _versions(s3, bucket, prefix)
    for key, version in (*replaced, *markers):  # markers last: without its marker, a deleted object would be back
        s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    return len(replaced)


def _place(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.netloc, parts.path.strip("/") + "/"


def _versions(s3: Any, bucket: str, prefix: str) -> tuple[list[Version], list[Version]]:
    """What was replaced or deleted, and the markers that say of a deleted object that it is."""
    replaced: list[Version] = []
    markers: list[Version] = []
    for page in s3.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        replaced += [(v["Key"], v["VersionId"]) for v in page.get("Versions", []) if not v["IsLatest"]]
        markers += [(m["Key"], m["VersionId"]) for m in page.get("DeleteMarkers", [])]
    return replaced, markers
