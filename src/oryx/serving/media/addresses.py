"""Which addresses on the network are public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address, ip_network

UNICAST = IPv6Network("2000::/3")
"""All that was ever given out for single hosts: nothing else of IPv6 is public."""
NOT_FOR_HOSTS = tuple(map(ip_network, ("192.0.0.0/24", "192.88.99.0/24", "2001::/23", "3fff::/20")))
"""Protocols' own (RFC 6890), relays and documentation; some versions of Python count parts as global."""
ISATAP = (b"\x00\x00\x5e\xfe", b"\x02\x00\x5e\xfe")


def parse_address(text: str) -> IPv4Address | IPv6Address:
    """An address as the system writes it; with a scope ("fe80::1%eth0") it is still the address."""
    return ip_address(text.partition("%")[0])


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether an address is one of the public network, and of nothing else.

    False for private, loopback, link-local, shared (carrier-grade NAT), multicast, reserved and unspecified
    addresses, for those of protocols and documentation, and for IPv6 addresses that carry another address
    inside: mapped, compatible, translated, NAT64, 6to4, Teredo and ISATAP. Those reach whatever the gateway
    on the way lets them reach.
    """
    if isinstance(address, IPv6Address):
        if address.sixtofour or address.teredo or address.packed[8:12] in ISATAP:
            return False
        if address not in UNICAST:
            return False
    return (
        address.is_global
        and not any(address in network for network in NOT_FOR_HOSTS)
        and not address.is_private
        and not address.is_multicast
        and not address.is_reserved
        and not address.is_link_local
        and not address.is_loopback
        and not address.is_unspecified
    )
