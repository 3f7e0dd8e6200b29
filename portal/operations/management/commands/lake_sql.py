"""`manage.py lake_sql "SELECT * FROM iot_data WHERE device_id = 'device_1' LIMIT 10"`: SQL on the lake."""

import csv
import sys
from typing import Any

import boto3
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from analytics import athena, sql
from portal.operations.consents import consents_export, consents_now
from portal.operations.devices import wearing


class Command(BaseCommand):
    help = "Run SQL on the lake: with DuckDB here, or with --athena on Athena"

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("query", nargs="?", help="SQL, or the name of a query in infra/athena/queries")
        parser.add_argument("--athena", action="store_true", help="run it on Athena (ATHENA_DATABASE, …)")
        parser.add_argument("--setup", action="store_true", help="with --athena: make tables and views, then run")
        parser.add_argument("--csv", action="store_true", help="write CSV")
        parser.add_argument("--list", action="store_true", help="list the named queries")

    def handle(self, *args: Any, **options: Any) -> None:
        named = sql.named_queries()
        if options["list"]:
            for name, text in named.items():
                self.stdout.write(f"{name}: {text.splitlines()[0].removeprefix('-- ')}")
        if options["setup"]:
            self._set_up(options["athena"])
        if options["query"] is None:
            if not (options["list"] or options["setup"]):
                raise CommandError("Write a query, or the name of one (--list).")
            return
        text = named.get(options["query"], options["query"])
        try:
            columns, rows, note = self._on_athena(text) if options["athena"] else self._here(text)
        except (sql.BadQuery, TimeoutError) as error:
            raise CommandError(str(error)) from None
        if options["csv"]:
            csv.writer(self.stdout).writerows([columns, *rows])
        else:
            self._table(columns, rows)
        print(note, file=sys.stderr)  # noqa: T201 beside the answer, so that it can be piped

    def _here(self, text: str) -> tuple[list[str], list[tuple[Any, ...]], str]:
        lake = settings.LAKE_URL
        answer = sql.run(lake, text, consents=consents_now(), wearing=wearing(lake))
        note = f"{len(answer.rows):,} rows; {answer.files:,} of the table's {answer.files_of:,} files could hold them"
        return answer.columns, answer.rows, note

    def _on_athena(self, text: str) -> tuple[list[str], list[tuple[Any, ...]], str]:
        answer = athena.run(boto3.client("athena"), text, self._place())
        return answer.columns, answer.rows, f"{len(answer.rows):,} rows; {answer.scanned:,} bytes read"

    def _set_up(self, on_athena: bool) -> None:
        if not on_athena:
            raise CommandError("--setup is for Athena: add --athena. Here nothing needs to be set up.")
        consents_export(settings.LAKE_URL)
        for name, text in sql.statements():
            athena.run(boto3.client("athena"), text.replace("${LAKE_URL}", settings.LAKE_URL), self._place())
            self.stdout.write(f"{name.partition('_')[2]} is there")

    def _place(self) -> athena.Place:
        return athena.Place(settings.ATHENA_DATABASE, settings.ATHENA_WORKGROUP, settings.ATHENA_OUTPUT)

    def _table(self, columns: list[str], rows: list[tuple[Any, ...]]) -> None:
        text = [[_text(value) for value in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(columns, *text, strict=True)]
        for line in (columns, ["-" * width for width in widths], *text):
            self.stdout.write(" | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip())


def _text(value: Any) -> str:
    return "" if value is None else str(value)
