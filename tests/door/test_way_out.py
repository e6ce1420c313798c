"""Who came in with a password goes out by a button."""

from playwright.sync_api import Browser, expect

from tests.door.conftest import NAME, PASSWORD, Door


def test_whoever_is_logged_in_can_log_out(door: Door, browser: Browser) -> None:
    page = browser.new_page()
    page.goto(door.url)
    page.get_by_label("username").fill(NAME)
    page.get_by_label("password").fill(PASSWORD)
    page.get_by_role("button", name="Login").click()
    page.get_by_role("link", name="Log out").click()
    expect(page.get_by_label("password")).to_be_visible()
    page.reload()
    expect(page.get_by_label("password")).to_be_visible()
    page.close()
