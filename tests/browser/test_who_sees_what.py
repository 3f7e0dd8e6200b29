"""Who sees what: Charlie nothing of Alice, Alice herself in plain words, nobody any value once consent is withdrawn."""

import re

from playwright.sync_api import expect

from tests.browser.conftest import raise_alert

WARD_WORDS = re.compile(r"NEWS2|score|points|SpO₂|saturation|respirat|diagnos|abnormal|critical|danger|urgent", re.I)


def test_charlie_sees_nothing_of_alice(portal):
    alert = raise_alert(portal.cast.patient)
    page, alice = portal.page("charlie"), portal.cast.patient.pk
    page.goto("/board/")
    expect(page.locator(".board a.name")).to_have_text(["Dora Dale"])
    page.goto("/alerts/")
    expect(page.locator("main")).to_contain_text("There are no open alerts.")
    for path in (f"/patients/{alice}/", f"/patients/{alice}/plan/", f"/alerts/{alert.pk}/"):
        portal.expect_status(page, path, 404)
        expect(page.locator("main")).to_contain_text("not")
        assert "Alice" not in page.content()
    assert page.request.get(f"/patients/{alice}/charts.json?vital=spo2").status == 404


def test_alice_sees_herself_in_plain_words_and_nobody_else(portal):
    alert = raise_alert(portal.cast.patient)
    page = portal.page("alice", viewport={"width": 390, "height": 844})
    page.goto("/")
    page.wait_for_url("**/me/")
    expect(page.locator(".alert-line")).to_contain_text(
        "Your oxygen level and heart rate are outside the range set for you."
    )
    expect(page.locator(".tiles")).to_contain_text("97 %")
    expect(page.locator(".tiles")).to_contain_text("Breathing rate")
    for path in ("/me/", "/me/?view=table", f"/alerts/{alert.pk}/", "/alerts/", "/consent/"):
        page.goto(path)
        assert WARD_WORDS.findall(page.locator("main").inner_text()) == [], path
    page.goto(f"/patients/{portal.cast.patient.pk}/plan/")
    expect(page.get_by_role("button", name="Put in force")).to_have_count(0)
    portal.expect_status(page, f"/patients/{portal.maya.pk}/", 404)
    portal.expect_status(page, "/board/", 403)
    expect(page.get_by_role("heading")).to_have_text("This is not for you to see")


def test_consent_withdrawn_hides_every_value_at_once(portal):
    alert, alice = raise_alert(portal.cast.patient), portal.cast.patient.pk
    board, record, told = portal.page("bob"), portal.page("bob"), portal.page("bob")
    board.goto("/board/")
    record.goto(f"/patients/{alice}/")
    told.goto(f"/alerts/{alert.pk}/")
    for page in (board, record, told):
        expect(page.locator("[data-live]")).to_have_text("live")
        expect(page.locator("[data-live-part]")).to_contain_text("88 %")

    patient = portal.page("alice")
    patient.goto("/consent/")
    patient.get_by_role("button", name="Withdraw “care”").click()
    expect(patient.get_by_role("status")).to_have_text("Your consent for “care” is withdrawn.")

    expect(board.locator("tr", has_text="Alice Marsh")).to_contain_text("nothing is received or shown")
    expect(record.locator("[data-live-part]")).to_contain_text("nothing is received or shown")
    expect(told.locator("[data-live-part]")).to_contain_text("are not shown")
    for page in (board.locator("tr", has_text="Alice Marsh"), record.locator("[data-live-part]"), told.locator("main")):
        assert not re.search(r"\b(88|97|112|36\.8)\b", page.inner_text())
    board.goto("/alerts/")
    expect(board.locator(".alert-line")).to_contain_text("Alice Marsh NEWS2")
    assert "88 %" not in board.content()
    assert record.request.get(f"/patients/{alice}/charts.json?vital=spo2").status == 403
    patient.goto("/me/")
    expect(patient.locator("main")).to_contain_text("You have not given consent to care")
    patient.goto("/consent/")
    patient.get_by_role("button", name="Give “care”").click()
    expect(board.locator(".alert-line")).to_contain_text("88 %")
