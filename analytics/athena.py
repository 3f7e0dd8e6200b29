"""The same SQL on Amazon Athena: start, wait, fetch."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from analytics.sql import BadQuery

_DONE = ("SUCCEEDED", "FAILED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class Place:
    """Where a query runs. `output` is the S3 address of results, or "" if the workgroup has its own."""

    database: str
    workgroup: str
    output: str = ""


@dataclass(frozen=True, slots=True)
class AthenaAnswer:
    """Columns, rows as Athena's own text (None for null), and the bytes it read, which is what it charges for."""

    columns: list[str]
    rows: list[tuple[str | None, ...]]
    scanned: int


def run(
    client: Any, text: str, place: Place, *, wait: Callable[[float], None] = time.sleep, within_s: float = 300.0
) -> AthenaAnswer:
    """Run one statement with a boto3 Athena client. Raises BadQuery with Athena's reason, and TimeoutError, after which
    the query is stopped.
    """
    request: dict[str, Any] = {
        "QueryString": text,
        "QueryExecutionContext": {"Database": place.database},
        "WorkGroup": place.workgroup,
    }
    if place.output:
        request["ResultConfiguration"] = {"OutputLocation": place.output}
    query = client.start_query_execution(**request)["QueryExecutionId"]
    execution = _finished(client, query, wait, within_s)
    state = execution["Status"]["State"]
    if state != "SUCCEEDED":
        raise BadQuery(execution["Status"].get("StateChangeReason", f"Athena says {state}"))
    scanned = execution.get("Statistics", {}).get("DataScannedInBytes", 0)
    columns: list[str] = []
    rows: list[tuple[str | None, ...]] = []
    for page in client.get_paginator("get_query_results").paginate(QueryExecutionId=query):
        result = page["ResultSet"]
        if not columns:
            columns = [column["Name"] for column in result["ResultSetMetadata"]["ColumnInfo"]]
        rows += [tuple(cell.get("VarCharValue") for cell in row["Data"]) for row in result["Rows"]]
    if rows and execution.get("StatementType") == "DML":
        rows = rows[1:]  # the first row of a SELECT's result holds the names
    return AthenaAnswer(columns, rows, scanned)


def _finished(client: Any, query: str, wait: Callable[[float], None], within_s: float) -> dict[str, Any]:
    waited, pause = 0.0, 0.2
    while True:
        execution: dict[str, Any] = client.get_query_execution(QueryExecutionId=query)["QueryExecution"]
        if execution["Status"]["State"] in _DONE:
            return execution
        if waited > within_s:
            client.stop_query_execution(QueryExecutionId=query)
            raise TimeoutError(f"Athena did not answer within {within_s:.0f} s")
        wait(pause)
        waited += pause
        pause = min(pause * 1.5, 5.0)
