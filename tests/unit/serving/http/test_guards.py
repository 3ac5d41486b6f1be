"""Who is let in."""

import pytest
from fake_serving import serving
from http_calls import CHAT, ask, call

from oryx.errors import ConfigError
from oryx.serving.http.settings import Access, access_for, is_loopback, normal_host


@pytest.fixture(scope="module")
def running():
    with serving() as server:
        yield server


@pytest.fixture(scope="module")
def locked():
    with serving(access=Access(api_keys=("first-key", "second-key"))) as server:
        yield server


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1234", "127.0.0.1:80", "[::1]:8000", "localhost."])
def test_loopback_goes_by_these_names(running, host):
    assert ask(running, Host=host).status == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::2]", "x" * 300]
)
def test_a_name_that_was_rebound_to_loopback_is_refused(running, host):
    answer = ask(running, Host=host)
    assert (answer.status, answer.error["code"]) == (403, "host_not_allowed")
    assert call(running, "GET", "/health", Host=host).status == 403


def test_a_server_may_have_more_names():
    access = access_for("127.0.0.1", server_names=["Oryx.example."])
    with serving(access=access) as running:
        assert ask(running, Host="oryx.example:443").status == 200
        assert ask(running, Host="localhost").status == 200
        assert ask(running, Host="other.example").status == 403


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost:1", "http://[", "x"])
def test_pages_of_others_are_refused(running, origin):
    answer = ask(running, Origin=origin)
    assert (answer.status, answer.error["code"]) == (403, "origin_not_allowed")
    assert "access-control-allow-origin" not in answer.headers


def test_a_page_of_the_servers_own_name_may_ask(running):
    assert ask(running, Origin=f"http://127.0.0.1:{running.port}").status == 200


def test_pages_may_be_allowed():
    page = "https://page.example"
    with serving(access=Access(api_keys=("the-key",), origins=(page,))) as running:
        asked = {"Origin": page, "Access_Control_Request_Method": "POST"}
        before = call(running, "OPTIONS", CHAT, Access_Control_Request_Headers="authorization", **asked)
        assert (before.status, before.headers["access-control-allow-origin"]) == (200, page)
        answer = ask(running, Origin=page, Authorization="Bearer the-key")
        assert (answer.status, answer.headers["access-control-allow-origin"]) == (200, page)
        wrong = ask(running, Origin=page)
        assert (wrong.status, wrong.headers["access-control-allow-origin"]) == (401, page)
        assert ask(running, Origin="https://other.example").status == 403
    with serving(access=Access(origins=("*",))) as running:
        assert ask(running, Origin="https://any.example").headers["access-control-allow-origin"] == "*"


def test_without_allowed_pages_there_is_no_preflight(running):
    answer = call(running, "OPTIONS", CHAT, Access_Control_Request_Method="POST")
    assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")


@pytest.mark.parametrize("key", ["first-key", "second-key"])
def test_any_of_the_keys_opens(locked, key):
    assert ask(locked, Authorization=f"Bearer {key}").status == 200
    assert ask(locked, Authorization=f"bearer  {key} ").status == 200
    assert call(locked, "GET", "/metrics", Authorization=f"Bearer {key}").status == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        "Bearer first-ke",
        "Bearer first-key2",
        "Basic first-key",
        "first-key",
        "Bearer \xe9",
    ],
)
@pytest.mark.parametrize(
    ("method", "path"), [("POST", CHAT), ("GET", "/v1/models"), ("GET", "/metrics"), ("GET", "/x")]
)
def test_nothing_but_a_key_does(locked, header, method, path):
    answer = call(locked, method, path, Authorization=header)
    assert (answer.status, answer.error["code"]) == (401, "invalid_api_key")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert b"first-key" not in answer.body


def test_health_needs_no_key(locked):
    assert call(locked, "GET", "/health").status == 200


def test_a_refused_body_is_not_read(locked):
    head = {"Content_Length": str(10**12), "Content_Type": "application/json"}
    answer = call(locked, "POST", CHAT, b"{}", **head)
    assert answer.status == 401
    assert answer.headers["connection"] == "close"


def test_beyond_loopback_a_key_is_needed():
    for host in ("0.0.0.0", "::", "192.168.1.2", "example.org"):
        with pytest.raises(ConfigError, match="--no-auth"):
            access_for(host)
        assert access_for(host, no_auth=True).api_keys == ()
        assert access_for(host, ["the-key"]).server_names is None
    assert access_for("0.0.0.0", ["the-key"], server_names=["a.example"]).server_names == {"a.example"}
    assert access_for("127.0.0.1").server_names == {"localhost", "127.0.0.1", "::1"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"api_keys": [""]}, "API key"),
        ({"api_keys": ["with space"]}, "API key"),
        ({"api_keys": ["schlüssel"]}, "API key"),
        ({"api_keys": ["a-key"], "no_auth": True}, "exclude"),
        ({"origins": ["example.org"]}, "--allow-origin"),
        ({"origins": ["https://example.org/page"]}, "--allow-origin"),
    ],
)
def test_access_that_cannot_be(more, words):
    with pytest.raises(ConfigError, match=words):
        access_for("127.0.0.1", **more)


def test_keys_are_not_shown():
    assert "secret" not in repr(Access(api_keys=("secret",)))


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.9.9.9", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("a.b", False),
    ],
)
def test_what_is_loopback(host, expected):
    assert is_loopback(host) == expected


@pytest.mark.parametrize(
    ("header", "name"),
    [("Name.Example.:80", "name.example"), ("[::1]:80", "::1"), ("::1", "::1"), ("", ""), (" a ", "a")],
)
def test_a_host_header_has_one_spelling(header, name):
    assert normal_host(header) == name
