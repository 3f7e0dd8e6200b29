"""The board: who needs somebody first, how fresh everything is, and what comes by itself while it is open."""

import json
import time
from datetime import UTC, datetime, timedelta

from django.utils import timezone
from playwright.sync_api import expect

from analytics.episodes import Level
from portal.alerts.answers import alert_acknowledge
from portal.alerts.models import Alert
from tests.browser.conftest import elsewhere, measured, on_time, raise_alert

NAMES = ".board tbody a.name"
STAYS = "window.stays = true"  # gone after a reload


def pass_time(page, seconds):
    """Let so much time pass for the page, slowly enough for an answer to arrive before its time-out."""
    for _ in range(seconds // 3):
        page.clock.run_for(3_000)
        page.wait_for_timeout(150)


def test_the_board_is_in_order_of_risk_and_never_shows_no_data_as_fine(portal):
    hour_ago = datetime.now(UTC) - timedelta(hours=1)
    measured(portal.maya, hour_ago, heart_rate=64.0)  # older than what is there: changes nothing
    raise_alert(portal.omar, Level.LOW_MEDIUM)
    raise_alert(portal.cast.patient, Level.HIGH)
    page = portal.page("bob")
    page.goto("/board/")
    expect(page.locator(NAMES)).to_have_text(["Alice Marsh", "Omar Lindqvist", "Rosa Ferreira", "Maya Okafor"])
    alice, rosa = page.locator("tr", has_text="Alice Marsh"), page.locator("tr", has_text="Rosa Ferreira")
    expect(alice.locator(".badge")).to_have_text("High")
    expect(alice).to_contain_text("Oxygen saturation 88 %")
    expect(alice.locator("td[data-label='SpO₂']")).to_contain_text("97 % just now")
    expect(rosa).to_contain_text("No data yet")
    expect(rosa.locator("td[data-label='Heart rate']")).to_have_text("no data")
    expect(rosa.locator("td[data-label='Temperature']")).to_have_text("not in the plan")
    expect(page.get_by_role("link", name="Unanswered alert 2")).to_be_visible()
    page.get_by_role("link", name="No fresh data 1").click()
    expect(page.locator(NAMES)).to_have_text(["Rosa Ferreira"])
    expect(page.get_by_role("link", name="Unanswered alert 2")).to_be_visible()  # a narrow list hides no alert
    page.get_by_label("Find a patient by name").fill("okaf")
    page.keyboard.press("Enter")
    expect(page.locator(NAMES)).to_have_text(["Maya Okafor"])


def test_an_alert_comes_to_an_open_board_by_itself_and_to_nobody_elses(portal):
    bob, charlie = portal.page("bob"), portal.page("charlie")
    for page in (bob, charlie):
        page.goto("/board/")
        expect(page.locator("[data-live]")).to_have_text("live")
        page.evaluate(STAYS)
    expect(bob).to_have_title("Board · Wellrange")
    expect(bob.locator(NAMES).first).to_have_text("Omar Lindqvist")
    bob.locator(NAMES).last.focus()

    alert = raise_alert(portal.cast.patient)

    expect(bob.locator(NAMES).first).to_have_text("Alice Marsh")
    expect(bob.locator("tr.unanswered")).to_contain_text("Medium")
    expect(bob).to_have_title("(1) Board · Wellrange")
    expect(bob.locator("[data-announce]")).to_have_text("New alert: Alice Marsh, medium")
    assert bob.evaluate("document.activeElement.className") == "name"  # who was reading a row is still there
    toast = bob.locator("[data-toast]")
    expect(toast.get_by_role("link")).to_have_attribute("href", f"{portal.address}/alerts/{alert.pk}/")
    toast.get_by_role("button", name="Dismiss").click()
    expect(toast).to_be_hidden()
    assert bob.evaluate("window.stays") is True

    elsewhere(lambda: alert_acknowledge(user=portal.cast.bob, alert=alert, note="", now=timezone.now()))
    expect(bob).to_have_title("Board · Wellrange")
    expect(charlie.locator(NAMES)).to_have_text(["Dora Dale"])
    assert charlie.evaluate("window.stays") is True
    assert charlie.locator("[data-announce]").text_content() == ""


def test_without_the_socket_the_board_moves_on_a_timer_and_a_reconnect_misses_nothing(portal):
    page, sockets, open_to = portal.page("bob"), [], {"sockets": True}

    def route(socket):
        if open_to["sockets"]:
            told = []
            sockets.append((socket, socket.connect_to_server(), told))
            sockets[-1][1].on_message(lambda message: (told.append(message), socket.send(message)))
        else:
            socket.close(code=1012)

    page.clock.install()
    page.route_web_socket("**/ws/live/**", route)
    page.goto("/board/")
    expect(page.locator("[data-live]")).to_have_text("live")
    page.evaluate(STAYS)
    cursor = page.locator("body").get_attribute("data-cursor")

    open_to["sockets"] = False
    sockets[0][0].close(code=1012)
    expect(page.locator("[data-live]")).to_have_text("reconnecting")
    raise_alert(portal.cast.patient)
    pass_time(page, 6)
    expect(page.locator(NAMES).first).to_have_text("Alice Marsh")
    assert len(sockets) == 1

    open_to["sockets"] = True
    pass_time(page, 12)
    expect(page.locator("[data-live]")).to_have_text("live")
    socket, _, told = sockets[-1]
    assert socket.url.endswith(f"?since={cursor}")
    until = time.monotonic() + 20
    while not any(json.loads(message)["changes"] for message in told) and time.monotonic() < until:
        page.wait_for_timeout(50)
    assert [c["what"] for message in told for c in json.loads(message)["changes"]] == ["opened"]
    assert page.evaluate("window.stays") is True


def test_a_page_that_cannot_be_renewed_says_that_it_is_old(portal):
    page = portal.page("bob")
    page.clock.install()
    page.goto("/board/")
    expect(page.locator("[data-live]")).to_have_text("live")
    portal.expected.add(f"{portal.address}/board/")
    page.route("**/board/", lambda route: route.fulfill(status=502, body="Bad gateway"))
    pass_time(page, 30)
    expect(page.locator("[data-old]")).to_contain_text("what you see may be old")
    expect(page.locator("[data-live]")).to_have_text("not live")
    expect(page.locator(NAMES).first).to_be_visible()
    page.unroute("**/board/")
    pass_time(page, 12)
    expect(page.locator("[data-old]")).to_be_hidden()
    expect(page.locator("[data-live]")).to_have_text("live")


def test_a_pipeline_that_is_late_is_said_on_every_page_with_values(portal):
    on_time(datetime.now(UTC) - timedelta(minutes=5))
    bob, alice = portal.page("bob"), portal.page("alice")
    for page, path in ((bob, "/board/"), (bob, f"/patients/{portal.cast.patient.pk}/"), (alice, "/me/")):
        page.goto(path)
        expect(page.get_by_role("alert")).to_contain_text("Monitoring is delayed since")
    on_time()
    bob.goto("/board/")
    expect(bob.locator(".delayed")).to_be_hidden()


def test_a_clinician_who_reads_another_record_hears_of_an_alert(portal):
    page = portal.page("bob")
    page.goto(f"/patients/{portal.maya.pk}/")
    expect(page.locator("[data-live]")).to_have_text("live")
    alert = raise_alert(portal.cast.patient)
    expect(page.locator("[data-announce]")).to_have_text("A new alert")
    page.locator("[data-toast] a").click()
    page.wait_for_url(f"**/alerts/{alert.pk}/")
    assert Alert.objects.count() == 1
