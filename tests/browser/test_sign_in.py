"""Signing in and out."""

from playwright.sync_api import expect

from portal.accounts.models import User

PASSWORD = "three small boats"


def test_bob_signs_in_and_lands_on_the_board(portal):
    bob = User.objects.get(username="bob")
    bob.set_password(PASSWORD)
    bob.save()
    page = portal.page()
    page.goto("/board/")
    page.get_by_label("Name or e-mail").fill("bob")
    page.get_by_label("Password").fill("wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not correct")
    expect(page.get_by_label("Name or e-mail")).to_have_value("bob")
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url("**/board/")
    expect(page.locator(".who")).to_have_text("Bob")
    assert "bob" not in page.url


def test_a_board_left_open_by_somebody_who_signed_out_becomes_the_sign_in(portal):
    board = portal.page("bob")
    board.clock.install()
    board.goto("/board/")
    expect(board.locator("[data-live]")).to_have_text("live")
    other = board.context.new_page()
    other.goto("/alerts/")
    other.get_by_role("button", name="Sign out").click()
    other.wait_for_url("**/accounts/login/")
    board.clock.run_for(11_000)
    board.wait_for_url("**/accounts/login/?next=/board/")
    expect(board.get_by_role("heading", name="Sign in")).to_be_visible()
    assert board.locator(".board").count() == 0
