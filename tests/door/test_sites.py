"""Other sites, other names: what a browser would send for them is refused, and what it may do with answers is told."""

import socket

import httpx
import pytest
from playwright.sync_api import Browser

from tests.door.conftest import NAME as USER
from tests.door.conftest import PASSWORD, Door

OWN = {"Sec-Fetch-Site": "same-origin"}
LINK = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Referer": "http://evil.test/a"}


@pytest.mark.parametrize(
    "host",
    ["evil.test", "127.0.0.1.evil.test", "localhost.evil.test", "evil.test:7", "0.0.0.0", "[::]", "192.168.1.9", ""],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/", "/config", "/studio.js", "/gradio_api/info", "/nowhere"])
def test_a_name_that_was_pointed_here_gets_no_answer(door: Door, host: str, path: str) -> None:
    assert door.friend.get(path, headers={"Host": host}).status_code == 403


@pytest.mark.parametrize("headers", [{"X-Forwarded-Host": "evil.test"}, {"X-Forwarded-Host": "127.0.0.1, evil.test"}])
def test_a_name_that_a_proxy_tells_must_be_known_too(door: Door, headers: dict[str, str]) -> None:
    assert door.friend.get("/", headers=headers).status_code == 403


def test_two_names_at_once_are_no_request(door: Door) -> None:
    with socket.create_connection(("127.0.0.1", door.port)) as line:
        line.sendall(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nHost: evil.test\r\n\r\n")
        assert line.recv(100).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9"},
        {"Origin": "http://["},
        {"Referer": "http://evil.test/page"},
        {"Referer": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        LINK,
    ],
)
def test_other_sites_may_ask_for_nothing(door: Door, headers: dict[str, str]) -> None:
    picture = f"/file?path={door.home / 'p.png'}"
    for path in ("/config", picture, "/studio.js", "/logout", "/theme.css", "/tensorboard/6006/"):
        assert door.friend.get(path, headers=headers).status_code == 403, path
    for path in ("/gradio_api/component_server/", "/gradio_api/queue/join", "/login"):
        assert door.friend.post(path, headers=headers, json={}).status_code == 403, path
    assert door.friend.get("/config").status_code == 200, "nobody was logged out"


def test_a_link_from_anywhere_opens_the_page_and_nothing_shows_it_within_another(door: Door) -> None:
    assert door.friend.get("/", headers=LINK).status_code == 200
    # A picture, a script or a frame's request is no visit.
    for mode in ("no-cors", "cors", "websocket"):
        assert door.friend.get("/", headers={**LINK, "Sec-Fetch-Mode": mode}).status_code == 403
    answer = door.friend.get("/")
    assert answer.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", None]
)
def test_what_a_form_can_send_is_not_taken(door: Door, kind: str | None) -> None:
    """Forms of other sites may send these three without asking; here even without an Origin they do nothing."""
    assert door.ask("queue_pause", paused=False).json() == {"paused": False}
    body = b'{"data": ["queue_pause", {"paused": true}], "component_id": %d, "session_hash": "x", "fn_name": "call"}'
    for path in ("/gradio_api/component_server/", "/gradio_api/queue/join", "/gradio_api/call/queue_pause"):
        headers = {"Content-Type": kind} if kind else {}
        answer = door.friend.post(path, content=body % door.component, headers=headers)
        assert answer.status_code == 415 and "JSON" in answer.json()["error"]
    assert door.ask("poll").json()["paused"] is False


@pytest.mark.parametrize("method", ["OPTIONS", "PUT", "DELETE", "PATCH", "TRACE", "HEAD"])
def test_other_methods_and_questions_of_browsers_get_no_leave(door: Door, method: str) -> None:
    asked = {"Origin": door.url, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "x"}
    answer = door.friend.request(method, "/gradio_api/component_server/", headers=asked)
    assert answer.status_code == 404
    assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize(
    "path", ["/", "/config", "/studio.js", "/theme.css", "/nowhere", "/gradio_api/info", "/file?path=x"]
)
def test_every_answer_says_what_browsers_may_do_with_it(door: Door, path: str) -> None:
    for client in (door.guest, door.friend):
        headers = client.get(path, headers={"Origin": door.url}).headers
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cross-origin-resource-policy"] == headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["x-frame-options"] == "DENY" and "content-security-policy" in headers
        assert "access-control-allow-origin" not in headers and "server" not in headers
        assert len(headers.get_list("x-content-type-options")) == 1


