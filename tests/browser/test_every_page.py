"""Every page, in light and dark, on a phone and on a desk: accessible, nothing cut off, no error, no broken policy."""

import pytest
from django.urls import reverse
from playwright.sync_api import expect

from portal.devices.models import Device
from portal.people import views
from tests.browser.conftest import barriers, raise_alert

PAGES = {
    "": ["/accounts/login/", "/accounts/password/reset/"],
    "bob": [
        "/board/",
        "/board/?show=no-data",
        "/board/?q=nobody",
        "/alerts/",
        "/alerts/?state=closed",
        "/alerts/{alert}/",
        "/patients/{alice}/",
        "/patients/{alice}/?view=table",
        "/patients/{alice}/?from=2026-02-01&to=2026-01-01",
        "/patients/{alice}/plan/",
        "/patients/{alice}/archive/",
        "/accounts/password/change/",
        "/accounts/email/",
        "/accounts/logout/",
    ],
    "alice": ["/me/", "/me/?view=table", "/alerts/", "/alerts/{alert}/", "/patients/{alice}/plan/", "/consent/"],
    "admin": [
        "/operations/",
        "/operations/refused/",
        "/admin/",
        "/admin/devices/device/",
        "/admin/devices/device/add/",
        "/admin/devices/device/{device}/change/",
        "/admin/people/patient/{alice}/change/",
        "/admin/monitoring/plan/add/",
    ],
}
LOOKS, MORE_LOOKS = (("light", 1440), ("dark", 320)), (("dark", 1440), ("light", 320))
MAIN = ("/patients/{alice}/", "/me/")


@pytest.mark.parametrize("who", PAGES)
def test_a_page_is_accessible_in_light_and_dark_on_a_phone_and_on_a_desk(portal, who):
    names = {
        "alert": raise_alert(portal.cast.patient).pk,
        "alice": portal.cast.patient.pk,
        "device": portal.cast.device.pk,
    }
    page, found = portal.page(who), {}
    for address in PAGES[who]:
        path = address.format(**names)
        page.goto(path)
        if page.locator("[data-vital]").count():
            expect(page.locator("[data-vital] [data-summary]").last).not_to_have_text("Loading…")
        for theme, width in LOOKS + (MORE_LOOKS if address in MAIN else ()):
            page.emulate_media(color_scheme=theme, reduced_motion="reduce")
            page.set_viewport_size({"width": width, "height": 900})
            found[path, theme, width] = barriers(page)
            if page.evaluate("document.documentElement.scrollWidth") > width and not path.startswith("/admin/"):
                found[path, theme, width].append("cut off at its side")
    assert {where: told for where, told in found.items() if told} == {}


def test_a_page_that_is_refused_or_fails_says_so_in_plain_words(portal, monkeypatch):
    page = portal.page("alice")
    for path, status, heading in (
        ("/nothing/", 404, "There is nothing here"),
        ("/board/", 403, "This is not for you to see"),
    ):
        portal.expect_status(page, path, status)
        expect(page.get_by_role("heading")).to_have_text(heading)
        assert barriers(page) == []

    def fails(*_):
        raise RuntimeError("88 %")

    monkeypatch.setattr(views, "board_of", fails)
    bob = portal.page("bob")
    portal.expect_status(bob, "/board/", 500)
    expect(bob.get_by_role("heading")).to_have_text("Something went wrong on our side")
    assert "88" not in bob.content()
    assert barriers(bob) == []


def test_an_operator_adds_a_device_and_assigns_it(portal):
    page = portal.page("admin")
    page.goto("/")
    page.wait_for_url("**/admin/")
    page.goto(reverse("admin:devices_device_add"))
    page.get_by_label("Organisation").select_option(label="Riverside Home Care")
    page.get_by_label("Device id").fill("oximeter-9")
    page.get_by_label("Kind").select_option(label="Pulse oximeter")
    page.get_by_label("Assign to").select_option(label="Rosa Ferreira")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
    assert Device.objects.get(device_id="oximeter-9").assignments.get().patient == portal.rosa
    bob = portal.page("bob")
    bob.goto(f"/patients/{portal.rosa.pk}/")
    expect(bob.get_by_role("region", name="Devices")).to_contain_text("oximeter-9")


def test_the_watch_over_policy_and_console_itself_works(portal):
    page = portal.page("bob")
    page.goto("/board/")
    page.evaluate("document.head.append(Object.assign(document.createElement('style'), {textContent: 'p {}'}))")
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('script'), {textContent: 'window.bad = 1'}))"
    )
    page.evaluate("console.error('an error')")
    page.wait_for_timeout(100)
    assert page.evaluate("window.bad") is None
    assert len(portal.problems) == 3, portal.problems
    assert sum("Content Security Policy" in problem for problem in portal.problems) == 2
    portal.problems.clear()
