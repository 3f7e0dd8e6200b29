"""The portal's settings for tests: the servers that `python -m tests.servers` started, or SQLite and nothing else.

Each parallel worker has its own Redis database; pytest-django gives each its own SQL database.
"""

import os
import tempfile

WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))

os.environ |= {
    "DEBUG": "false",
    "HTTPS": "false",
    "SECRET_KEY": "a-key-for-tests-and-for-nothing-else-0123456789",
    "VAR_DIR": tempfile.mkdtemp(prefix="wellrange-test-"),
    "DATABASE_URL": os.environ.get("TEST_DATABASE_URL", "sqlite://:memory:"),
    "REDIS_URL": os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:1") + f"/{WORKER + 1}",
    "KAFKA_BOOTSTRAP_SERVERS": os.environ.get("TEST_KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1"),
    "EMAIL_URL": "memorymail://",
    "WELLRANGE_FAULT_TESTS": "true",
    "WATCHDOG_EVERY_S": "0",  # its patients and mails would be counted among those of a test's own processes
}
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")  # Playwright keeps an event loop in the test's thread

from portal import settings as of_the_portal  # noqa: E402
from portal.settings import *  # noqa: E402, F403

DATABASES = {"default": dict(of_the_portal.DATABASES["default"])}
if "options" in (options := DATABASES["default"]["OPTIONS"]):
    # Most tests are one long transaction, and on a busy machine one is idle in it for longer than a process may be.
    DATABASES["default"]["OPTIONS"] = options | {"options": "-c idle_in_transaction_session_timeout=240s"}

PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # quick; signing in is tested, not the hash
