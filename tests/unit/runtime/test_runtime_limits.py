"""Limits: counts, leases, back-off and bans."""

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twisted_xfer.errors import Banned, ConfigError, LimitReached
from twisted_xfer.interfaces import ILease, ILimits
from twisted_xfer.runtime import limits as module
from twisted_xfer.runtime.limits import FREE_PER_ADDRESS, FREE_PER_USER, Limits, network_of


def make(**settings):
    clock = Clock()
    return clock, Limits(clock, **settings)


def test_interfaces():
    """What protocols are promised is there."""
    _, limits = make()
    verifyObject(ILimits, limits)
    verifyObject(ILease, limits.admit("192.0.2.1"))


def test_clients_at_the_limit_and_one_past():
    """The last place is given, the next is refused, and a released one is given again."""
    _, limits = make(max_clients=2)
    first = limits.admit("192.0.2.1")
    limits.admit("192.0.2.2")
    with pytest.raises(LimitReached) as caught:
        limits.admit("192.0.2.3")
    assert caught.value.fields["limit"] == "clients"
    first.release()
    limits.admit("192.0.2.3")
    assert limits.clients == 2


def test_address_at_the_limit_and_one_past():
    """Each address has its own count, and a refused connection counts nowhere."""
    _, limits = make(max_per_address=2, max_clients=3)
    limits.admit("192.0.2.1")
    limits.admit("192.0.2.1")
    with pytest.raises(LimitReached) as caught:
        limits.admit("192.0.2.1")
    assert caught.value.fields["limit"] == "address"
    assert limits.clients == 2
    limits.admit("192.0.2.2")


def test_release_twice_counts_once():
    """A lease that is released again takes nobody else's place away."""
    _, limits = make(max_clients=2)
    lease = limits.admit("192.0.2.1")
    limits.admit("192.0.2.1")
    lease.release()
    lease.release()
    assert limits.clients == 1
    limits.admit("192.0.2.1")
    with pytest.raises(LimitReached):
        limits.admit("192.0.2.1")


def test_tables_are_empty_when_nobody_is_there():
    """Nothing is remembered of those who left."""
    _, limits = make()
    leases = [limits.admit(f"192.0.2.{n}") for n in range(5)] + [limits.session("a", "192.0.2.1")]
    for lease in leases:
        lease.release()
    assert limits._addresses == {}
    assert limits._users == {}


def test_sessions_by_the_accounts_own_limit_and_the_common_one():
    """The account's own limit goes before the common one."""
    _, limits = make(max_per_user=1)
    limits.session("alice", "192.0.2.1")
    with pytest.raises(LimitReached) as caught:
        limits.session("alice", "192.0.2.1")
    assert caught.value.fields["limit"] == "user"
    limits.session("bob", "192.0.2.1", most=2)
    limits.session("bob", "192.0.2.1", most=2)
    with pytest.raises(LimitReached):
        limits.session("bob", "192.0.2.1", most=2)


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("not:an:address", "not:an:address"),
    ],
)
def test_network_of(address, network):
    """IPv6 counts per /64, mapped IPv4 as itself, and nothing raises."""
    assert network_of(address) == network


def test_ipv6_neighbours_share_a_count():
    """A host cannot be many by using its /64."""
    _, limits = make(max_per_address=1)
    limits.admit("2001:db8::1")
    with pytest.raises(LimitReached):
        limits.admit("2001:db8::2")
    limits.admit("2001:db8:0:1::1")


def test_delay_grows_with_failures_and_stays_with_the_pair():
    """Mistyping is free; then each failure doubles the wait, for this user from this address only."""
    clock, limits = make()
    waits = []
    for _ in range(FREE_PER_USER + 3):
        waits.append(limits.delay("192.0.2.1", "alice"))
        clock.advance(waits[-1])
        limits.failed("192.0.2.1", "alice")
    assert waits[:FREE_PER_USER] == [0.0] * FREE_PER_USER
    assert 0.4 < waits[FREE_PER_USER] <= 0.5
    assert waits[FREE_PER_USER + 1] > 1.8 * waits[FREE_PER_USER]
    assert waits[FREE_PER_USER + 2] > 1.8 * waits[FREE_PER_USER + 1]
    assert limits.delay("192.0.2.2", "alice") == 0.0
    assert limits.delay("192.0.2.1", "bob") == 0.0


def test_parallel_attempts_wait_in_turn_and_too_many_are_refused():
    """Many connections at once guess no faster than one."""
    _, limits = make()
    for _ in range(FREE_PER_USER):
        limits.failed("192.0.2.1", "alice")
    waits = [limits.delay("192.0.2.1", "alice") for _ in range(60)]
    assert waits[:3] == [0.5, 1.0, 1.5]
    assert waits[-1] == module.MAX_QUEUE
    with pytest.raises(Banned) as caught:
        limits.delay("192.0.2.1", "alice")
    assert caught.value.fields["retry_after"] > module.MAX_QUEUE


def test_failures_decay():
    """Half an hour later nobody waits."""
    clock, limits = make()
    for _ in range(FREE_PER_USER + 4):
        limits.failed("192.0.2.1", "alice")
    assert limits.delay("192.0.2.1", "alice") > 0
    clock.advance(1800)
    assert limits.delay("192.0.2.1", "alice") == 0.0


