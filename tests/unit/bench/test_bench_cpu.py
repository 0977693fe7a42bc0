"""What the benchmark reads from the kernel, and from names of package files."""

import pytest

from bench import rows
from bench.cpu import Stat, parse_pss, parse_stat, parse_usage_usec, tree
from bench.goals import BEST, OURS
from bench.packages import version_of
from bench.peers import PEERS

TAIL = "S 10 20 20 0 -1 4194560 1000 0 0 0 {0} {1} {2} {3} 20 0 1 0 100 1000 10 184467 1 1 0 0 0"


@pytest.mark.parametrize("name", ["vsftpd", "pure-ftpd (IDLE)", "a) S 99 (b", "two words"])
def test_stat_survives_any_command_name(name):
    """The name may hold spaces and parentheses; the fields are counted from its last one."""
    text = f"42 ({name}) {TAIL.format(1, 20, 300, 4000)}\n"
    assert parse_stat(text) == Stat(42, 10, 4321)


def test_stat_of_a_truncated_line_is_an_error():
    """Half a line never counts as zero ticks."""
    with pytest.raises((ValueError, IndexError)):
        parse_stat("42 (x)")


def test_pss_is_the_first_sum_not_its_parts():
    """smaps_rollup also splits Pss by kind: only the whole counts."""
    text = "00400000-7fff r--p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss:  345 kB\nPss_Anon: 300 kB\n"
    assert parse_pss(text) == 345


def test_pss_of_a_kernel_thread_is_an_error():
    """An empty file has no line to read."""
    with pytest.raises(ValueError, match="Pss"):
        parse_pss("")


def test_cgroup_two_counts_microseconds():
    """cpu.stat holds more keys than the one that is read."""
    assert parse_usage_usec("usage_usec 2500000\nuser_usec 1\nsystem_usec 2\n") == 2.5
    with pytest.raises(ValueError, match="usage_usec"):
        parse_usage_usec("user_usec 1\n")


def test_tree_holds_grandchildren_and_no_strangers():
    """A process-per-session server has three generations."""
    stats = [Stat(1, 0, 1), Stat(5, 1, 2), Stat(7, 6, 3), Stat(6, 5, 4), Stat(8, 1, 5)]
    assert [stat.pid for stat in tree(5, stats)] == [5, 6, 7]


def test_tree_of_a_dead_root_is_empty():
    """Children whose parent is gone are not guessed."""
    assert tree(5, [Stat(6, 5, 1)]) == []


@pytest.mark.parametrize(
    ("name", "version"),
    [
        ("vsftpd_3.0.3-13+b2_amd64.deb", "3.0.3-13+b2"),
        ("libcap2_1%3a2.66-4+deb12u2_amd64.deb", "2.66-4+deb12u2"),
        ("odd.deb", "unknown"),
    ],
)
def test_version_in_a_package_name(name, version):
    """The epoch is quoted in the name and says nothing to a reader."""
    assert version_of(name) == version


def test_goals_name_metrics_and_peers_that_exist():
    """A goal with a slip in a name would read `not measured` for ever."""
    names = {peer.name for peer in PEERS}
    assert OURS in names
    for row in rows.ROWS:
        for goal in row.goals:
            assert goal.metric in {metric.name for metric in row.metrics}
            assert goal.peer in {"", BEST, *names}


def test_row_keys_are_unique():
    """`--rows` chooses by key."""
    keys = [row.key for row in rows.ROWS]
    assert len(keys) == len(set(keys))
