"""Where the lake lies: a folder, or S3 and whatever speaks its language.

Credentials come from the environment as for any AWS client (AWS_ACCESS_KEY_ID, AWS_REGION, a role, ...), and so do:

AWS_ENDPOINT_URL     another server than AWS, http:// or https://
LAKE_ENCRYPTION      "AES256", "aws:kms" or "aws:kms:dsse": asks the store to encrypt at rest
LAKE_KMS_KEY_ID      the key of "aws:kms"; without it the bucket's own
LAKE_RETRIES         how often a failed request is tried again (10), with waits that double from 0.1 s to 15 s
LAKE_RETRY_S         for how long at most (180)
LAKE_REQUEST_S       how long one request may take (30)
"""

import os
from pathlib import Path

import pyarrow.fs as pafs
from deltalake.fs import DeltaStorageHandler

ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")


class BadSetting(ValueError):
    """A setting of the store makes no sense; the text says what to write."""


def is_s3(url: str) -> bool:
    return url.startswith("s3://")


def storage_options(url: str) -> dict[str, str]:
    """Options for the object store behind `url`, from the environment. Raises BadSetting."""
    if not is_s3(url):
        return {}
    options = {
        # A commit is a PUT that must not find the object there: it is what makes commits exclusive.
        "aws_conditional_put": "etag",
        "max_retries": os.environ.get("LAKE_RETRIES", "10"),
        "retry_timeout": os.environ.get("LAKE_RETRY_S", "180") + "s",
        "timeout": os.environ.get("LAKE_REQUEST_S", "30") + "s",
        "connect_timeout": "5s",
    }
    if endpoint := os.environ.get("AWS_ENDPOINT_URL"):
        options |= {"aws_endpoint": endpoint, "aws_allow_http": str(endpoint.startswith("http://")).lower()}
    if encryption := os.environ.get("LAKE_ENCRYPTION"):
        if encryption not in ENCRYPTIONS:
            raise BadSetting(f"LAKE_ENCRYPTION must be one of {', '.join(ENCRYPTIONS)}, or not be set.")
        options["aws_server_side_encryption"] = encryption
        if key := os.environ.get("LAKE_KMS_KEY_ID"):
            options |= {"aws_sse_kms_key_id": key, "aws_sse_bucket_key_enabled": "true"}
    return options


def to_read(url: str) -> pafs.FileSystem:
    """The files below `url`, for reading.

    deltalake's own file system holds the interpreter lock while it waits for S3, and with it every other thread of a
    web server; Arrow's does not.
    """
    if not is_s3(url):
        return _folder(url)
    endpoint = os.environ.get("AWS_ENDPOINT_URL") or None
    request_s = float(os.environ.get("LAKE_REQUEST_S", "30"))
    store = pafs.S3FileSystem(
        region=os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION"),
        endpoint_override=endpoint,
        request_timeout=request_s,
        connect_timeout=5,
        retry_strategy=pafs.AwsStandardS3RetryStrategy(max_attempts=int(os.environ.get("LAKE_RETRIES", "10")) + 1),
    )
    return pafs.SubTreeFileSystem(url.removeprefix("s3://"), store)


def to_write(url: str) -> pafs.FileSystem:
    """The files below `url`, for writing, with the same credentials, retries and encryption as the table's commits.

    On S3 a file of more than a few megabytes is sent in parts, and is there only once it is whole.
    """
    if is_s3(url):
        return pafs.PyFileSystem(DeltaStorageHandler(url, storage_options(url)))
    return _folder(url)


def _folder(url: str) -> pafs.FileSystem:
    return pafs.SubTreeFileSystem(str(Path(url.removeprefix("file://")).resolve()), pafs.LocalFileSystem())
