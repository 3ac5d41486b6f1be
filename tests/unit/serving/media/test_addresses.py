"""Every block of addresses that a server must not be sent to."""

from ipaddress import ip_address

import pytest

from oryx.serving.media.addresses import is_public, parse_address


@pytest.mark.parametrize(
    "text",
    [
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "127.0.0.1", "127.255.255.254", "169.254.169.254"),
        *("172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.2.1", "192.88.99.1", "192.168.1.1"),
        *("198.18.0.1", "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1"),
        "255.255.255.255",
        *(
            "::",
            "::1",
            "fe80::1",
            "fe80::1%eth0",
            "fc00::1",
            "fd00:ec2::254",
            "fec0::1",
            "ff02::1",
            "ff0e::1",
        ),
        *("2001:db8::1", "100::1", "2001::1", "3fff::1"),
        # Global in some versions of Python, none of them a host's.
        *("2001:1::1", "2001:3::1", "2001:4:112::1", "2001:20::1", "2001:30::1", "192.0.0.9", "192.0.0.10"),
        *("::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::127.0.0.1", "::8.8.8.8"),
        *("64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "2002:7f00:1::1", "2002:808:808::1"),
        *("2001:0:7f00:1::1", "2a00:1450::5efe:127.0.0.1", "2a00:1450::200:5efe:10.0.0.1"),
    ],
)
def test_addresses_that_are_not_public(text: str):
    assert not is_public(parse_address(text))


@pytest.mark.parametrize(
    "text", ["8.8.8.8", "1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700:4700::1111", "2a00:1450:4001::1"]
)
def test_addresses_that_are_public(text: str):
    assert is_public(ip_address(text))
