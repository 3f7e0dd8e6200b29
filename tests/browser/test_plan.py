"""A plan changed in the browser: what is wrong is said where it is wrong, and nothing that was typed is lost."""

from playwright.sync_api import expect

from portal.monitoring.models import Plan


def test_a_bad_limit_is_explained_and_a_mended_plan_is_in_force(portal):
    page, path = portal.page("bob"), f"/patients/{portal.cast.patient.pk}/plan/"
    portal.expected.add(portal.address + path)
    page.goto(path)
    page.get_by_label("Why is this person monitored?").fill("COPD, new oxygen")
    low, high = (
        page.get_by_label("Oxygen saturation: low limit, %"),
        page.get_by_label("Oxygen saturation: high limit, %"),
    )
    low.fill("96")
    high.fill("90")
    page.get_by_role("button", name="Put in force").click()
    summary = page.get_by_role("alert")
    expect(summary).to_contain_text("Nothing was changed.")
    expect(summary).to_contain_text("Oxygen saturation: the low limit must be below the high one.")
    expect(summary).to_contain_text("Oxygen saturation: say why this limit is set.")
    expect(page.get_by_label("Why is this person monitored?")).to_have_value("COPD, new oxygen")
    expect(low).to_have_attribute("aria-invalid", "true")
    summary.get_by_role("link").first.click()
    expect(low).to_be_focused()
    low.fill("88")
    high.fill("")
    page.get_by_label("Oxygen saturation: why this limit").fill("Target 88 to 92 %")
    page.get_by_role("button", name="Put in force").click()
    expect(page.get_by_role("status")).to_have_text("The plan is in force.")
    plan = Plan.objects.get(patient=portal.cast.patient, in_force_to=None)
    assert (plan.version, plan.reason, plan.limits.get().low) == (2, "COPD, new oxygen", 88)


def test_monitoring_is_paused_seen_on_the_board_and_resumed(portal):
    page, board = portal.page("bob"), portal.page("bob")
    board.goto("/board/")
    expect(board.locator("[data-live]")).to_have_text("live")
    page.goto(f"/patients/{portal.cast.patient.pk}/plan/")
    page.get_by_label("Why is monitoring paused?").fill("in hospital")
    page.get_by_role("button", name="Pause monitoring").click()
    expect(page.get_by_role("status")).to_have_text("Monitoring is paused.")
    expect(page.locator(".heading")).to_contain_text("Paused: in hospital. Nobody is alerted.")
    expect(board.locator("tr", has_text="Alice Marsh")).to_contain_text("Paused: in hospital")
    expect(board.get_by_role("link", name="Not watched now 1")).to_be_visible()
    page.get_by_role("button", name="Resume monitoring").click()
    expect(page.get_by_role("status")).to_have_text("Monitoring goes on.")
    expect(board.locator("tr", has_text="Alice Marsh")).to_contain_text("COPD, after discharge")
