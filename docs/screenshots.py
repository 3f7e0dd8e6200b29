"""Take the pictures of the documents from a demo that has just started: `.venv/bin/python docs/screenshots.py`.

Bob's board must be open before Alice gets worse, half a minute after the demo is ready: the alert is awaited on the
open page, without a reload. PORT and VAR_DIR are those of the demo; Chromium is found on the PATH or named by
TEST_CHROMIUM.
"""

import os
import shutil
import time
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images"
VAR_DIR = Path(os.environ.get("VAR_DIR", DOCS.parent / "var"))
ADDRESS = f"http://127.0.0.1:{os.environ.get('PORT', '8000')}"
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
ALERT_S = 120
DESK, PHONE = {"width": 1440, "height": 900}, {"width": 390, "height": 844}


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=FLAGS)
        board = signed_in(browser, "bob", viewport=DESK)
        board.goto(f"{ADDRESS}/board/")
        take(board, "board-light")
        begun = time.monotonic()
        alert = board.locator("tr", has_text="Alice Marsh").locator(".alert-line")
        alert.first.wait_for(timeout=ALERT_S * 1000)
        print(f"the alert came to the open board after {time.monotonic() - begun:.0f} s")
        take(board, "alert-live")
        patient = signed_in(browser, "bob", viewport=DESK, color_scheme="dark")
        patient.goto(board.locator("tr", has_text="Alice Marsh").locator("th a").first.evaluate("a => a.href"))
        _charts(patient)
        take(patient, "patient-dark")
        phone = signed_in(browser, "alice", viewport=PHONE)
        phone.goto(f"{ADDRESS}/me/")
        _charts(phone)
        take(phone, "patient-phone")
        browser.close()


def chromium() -> str | None:
    return os.environ.get("TEST_CHROMIUM") or shutil.which("chromium")


def signed_in(browser: Browser, who: str, **options: object) -> Page:
    page = browser.new_context(**options).new_page()
    page.goto(f"{ADDRESS}/accounts/login/")
    page.fill("input[name=login]", who)
    page.fill("input[name=password]", (VAR_DIR / "demo-password").read_text().strip())
    page.click("main button[type=submit], main button")
    page.wait_for_url(lambda url: "login" not in url)
    return page


def _charts(page: Page) -> None:
    page.locator("[data-plot] svg").first.wait_for()


def take(page: Page, name: str, *, full_page: bool = False) -> None:
    page.screenshot(path=IMAGES / f"{name}.png", full_page=full_page)
    print(IMAGES / f"{name}.png")


if __name__ == "__main__":
    main()
