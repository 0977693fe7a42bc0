"""Token buckets: exact over ten seconds, fair, and never idle while there is something to do."""

from __future__ import annotations

import gc

import pytest
from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import Account, ILimiter, LoginContext
from twisted_xfer.runtime.throttle import BURST, SHARE_BYTES, Bucket, Limiter, Rates, Throttle

SECONDS = 10.0
CONTEXT = LoginContext("ftp", "s1", "192.0.2.7")


class Pump:
    """Moves as a pump does: a step, a pause as long as delay() says, at least a millisecond.

    ``speed`` is what its network takes, in bytes per second; ``chunk`` what it asks for at once.
    """

    def __init__(self, clock, limiter, chunk=1 << 20, late=0.0, speed=None, waste=0.0):
        self.clock, self.limiter, self.chunk, self.late = clock, limiter, chunk, late
        self.speed, self.waste = speed, waste
        self.moved = 0
        self.steps = 0
        clock.callLater(0, self.step)

    def step(self):
        self.steps += 1
        granted = self.limiter.take(self.chunk)
        assert 0 <= granted <= self.chunk
        if not granted:
            delay = self.limiter.delay()
            assert delay >= 0
            self.clock.callLater(max(delay, 0.001) + self.late, self.step)
            return
        unused = int(granted * self.waste)
        self.limiter.give_back(unused)
        self.moved += granted - unused
        pause = (granted - unused) / self.speed if self.speed else 0.0001
        self.clock.callLater(pause, self.step)


def run(clock, seconds=SECONDS):
    """Let the time pass from call to call, as a reactor does, so that nothing is early or late."""
    end = clock.seconds() + seconds
    for _ in range(2_000_000):
        due = min(call.getTime() for call in clock.getDelayedCalls())
        if due > end:
            break
        clock.advance(max(0.0, due - clock.seconds()))
    clock.advance(end - clock.seconds())


def throttle(clock, total=0, account=0, session=0):
    made = Throttle(clock, Rates(total, account, session), Rates())
    return lambda name="alice", rate=0: made(Account(name, rate_up=rate), CONTEXT)[0]


@pytest.mark.parametrize("rate", [1, 999, 64_000, 1_000_000, 10_000_000, 1_000_000_000])
@pytest.mark.parametrize("level", ["total", "account", "session"])
@pytest.mark.parametrize("late", [0.0, 0.01])
def test_exact_within_five_per_cent_over_ten_seconds(rate, level, late):
    """At each level, from a crawl to a gigabyte per second, also when timers come late."""
    clock = Clock()
    pump = Pump(clock, throttle(clock, **{level: rate})(), late=late)
    run(clock)
    assert abs(pump.moved - rate * SECONDS) <= max(1, rate * SECONDS * 0.05)


@pytest.mark.parametrize("waste", [0.5, 0.9])
def test_what_is_given_back_is_not_lost(waste):
    """A socket that takes a part of what was allowed gets its rate all the same."""
    clock = Clock()
    pump = Pump(clock, throttle(clock, total=1_000_000)(), waste=waste)
    run(clock)
    assert abs(pump.moved - 10_000_000) <= 500_000


@pytest.mark.parametrize("level", ["total", "account"])
@pytest.mark.parametrize("count", [2, 10, 100])
def test_sessions_share_alike(level, count):
    """Together they get the rate, and each the same, whatever chunks they ask for."""
    clock = Clock()
    make = throttle(clock, **{level: 5_000_000})
    pumps = [Pump(clock, make(), chunk=(1 << 20) if n % 2 else 100_000) for n in range(count)]
    run(clock)
    total = sum(pump.moved for pump in pumps)
    assert abs(total - 50_000_000) <= 2_500_000
    fair = 50_000_000 / count
    for pump in pumps:
        assert abs(pump.moved - fair) <= max(fair * 0.05, SHARE_BYTES * 2 + 5_000_000 * BURST)


def test_a_session_that_comes_later_gets_its_share():
    """Who was there first has no more right than others."""
    clock = Clock()
    make = throttle(clock, total=1_000_000)
    first = Pump(clock, make())
    run(clock)
    before = first.moved
    second = Pump(clock, make())
    run(clock)
    assert abs(second.moved - 5_000_000) <= 250_000
    assert abs(first.moved - before - 5_000_000) <= 250_000


