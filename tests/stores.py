"""The lake of a test: once in a folder, and once on S3 over HTTP."""

import os
import uuid
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from tests.servers.s3 import ACCESS_KEY, REGION, SECRET_KEY


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.s3)])
def lake(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of an empty lake."""
    if request.param == "folder":
        return str(tmp_path / "lake")
    return s3_lake(monkeypatch)


def s3_lake(monkeypatch: pytest.MonkeyPatch) -> str:
    endpoint = os.environ["TEST_S3_ENDPOINT"]
    for name, value in {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": ACCESS_KEY,
        "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
        "AWS_REGION": REGION,
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"lake-{uuid.uuid4().hex[:16]}"
    client(endpoint).create_bucket(Bucket=bucket)
    return f"s3://{bucket}/hospital"


def client(endpoint: str):
    return boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=ACCESS_KEY,
        aws_secret_access_key=SECRET_KEY,
        region_name=REGION,
        config=Config(s3={"addressing_style": "path"}),
    )


@pytest.fixture
def glacier(monkeypatch: pytest.MonkeyPatch) -> str:
    """A bucket with versions, on a server with archive storage classes; the lake's address in it."""
    for name, value in {
        "AWS_ENDPOINT_URL": os.environ["TEST_GLACIER_ENDPOINT"],
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    bucket = f"lake-{uuid.uuid4().hex[:16]}"  # a process knows a table by its address, whatever server has it
    s3.create_bucket(Bucket=bucket)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    return f"s3://{bucket}/hospital"
