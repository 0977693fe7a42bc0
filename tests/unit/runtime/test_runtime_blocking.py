"""Bounded thread pools."""

import queue
import threading

import pytest
from twisted.internet.defer import CancelledError
from zope.interface.verify import verifyObject

from twisted_xfer.errors import Busy, ConfigError, ShuttingDown
from twisted_xfer.interfaces import IBlocking
from twisted_xfer.runtime.blocking import BlockingPools, InlineBlocking

#: Seconds before a broken test ends; a good one never waits so long.
PATIENCE = 20


class Loop:
    """callFromThread, drained by the test's own thread."""

    def __init__(self):
        self.calls = queue.Queue()

    def callFromThread(self, call, *args):
        self.calls.put((call, args))

    def turn(self):
        call, args = self.calls.get(timeout=PATIENCE)
        call(*args)


@pytest.fixture
def loop():
    return Loop()


@pytest.fixture
def pools(loop):
    pools = BlockingPools(loop, {"small": (1, 2)})
    pools.start()
    yield pools
    pools.stop()


def outcome(deferred):
    box = []
    deferred.addBoth(box.append)
    return box


def test_interfaces(pools):
    """Both are what the host offers."""
    verifyObject(IBlocking, pools)
    verifyObject(IBlocking, InlineBlocking())


def test_result_and_failure_arrive_in_the_loop(pools, loop):
    """The call runs elsewhere, its answer comes back here."""
    where = outcome(pools.run(threading.get_ident))
    loop.turn()
    assert where[0] != threading.get_ident()
    wrong = outcome(pools.run(int, "x", pool="small"))
    loop.turn()
    assert wrong[0].check(ValueError)
    assert pools.pending("small") == pools.pending() == 0


def test_busy_one_past_the_queue(pools, loop):
    """One runs, two wait, the next is refused; afterwards there is room again."""
    gate = threading.Event()
    boxes = [outcome(pools.run(gate.wait, PATIENCE, pool="small")) for _ in range(3)]
    refused = outcome(pools.run(gate.wait, PATIENCE, pool="small"))
    assert refused[0].check(Busy)
    assert pools.pending("small") == 3
    gate.set()
    for _ in range(3):
        loop.turn()
    assert boxes == [[True]] * 3
    again = outcome(pools.run(int, "7", pool="small"))
    loop.turn()
    assert again == [7]


def test_pools_do_not_share_their_bounds(pools, loop):
    """A flood of hashes leaves the disks alone, and an unknown name means the disks."""
    gate = threading.Event()
    for _ in range(3):
        outcome(pools.run(gate.wait, PATIENCE, pool="small"))
    free = outcome(pools.run(int, "1", pool="no such pool"))
    loop.turn()
    assert free == [1]
    gate.set()
    for _ in range(3):
        loop.turn()


def test_cancelled_before_it_began_is_skipped(pools, loop):
    """Nobody waits, so nothing is done, and the place is given back."""
    gate = threading.Event()
    done = []
    outcome(pools.run(gate.wait, PATIENCE, pool="small"))
    waiting = pools.run(done.append, 1, pool="small")
    box = outcome(waiting)
    waiting.cancel()
    assert box[0].check(CancelledError)
    gate.set()
    loop.turn()
    loop.turn()
    assert done == []
    assert pools.pending("small") == 0


def test_stop_joins_and_drops_what_waits(loop):
    """The call that runs ends, those that wait fail, later ones are refused, no thread stays."""
    before = threading.active_count()
    pools = BlockingPools(loop, {"small": (1, 2)})
    pools.start()
    began, gate = threading.Event(), threading.Event()

    def slow():
        began.set()
        return gate.wait(PATIENCE)

    running = outcome(pools.run(slow, pool="small"))
    done = []
    waiting = outcome(pools.run(done.append, 1, pool="small"))
    assert began.wait(PATIENCE)
    stopper = threading.Thread(target=pools.stop)
    stopper.start()
    while not pools._pools["small"].stopping:
        pass
    gate.set()
    stopper.join(PATIENCE)
    loop.turn()
    loop.turn()
    assert running == [True]
    assert waiting[0].check(ShuttingDown)
    assert done == []
    assert outcome(pools.run(int, pool="small"))[0].check(ShuttingDown)
    pools.stop()
    assert threading.active_count() == before


@pytest.mark.parametrize("size", [(0, 1), (1, -1)])
def test_sizes_that_cannot_be(loop, size):
    """A pool without threads would never answer."""
    with pytest.raises(ConfigError) as caught:
        BlockingPools(loop, {"disk": size})
    assert caught.value.key == "pools.disk"


def test_inline_answers_at_once():
    """For tests and embedding: the answer or the failure is there already."""
    inline = InlineBlocking()
    assert outcome(inline.run(int, "7", pool="hash")) == [7]
    assert outcome(inline.run(int, "x"))[0].check(ValueError)