def test_what_slow_sessions_leave_goes_to_the_others():
    """One whose network takes a tenth, and one with a limit of its own: the third gets all the rest."""
    clock = Clock()
    make = throttle(clock, total=1_000_000)
    slow = Pump(clock, make("slow"), speed=100_000, chunk=10_000)
    limited = Pump(clock, make("limited", 200_000))
    quick = Pump(clock, make("quick"))
    run(clock)
    assert abs(slow.moved - 1_000_000) <= 150_000
    assert abs(limited.moved - 2_000_000) <= 100_000
    assert abs(quick.moved - 7_000_000) <= 350_000


def test_equal_shares_whatever_the_own_limit():
    """A limit of one's own that is above the fair share takes nothing from that share."""
    clock = Clock()
    make = throttle(clock, total=300_000)
    limited, free = Pump(clock, make("limited", 200_000)), Pump(clock, make("free"))
    run(clock)
    assert abs(limited.moved - 1_500_000) <= 75_000
    assert abs(free.moved - 1_500_000) <= 75_000


def test_the_tightest_level_decides():
    """Session below account below total, and sessions of an account share its rate."""
    clock = Clock()
    make = throttle(clock, total=1_000_000, account=300_000, session=200_000)
    one = Pump(clock, make("alice"))
    two, three = Pump(clock, make("bob")), Pump(clock, make("bob"))
    run(clock)
    assert abs(one.moved - 2_000_000) <= 100_000
    assert abs(two.moved + three.moved - 3_000_000) <= 150_000
    assert abs(two.moved - 1_500_000) <= 100_000


def test_waiting_sessions_do_not_poll():
    """A hundred that wait come back when it is their turn and not before."""
    clock = Clock()
    make = throttle(clock, total=1_000_000)
    pumps = [Pump(clock, make()) for _ in range(100)]
    run(clock)
    # 50 shares a second, each with the step that takes it and the one that books the next.
    assert sum(pump.steps for pump in pumps) <= 2 * 50 * SECONDS + 300


def test_an_idle_time_is_caught_up_with_for_a_moment_only():
    """A burst is bounded, however long nothing was moved."""
    clock = Clock()
    limiter = throttle(clock, total=1000)()
    clock.advance(3600)
    assert limiter.take(10_000) == 1000 * BURST
    assert limiter.take(10_000) == 0


def test_a_booking_is_kept_for_the_next_transfer():
    """Who broke off before its turn has paid already; what it wants less of is given back."""
    clock = Clock()
    limiter = throttle(clock, session=1000)()
    assert limiter.take(100) == 100
    assert limiter.take(100) == 0
    assert limiter.delay() == pytest.approx(0.02)
    assert limiter.take(100) == 0, "nothing is booked twice"
    clock.advance(0.03)
    assert limiter.delay() == 0
    assert limiter.take(5) == 5
    assert limiter.take(100) == 25, "the rest of the share, and what came meanwhile"


def test_no_limits_no_limiters():
    """And an account's own rate, as it is at each login."""
    clock = Clock()
    assert Throttle(clock, Rates(), Rates())(Account("alice"), CONTEXT) == (None, None)
    made = Throttle(clock, Rates(), Rates(account=5))
    up, down = made(Account("alice", rate_up=100), CONTEXT)
    verifyObject(ILimiter, up)
    assert down is not None
    again, _ = made(Account("alice", rate_up=200), CONTEXT)
    assert again._buckets[0] is up._buckets[0]
    assert up._buckets[0].rate == 200
    assert len(made._up._accounts) == 1
    del up, again
    gc.collect()
    assert len(made._up._accounts) == 0


def test_the_smallest_share_is_a_byte():
    """A rate of one byte per second still moves."""
    clock = Clock()
    assert Bucket(1, 0.0).share == 1
    limiter = Limiter(clock, [Bucket(1, 0.0)])
    assert limiter.take(10) == 0
    clock.advance(limiter.delay())
    assert limiter.take(10) == 1
