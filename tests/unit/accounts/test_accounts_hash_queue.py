"""The queue before the hash pool: fair by address, bounded for each and in all."""

import pytest
from twisted.internet.defer import Deferred, fail

from twisted_xfer.accounts.hash_queue import HashQueue, key_of
from twisted_xfer.errors import Busy


class Pool:
    """Keeps calls until the test lets them end."""

    def __init__(self):
        self.running = []
        self.fails = None

    def run(self, function, *args, pool="disk"):
        assert pool == "hash"
        if self.fails is not None:
            return fail(self.fails)
        waiting = Deferred()
        self.running.append((args[0], waiting))
        return waiting

    def end(self):
        name, waiting = self.running.pop(0)
        waiting.callback(name)
        return name


def make(**settings):
    pool = Pool()
    return pool, HashQueue(pool, **settings)


def ask(queue, key, name):
    box = []
    queue.run(key, len, name).addBoth(box.append)
    return box


def test_at_once_and_one_more():
    """No more go to the pool than it has threads; the next goes when one has ended."""
    pool, queue = make(at_once=2)
    boxes = [ask(queue, "a", name) for name in ("1", "2", "3")]
    assert [name for name, _ in pool.running] == ["1", "2"]
    assert queue.waiting == 1
    pool.end()
    assert boxes == [["1"], [], []]
    assert [name for name, _ in pool.running] == ["2", "3"]
    pool.end()
    pool.end()
    assert boxes == [["1"], ["2"], ["3"]]
    assert (queue.waiting, queue._running, dict(queue._queues)) == (0, 0, {})


def test_addresses_take_turns():
    """Whoever comes behind a flood from elsewhere waits for one turn, not for the flood."""
    pool, queue = make(at_once=1)
    for n in range(50):
        ask(queue, "flood", f"f{n}")
    ask(queue, "good", "g0")
    ask(queue, "good", "g1")
    order = [pool.end() for _ in range(6)]
    assert order == ["f0", "f1", "g0", "f2", "g1", "f3"]


def test_one_address_at_its_limit_and_one_past():
    """The one past it is refused; others are not."""
    _, queue = make(at_once=1, per_key=2)
    ask(queue, "a", "running")
    waiting = [ask(queue, "a", "w") for _ in range(2)]
    past = ask(queue, "a", "past")
    assert past[0].check(Busy)
    assert waiting == [[], []]
    assert ask(queue, "b", "other") == []
    assert queue.waiting == 3


def test_all_at_the_limit_and_one_past():
    """The longest queue loses its newest to an address that has less."""
    pool, queue = make(at_once=1, most=4)
    ask(queue, "flood", "running")
    flood = [ask(queue, "flood", f"f{n}") for n in range(4)]
    assert queue.waiting == 4
    good = ask(queue, "good", "g")
    assert good == []
    assert flood[3][0].check(Busy)
    assert flood[:3] == [[], [], []]
    assert queue.waiting == 4
    assert ask(queue, "flood", "more")[0].check(Busy)
    assert [pool.end() for _ in range(5)] == ["running", "f0", "g", "f1", "f2"]
    assert good == ["g"]


def test_equal_queues_refuse_the_newcomer():
    """Taking from one to give to its equal would help nobody."""
    _, queue = make(at_once=1, most=2)
    ask(queue, "a", "running")
    ask(queue, "b", "1")
    ask(queue, "c", "1")
    assert ask(queue, "d", "1")[0].check(Busy)


@pytest.mark.parametrize("count", [1, 400])
def test_pool_that_fails_lets_all_go(count):
    """What waits is asked of it in turn, without a recursion of that depth, and each hears why."""
    pool, queue = make(at_once=1, per_key=count)
    ask(queue, "a", "running")
    boxes = [ask(queue, "a", "x") for _ in range(count)]
    pool.fails = RuntimeError("stopped")
    pool.end()
    assert all(box[0].check(RuntimeError) for box in boxes)
    assert (queue.waiting, queue._running) == (0, 0)


def test_keys():
    """An IPv6 host is one whichever of its addresses it uses; IPv4 is itself, mapped or not."""
    assert key_of("2001:db8::1") == key_of("2001:db8::ffff:2%eth0") != key_of("2001:db8:0:1::1")
    assert key_of("::ffff:192.0.2.1") == key_of("192.0.2.1") == "192.0.2.1"
    assert key_of("") == ""
    assert key_of("/run/x") == "/run/x"
