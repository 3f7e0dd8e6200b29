"""The demo's people in the test database, for processes that live longer than one test."""

from collections.abc import Iterator

import pytest
from django.core.management import call_command

from tests.faults.pipeline import people_make


@pytest.fixture(scope="module")
def transactional_db(django_db_setup, django_db_blocker) -> Iterator[None]:
    """In place of pytest-django's: what is in the database lives through all tests of a module."""
    with django_db_blocker.unblock():
        yield
        call_command("flush", verbosity=0, interactive=False)


@pytest.fixture(scope="module")
def people(transactional_db) -> None:
    people_make()
