"""Work in a process of its own, which may lose its rights, hit a limit, or die."""

import os
import traceback

DONE, WRONG = 0, 99


def in_child(work) -> int:
    """Run ``work`` in a forked child; its exit code, WRONG after an exception."""
    child = os.fork()
    if child == 0:
        try:
            work()
        except BaseException:
            traceback.print_exc()
            os._exit(WRONG)
        os._exit(DONE)
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status)
