"""A real browser against the real portal: pages and live socket over ASGI, on the test database and a small lake.

One browser and one server serve all tests of a worker. Whatever a page does, it must break no rule of the content
security policy and write no error to the console: that is looked at after every test.
"""

import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import pytest
import uvicorn
from axe_playwright_python.base import AXE_SCRIPT
from django.conf import settings
from django.db import connections, transaction
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from analytics.episodes import Level
from portal.alerts.live import announce
from portal.alerts.models import Alert
from portal.alerts.services import transitions_apply
from portal.consent.models import Purpose
from portal.consent.services import consent_record
from portal.monitoring.services import Draft, plan_write
from portal.people.models import Patient
from portal.pipeline.latest import Latest, connection, latest_write, progress_write
from tests.portal.conftest import YESTERDAY, Cast, hypoxia, make_cast

# Nothing of Chromium's own may ask the network.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WAIT_MS = 20_000  # for what a busy machine may take its time
RULES = {
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
    "resultTypes": ["violations"],
}
expect.set_options(timeout=WAIT_MS)
Answer = TypeVar("Answer")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of this folder needs a browser, Redis and a database that other threads see, and shares one worker."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            for mark in (pytest.mark.browser, pytest.mark.redis, pytest.mark.postgres):
                item.add_marker(mark)
            item.add_marker(pytest.mark.xdist_group("browser"))


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=os.environ["TEST_CHROMIUM"], args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The portal's address. It runs in a thread of ours, so that a test may make a view fail."""
    from portal.asgi import application

    listening = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(application, lifespan="off", log_level="error", timeout_graceful_shutdown=1)
    web = uvicorn.Server(config)
    thread = threading.Thread(target=web.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    web.should_exit = True
    thread.join(20)


@dataclass
class Portal:
    """The portal with its cast, and browsers in which one of them is signed in.

    Bob's team has three more patients besides Alice: Maya is fine, Omar's breathing is slow, nothing was heard of Rosa.
    """

    address: str
    browser: Browser
    cast: Cast
    maya: Patient
    omar: Patient
    rosa: Patient
    contexts: list[BrowserContext] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    expected: set[str] = field(default_factory=set)

    def page(self, who: str = "", **options: Any) -> Page:
        """A page in a browser of its own; `who` is one of the cast, or nobody."""
        options = {"viewport": {"width": 1440, "height": 900}, "base_url": self.address} | options
        context = self.browser.new_context(**options)
        context.set_default_timeout(WAIT_MS)
        if who:
            session = self.cast.client(who).cookies["sessionid"].value
            context.add_cookies([{"name": "sessionid", "value": session, "url": self.address}])
        context.on("console", self._console)
        context.on("weberror", lambda error: self.problems.append(f"script: {error.error}"))
        self.contexts.append(context)
        return context.new_page()

    def expect_status(self, page: Page, path: str, status: int) -> None:
        """Open a page that must be refused; Chromium says so in its console, which is then no problem."""
        self.expected.add(self.address + path)
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == status, path

    def _console(self, message: Any) -> None:
        address = message.location.get("url", "")
        if message.type == "error" and not (address in self.expected and "Failed to load resource" in message.text):
            self.problems.append(f"console: {message.text} ({address})")

    def close(self) -> None:
        for context in self.contexts:
            context.close()


@pytest.fixture
def portal(transactional_db, server, browser) -> Iterator[Portal]:
    connection().flushdb()
    portal = Portal(server, browser, *elsewhere(_people))
    yield portal
    portal.close()
    assert portal.problems == []


def _people() -> tuple[Cast, Patient, Patient, Patient]:
    cast = make_cast()
    team = cast.patient.care_team
    maya, omar, rosa = (
        Patient.objects.create(
            organisation=cast.organisation,
            care_team=team,
            name=name,
            birth_date=date(1950, 5, 17),
            phone="01632 960001",
        )
        for name in ("Maya Okafor", "Omar Lindqvist", "Rosa Ferreira")
    )
    for person in (maya, omar, rosa):
        consent_record(patient=person, purpose=Purpose.CARE, given=True, by=cast.admin, now=YESTERDAY)
        vitals = {"heart_rate": 5, "spo2": 5}
        draft = Draft(reason="Heart failure", starts_at=YESTERDAY, vitals=vitals, responders=[(cast.bob, 15)])
        plan_write(patient=person, draft=draft, author=cast.bob, now=YESTERDAY)
    measured(cast.patient, heart_rate=72.0, spo2=97.0, respiratory_rate=16.0, temperature=36.8)
    measured(maya, heart_rate=64.0, spo2=98.0)
    measured(omar, heart_rate=66.0, spo2=97.0, respiratory_rate=10.0)
    on_time()
    return cast, maya, omar, rosa


def measured(patient: Patient, at: datetime | None = None, device: str = "watch-alice", **values: float) -> None:
    """What the watcher writes when such a reading has passed."""
    at = at or datetime.now(UTC)
    latest_write((patient.subject, vital, Latest(value, at, device)) for vital, value in values.items())


def on_time(at: datetime | None = None) -> None:
    """Door and watcher have read everything up to now, or up to `at`."""
    at = at or datetime.now(UTC)
    progress_write("door", dict.fromkeys(range(settings.READINGS_PARTITIONS), at))
    progress_write("watcher", dict.fromkeys(range(settings.ADMITTED_PARTITIONS), at))


def elsewhere(do: Callable[[], Answer]) -> Answer:
    """Do it as another process would: in a thread without an event loop, with a database connection of its own."""

    def alone() -> Answer:
        try:
            return do()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(alone).result()


def raise_alert(patient: Patient, level: Level = Level.MEDIUM, **more: Any) -> Alert:
    """What the watcher does when somebody's oxygen has fallen."""

    def decide() -> None:
        now = datetime.now(UTC)
        with transaction.atomic():
            told = transitions_apply([hypoxia(patient, level=level, at=now - timedelta(seconds=40), **more)], now=now)
        announce(told)

    elsewhere(decide)
    return Alert.objects.filter(episode__patient=patient).latest("pk")


def barriers(page: Page) -> list[str]:
    """What breaks a rule of WCAG 2.2 A and AA, as far as a machine can tell."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE_SCRIPT)
    found = page.evaluate("rules => axe.run(rules)", RULES)["violations"]
    return [f"{v['id']}: {node['html'][:200]} {node.get('failureSummary', '')}" for v in found for node in v["nodes"]]