def test_success_forgets_the_pair_but_not_the_address():
    """One good account buys no endless guesses at the others."""
    _, limits = make()
    for n in range(FREE_PER_ADDRESS):
        limits.failed("192.0.2.1", f"user{n}")
    for _ in range(FREE_PER_USER):
        limits.failed("192.0.2.9", "alice")
    limits.succeeded("192.0.2.9", "alice")
    limits.succeeded("192.0.2.1", "mallory")
    assert limits.delay("192.0.2.9", "alice") == 0.0
    assert limits.delay("192.0.2.1", "victim") > 0


def test_failure_table_is_bounded():
    """At the limit all are remembered, past it the oldest are not."""
    _, limits = make(max_failures=4)
    limits.failed("192.0.2.1", "a")
    limits.failed("192.0.2.2", "a")
    assert len(limits._failures) == 4
    limits.failed("192.0.2.3", "a")
    assert len(limits._failures) == 4
    assert ("192.0.2.1", "") not in limits._failures
    assert ("192.0.2.3", "=a") in limits._failures


def test_long_user_names_do_not_grow_the_table():
    """A name counts by its first bytes only."""
    _, limits = make()
    limits.failed("192.0.2.1", "x" * 100_000)
    assert max(len(name) for _, name in limits._failures) == module.MAX_USERNAME + 1


def test_ban_after_failures_expires_and_is_lifted():
    """The configured number of failures bans; time or an administrator lets in again."""
    clock, limits = make(ban_after=3, ban_seconds=60)
    for _ in range(2):
        limits.failed("2001:db8::1", "a")
    limits.admit("2001:db8::2").release()
    limits.failed("2001:db8::1", "a")
    with pytest.raises(Banned) as caught:
        limits.admit("2001:db8::2")
    assert caught.value.fields["retry_after"] == 60
    assert [ban.address for ban in limits.bans()] == ["2001:db8::/64"]
    clock.advance(60)
    assert limits.bans() == []
    limits.admit("2001:db8::2")
    limits.ban("192.0.2.1", 60)
    assert limits.lift("192.0.2.1") is True
    assert limits.lift("192.0.2.1") is False
    limits.admit("192.0.2.1")


def test_rate_at_the_limit_and_one_past():
    """Half a minute's worth at once, then one for each that the minute brings; others are not touched."""
    clock, limits = make(connects_per_minute=4)
    for _ in range(2):
        limits.admit("192.0.2.1").release()
    with pytest.raises(LimitReached) as caught:
        limits.admit("192.0.2.1")
    assert caught.value.fields["limit"] == "rate"
    assert limits.clients == 0
    limits.admit("192.0.2.2")
    clock.advance(15)
    limits.admit("192.0.2.1")
    with pytest.raises(LimitReached):
        limits.admit("192.0.2.1")
    clock.advance(3600)
    for _ in range(2):
        limits.admit("192.0.2.1")
    with pytest.raises(LimitReached):
        limits.admit("192.0.2.1")


def test_rate_table_is_bounded(monkeypatch):
    """The address that was quiet longest is forgotten first."""
    monkeypatch.setattr(module, "MAX_RATES", 2)
    _, limits = make(connects_per_minute=2)
    for n in range(3):
        limits.admit(f"192.0.2.{n}")
    assert list(limits._rates) == ["192.0.2.1", "192.0.2.2"]


def test_allowed_networks_are_neither_banned_nor_hurried():
    """Its failures slow down one user there, not the whole address; connections are not counted by rate."""
    _, limits = make(connects_per_minute=2, ban_after=3, allow=["10.0.0.0/8", "2001:db8::/32"])
    for peer in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
        for n in range(FREE_PER_ADDRESS + 3):
            limits.failed(peer, f"u{n}")
            limits.admit(peer)
        assert limits.delay(peer, "other") == 0.0
    assert limits.bans() == []
    for _ in range(3):
        limits.failed("11.0.0.1", "a")
    assert [ban.address for ban in limits.bans()] == ["11.0.0.1"]


def test_banned_address_gets_no_login_on_a_connection_it_has():
    """The attempt is refused before anything is hashed."""
    _, limits = make(ban_after=2)
    limits.admit("192.0.2.1")
    for _ in range(2):
        limits.failed("192.0.2.1", "a")
    with pytest.raises(Banned) as caught:
        limits.delay("192.0.2.1", "b")
    assert caught.value.fields["retry_after"] == 600


def test_attempts_that_jump_the_queue_add_to_the_score():
    """Who goes on when told to wait is banned in the end, however slowly answers are given."""
    _, limits = make(ban_after=20)
    for _ in range(FREE_PER_USER):
        limits.failed("192.0.2.1", "a")
    refused = 0
    while not limits.bans():
        try:
            limits.delay("192.0.2.1", "a")
        except Banned:
            refused += 1
        assert refused < 100
    assert refused == 20 - FREE_PER_USER


@pytest.mark.parametrize("network", ["10.0.0.0/33", "here", ""])
def test_allow_list_that_is_none(network):
    """A slip in it stops the start, with the remedy."""
    with pytest.raises(ConfigError) as caught:
        make(allow=[network])
    assert caught.value.value == network
