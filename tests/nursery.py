"""A process in which Django has started once. What a test wants killed runs in a fork of it, and costs no start."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

KILLED = -signal.SIGKILL
WORKER = """
import json, os, sys, traceback
from datetime import datetime
from importlib import import_module
import django
django.setup()
from django.conf import settings
for line in sys.stdin:
    order = json.loads(line)
    if (child := os.fork()) == 0:
        try:
            os.environ |= order["environment"]
            for name, value in order["settings"].items():
                setattr(settings, name, value)
            module, _, function = order["function"].rpartition(".")
            getattr(import_module(module), function)(*map(datetime.fromisoformat, order["times"]))
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def run(self, function: str, *times: datetime, crash_at: str = "", **settings: object) -> int:
        """Call a function by its dotted name in a process of its own; the exit code of that process.

        It has the environment that the test has now, and kills itself at `crash_at`, a place of
        `portal.pipeline.process.crash_point`; the code is then KILLED.
        """
        order = {"function": function, "times": [t.isoformat() for t in times]}
        order |= {"settings": settings | {"CRASH_AT": crash_at}, "environment": dict(os.environ)}
        print(json.dumps(order), file=self._process.stdin, flush=True)
        return int(self._process.stdout.readline())


@pytest.fixture(scope="session")
def nursery(django_db_setup: None) -> Iterator[Nursery]:
    from django.db import connection

    database = connection.settings_dict
    url = f"postgres://{database['USER']}@{database['HOST']}:{database['PORT']}/{database['NAME']}"
    env = os.environ | {"TEST_DATABASE_URL": url, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    command = [sys.executable, "-c", WORKER]
    with subprocess.Popen(command, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        yield Nursery(process)
        process.stdin.close()
