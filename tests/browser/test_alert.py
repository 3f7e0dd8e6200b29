"""An alert answered: by mouse and by keyboard, with a note, and seen by everybody who has it open."""

from django.utils import timezone
from playwright.sync_api import expect

from portal.alerts.answers import alert_acknowledge
from portal.alerts.models import Alert
from tests.browser.conftest import elsewhere, raise_alert


def test_bob_acknowledges_with_a_note_and_closes_with_a_record(portal):
    alert = raise_alert(portal.cast.patient)
    page = portal.page("bob")
    page.goto("/board/")
    page.locator(".alert-line").click()
    page.wait_for_url(f"**/alerts/{alert.pk}/")
    evidence = page.get_by_role("table").locator("tbody tr")
    expect(evidence.first.locator("th, td")).to_contain_text(["Oxygen saturation", "88 %", "+3"])
    expect(page.locator("main")).to_contain_text("Rule: NEWS2 (RCP 2017), SpO₂ scale 1")

    page.get_by_label("Note").fill("She feels well, oximeter was loose.")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_have_text("The alert is acknowledged.")
    expect(page.locator(".lines li").last).to_contain_text("Acknowledged by Bob")
    expect(page.locator(".lines li").last).to_contain_text("oximeter was loose")
    expect(page.get_by_role("button", name="Acknowledge")).to_have_count(0)

    page.get_by_text("Close with a record of what was done").click()
    page.get_by_role("button", name="Close the alert").click()  # the browser asks for what is missing
    assert Alert.objects.get().state == Alert.State.ACKNOWLEDGED
    page.get_by_label("What you saw, did or advised").fill("Back to 96 %.")
    page.get_by_role("button", name="Close the alert").click()
    expect(page.get_by_role("status")).to_have_text("The alert is closed.")
    expect(page.get_by_role("heading", name="Answer")).to_have_count(0)
    page.goto("/alerts/?state=closed")
    expect(page.locator(".alert-line")).to_contain_text("Closed")


def test_an_alert_is_acknowledged_with_the_keyboard_alone(portal):
    alert = raise_alert(portal.cast.patient)
    page = portal.page("bob")
    page.goto("/board/")

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate(f"document.activeElement.matches({selector!r})"):
                style = "getComputedStyle(document.activeElement).outlineStyle"
                assert page.evaluate(style) == "solid", f"the focus on {selector} cannot be seen"
                return
        raise AssertionError(f"{selector} was not reached by keyboard")

    tab_to("a.skip")
    page.keyboard.press("Enter")
    tab_to(".alert-line")
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/alerts/{alert.pk}/")
    tab_to("textarea")
    page.keyboard.type("Calling her.")
    tab_to("button[value=acknowledge]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("status")).to_have_text("The alert is acknowledged.")
    assert Alert.objects.get().state == Alert.State.ACKNOWLEDGED


def test_what_a_colleague_answers_is_seen_at_once_and_keeps_what_i_was_writing(portal):
    alert = raise_alert(portal.cast.patient)
    page = portal.page("bob")
    page.goto(f"/alerts/{alert.pk}/")
    expect(page.locator("[data-live]")).to_have_text("live")
    page.get_by_label("Note").fill("I am")
    elsewhere(lambda: alert_acknowledge(user=portal.cast.bob, alert=alert, note="on my way", now=timezone.now()))
    expect(page.locator(".lines li").last).to_contain_text("on my way")
    expect(page.get_by_label("Note")).to_have_value("I am")

    portal.expected.add(f"{portal.address}/alerts/{alert.pk}/answer/")
    page.get_by_role("button", name="Acknowledge").click()
    expect(page.get_by_role("status")).to_have_text("Bob has already acknowledged this alert.")
    expect(page.get_by_label("Note")).to_have_value("I am")