def test_what_is_private_is_kept_in_no_store(door: Door) -> None:
    for path in ("/", "/config", "/gradio_api/info"):
        assert door.friend.get(path).headers["cache-control"] == "no-store"
    assert door.friend.get(f"/file?path={door.home / 'p.png'}").headers["cache-control"].startswith("private")
    assert "immutable" in door.friend.get("/studio.js").headers["cache-control"]


@pytest.mark.parametrize("proto", [None, "https"])
def test_the_cookie_is_for_this_page_alone(door: Door, proto: str | None) -> None:
    headers = {"X-Forwarded-Proto": proto} if proto else {}
    with httpx.Client(base_url=door.url) as browser:
        answer = browser.post("/login", data={"username": USER, "password": PASSWORD}, headers=headers)
        cookies = answer.headers.get_list("set-cookie")
        assert len(cookies) == 2
        for cookie in cookies:
            said = [part.strip() for part in cookie.split(";")]
            assert {"HttpOnly", "SameSite=Lax"} <= set(said) and ("Secure" in said) == (proto == "https")
        session = {"Cookie": "; ".join(cookie.split(";")[0] for cookie in cookies)}
        assert browser.get("/config", headers=session).status_code == 200
        assert door.guest.get("/gradio_api/token", headers=session).status_code == 404, "no script reads it either"
        assert browser.get("/logout", headers={**session, **OWN}).status_code == 302
        assert browser.get("/config", headers=session).status_code == 401, "the session is over, not only the cookie"
    assert door.friend.post("/login", data={"username": USER, "password": PASSWORD}).status_code == 200


def test_a_web_socket_is_never_opened(door: Door) -> None:
    head = "GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    head += (
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: http://evil.test\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", door.port)) as line:
        line.sendall(head.encode())
        assert line.recv(100).startswith(b"HTTP/1.1 403")


def test_what_gets_into_the_page_later_does_not_run(door: Door, browser: Browser) -> None:
    """As it would by a caption or a file's name that reached the page as markup; and nothing is told to other sites."""
    context = browser.new_context()
    cookies = [{"name": name, "value": value, "url": door.url} for name, value in door.friend.cookies.items()]
    context.add_cookies(cookies)  # type: ignore[arg-type]  # a typed dictionary of playwright's
    page = context.new_page()
    page.goto(door.url)
    page.wait_for_function("window.Studio && Studio.store.state.project !== undefined")
    page.evaluate(
        """async () => {
        window.run = [];
        const place = document.createElement("div");
        place.innerHTML = '<img src="x" onerror="run.push(1)"><svg onload="run.push(2)"></svg>' +
            '<a href="javascript:run.push(3)">a</a><iframe srcdoc="<script>parent.run.push(4)<\\/script>"></iframe>';
        document.body.append(place);
        place.querySelector("a").click();
        const script = document.createElement("script");
        script.textContent = "run.push(5)";
        document.body.append(script);
        const far = document.createElement("script");
        far.src = "http://127.0.0.1:9/far.js";
        document.body.append(far);
        await fetch("http://127.0.0.1:9/told", {mode: "no-cors"}).then(() => run.push(6), () => {});
        const form = Object.assign(document.createElement("form"), {action: "http://127.0.0.1:9/", method: "post"});
        document.body.append(form);
        form.submit();
        await new Promise(resolve => setTimeout(resolve, 300));
    }"""
    )
    assert page.evaluate("run") == [] and page.url.startswith(door.url)
    context.close()
