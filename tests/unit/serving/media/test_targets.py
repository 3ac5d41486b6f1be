"""Addresses that are asked, and spellings that are not."""

import pytest

from oryx.serving.errors import RequestError
from oryx.serving.media.fetch import check_address
from oryx.serving.media.policy import MediaPolicy


@pytest.mark.parametrize(
    "source",
    [
        *(
            "http://evil.test/",
            "http://media.test.evil.test/",
            "http://evil.test/media.test",
            "http://127.0.0.1/",
        ),
        *("http://user:pw@media.test/", "http://media.test@evil.test/", "http://@media.test/"),
        *(
            "http://media.test:81/",
            "http://media.test:/x y",
            "http://media.test\\.evil.test/",
            "http:media.test/",
        ),
        *("http://evil.test\\@media.test/", "http://evil.test#@media.test/", "http://[::ffff:127.0.0.1]/"),
        *("http://0/", "http://0x7f.1/", "http://media.test\r\nX: y/", "http://media.test/\n", "http:///x"),
        *("ftp://media.test/", "http://media.test/é", "http://media%2etest/", "http://" + "a" * 9000),
    ],
)
def test_addresses_that_are_not_asked(source: str):
    with pytest.raises(RequestError) as error:
        check_address(source, MediaPolicy(allowed_hosts=("media.test",)))
    assert (error.value.status, error.value.code) == (400, "address_not_allowed")


def test_a_host_in_any_spelling_is_the_host():
    policy = MediaPolicy(allowed_hosts=("media.test",))
    for source in ("http://media.test", "HTTP://MEDIA.TEST./a?b#c", "http://media.test:80/a"):
        target = check_address(source, policy)
        assert (target.scheme, target.host, target.port) == ("http", "media.test", 80)
    assert check_address("https://media.test:443?b", policy).path == "/?b"
