"""Guessing the password takes ever longer, from one address or from many; what was typed is told nobody."""

import time

import httpx
import pytest

from kohya_gui.guard import Scope
from kohya_gui.login import LONGEST_WAIT_S, OF_ONE, Counter, guest, kept_here
from kohya_gui.server import credentials
from kohya_gui.settings import ServerOptions
from tests.door.conftest import NAME, PASSWORD, Door

DAY_S = 86_400.0


def tried(counter: Counter, addresses: list[str], until_s: float) -> int:
    """How many guesses those addresses get through in a time, each guessing whenever it may."""
    now_s, looked_at = 0.0, 0
    while now_s < until_s:
        waits = [counter.begin(address, now_s) for address in addresses]
        looked_at += sum(wait_s <= LONGEST_WAIT_S for wait_s in waits)
        now_s += max(1.0, min(waits))
    return looked_at


def test_one_address_gets_few_guesses_a_day() -> None:
    assert tried(Counter(), ["10.0.0.1"], DAY_S) < 400


def test_a_thousand_addresses_together_are_slow_too() -> None:
    addresses = [f"10.0.{i // 250}.{i % 250}" for i in range(1000)]
    assert tried(Counter(), addresses, 3600.0) < 1100


def test_a_burst_is_not_looked_at_at_once() -> None:
    counter = Counter()
    waits = [counter.begin("10.0.0.1", 0.0) for _ in range(1000)]
    assert sum(wait_s == 0 for wait_s in waits) == OF_ONE.free
    assert sum(wait_s <= LONGEST_WAIT_S for wait_s in waits) < 12


def test_whoever_has_been_in_before_is_not_kept_out_by_others() -> None:
    counter = Counter()
    counter.begin("192.168.1.1", 0.0)
    counter.succeeded("192.168.1.1")
    for i in range(3000):
        counter.begin(f"10.1.{i // 250}.{i % 250}", float(i))
    assert counter.begin("10.9.9.9", 3000.0) > 0
    assert counter.begin("192.168.1.1", 3000.0) == 0
    assert counter.begin("10.9.9.9", 3000.0 + 2 * 3600) == 0, "forgotten after a while"


def test_what_headers_say_of_an_address_is_not_believed() -> None:
    scope: Scope = {"client": ("10.0.0.1", 5), "headers": [(b"x-forwarded-for", b"1.2.3.4")]}
    assert guest(scope) == "10.0.0.1"
    assert guest({"client": ("2001:db8::1", 5)}) == guest({"client": ("2001:db8::ffff:2", 6)})


def test_an_own_cookie_keeps_its_other_parts() -> None:
    assert kept_here("a=b; Path=/; SameSite=None; Secure", False) == "a=b; Path=/; HttpOnly; SameSite=Lax"


def begin_anew(door: Door) -> None:
    """Tries of other tests do not count."""
    while door.friend.post("/login", data={"username": NAME, "password": PASSWORD}).status_code == 429:
        time.sleep(0.5)


@pytest.mark.parametrize("spoofed", [True, False])
def test_guesses_at_the_door_wait_and_the_right_one_comes_in(door: Door, spoofed: bool) -> None:
    def log_in(number: int, password: str) -> httpx.Response:
        headers = {"X-Forwarded-For": f"1.2.3.{number}", "X-Real-IP": f"1.2.3.{number}"} if spoofed else {}
        return door.guest.post("/login", data={"username": NAME, "password": password}, headers=headers)

    begin_anew(door)
    answers = [log_in(i, "swordfish") for i in range(7)]
    assert {answer.status_code for answer in answers} == {400}
    took_s = [answer.elapsed.total_seconds() for answer in answers]
    # The first five do not wait: the busiest machine answers one of them soon.
    assert min(took_s[:5]) < 0.5 < 0.9 < took_s[6]
    right = log_in(8, PASSWORD)
    assert right.status_code == 200 and right.elapsed.total_seconds() > 1.5
    door.guest.cookies.clear()
    assert log_in(9, PASSWORD).elapsed.total_seconds() < 1, "begins anew"
    door.guest.cookies.clear()


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"username": NAME},
        {"password": PASSWORD},
        {"username": [NAME, NAME], "password": "x"},
        {"username": "\0", "password": "\0"},
    ],
)
def test_half_a_login_is_none(door: Door, body: dict[str, object]) -> None:
    begin_anew(door)
    answer = door.guest.post("/login", data=body)
    assert answer.status_code in (400, 422) and "set-cookie" not in answer.headers


def test_the_page_is_never_open_to_others_without_a_password() -> None:
    for options in (ServerOptions(listen="0.0.0.0"), ServerOptions(share=True), ServerOptions(listen="::")):
        login = credentials(options)
        assert login and len(login[1]) >= 16
    assert credentials(ServerOptions(username="me")), "a name alone asks for a password too"
