"""Contract suite for authentication checkers: subclass, say how to make yours, and run.

::

    class TestMyChecker(CheckerContract):
        def make_checker(self):
            return MyChecker(...)

        good = (b"alice", b"her password")
"""

from __future__ import annotations

from typing import Any, ClassVar

from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.credentials import IUsernamePassword, UsernamePassword
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import Account

#: Longer than any checker should look at: it must be refused, not fail.
HUGE = 100_000
_CANARY = b"canary-2718281828-password"


class AsksChecker:
    """What contracts of checkers share: making one, and asking it."""

    def make_checker(self) -> Any:
        """A checker that knows ``good``.

        Raises:
            NotImplementedError: not overridden.
        """
        raise NotImplementedError

    def settle(self, deferred: Deferred[Any]) -> None:
        """Wait until ``deferred`` has fired; override where answers take turns of a loop."""

    def answer(self, checker: Any, credentials: Any) -> Any:
        """What ``checker`` says to ``credentials``: its avatar id or a Failure."""
        box: list[Any] = []
        deferred = maybeDeferred(checker.requestAvatarId, credentials)
        deferred.addBoth(box.append)
        self.settle(deferred)
        assert box, "the checker did not answer: override settle() if it needs a loop to turn"
        return box[0]

    def refusal(self, checker: Any, credentials: Any) -> Failure:
        """The failure with which ``checker`` refuses; it must be UnauthorizedLogin."""
        answer = self.answer(checker, credentials)
        assert isinstance(answer, Failure), f"logged in as {answer!r}"
        # Anything else is taken for a broken checker and closes the whole chain.
        assert isinstance(answer.value, UnauthorizedLogin), f"refused with {answer.type!r}"
        return answer


class CheckerContract(AsksChecker):
    """What every checker of user names and passwords must do, whatever stands behind it.

    Attributes:
        good: a user name and its password, as bytes.
    """

    good: ClassVar[tuple[bytes, bytes]]

    def ask(self, checker: Any, username: bytes, password: bytes) -> Any:
        """The answer of ``checker``: its avatar id or a Failure."""
        return self.answer(checker, UsernamePassword(username, password))

    def refused(self, checker: Any, username: bytes, password: bytes) -> Failure:
        """The failure with which ``checker`` refuses; it must be UnauthorizedLogin."""
        return self.refusal(checker, UsernamePassword(username, password))

    def test_interface(self) -> None:
        """It is an ICredentialsChecker for user names and passwords."""
        checker = self.make_checker()
        verifyObject(ICredentialsChecker, checker)
        assert IUsernamePassword in checker.credentialInterfaces

    def test_good_login_names_the_user(self) -> None:
        """The avatar id is the user's name as bytes or text, or an Account of that name."""
        name, password = self.good
        answer = self.ask(self.make_checker(), name, password)
        if isinstance(answer, Account):
            answer = answer.username
        assert answer in {name, name.decode("utf-8", "surrogateescape")}, repr(answer)
        assert answer != ANONYMOUS

    def test_good_login_twice(self) -> None:
        """The second answer is the first."""
        checker = self.make_checker()
        name, password = self.good
        assert self.ask(checker, name, password) == self.ask(checker, name, password)

    def test_wrong_password(self) -> None:
        """Another, a shorter, a longer, an empty one, and another's case."""
        checker = self.make_checker()
        name, password = self.good
        for wrong in (
            b"",
            password[:-1],
            password + b"x",
            password + b"\0",
            b"x",
            password.swapcase() + b"!",
        ):
            self.refused(checker, name, wrong)

    def test_wrong_password_after_a_good_login(self) -> None:
        """Nothing that is remembered lets a wrong password in."""
        checker = self.make_checker()
        name, password = self.good
        assert not isinstance(self.ask(checker, name, password), Failure)
        self.refused(checker, name, password + b"x")
        self.refused(checker, name + b"x", password)

    def test_unknown_user(self) -> None:
        """Refused the same way as a wrong password."""
        checker = self.make_checker()
        _, password = self.good
        wrong = self.refused(checker, self.good[0], b"wrong")
        unknown = self.refused(checker, b"nobody-of-that-name", password)
        assert str(wrong.value) == str(unknown.value)

    def test_odd_names_and_passwords(self) -> None:
        """Empty, not UTF-8, with NUL, with separators, huge: refused, never an error of another kind."""
        checker = self.make_checker()
        odd = (b"", b"\xff\xfe", b"a\0b", b"a:b", b"../a", b"a\nb", b"%s{0}", "\u4f60".encode(), b"x" * HUGE)
        for text in odd:
            self.refused(checker, text, b"x")
            self.refused(checker, self.good[0], text)

    def test_password_is_in_no_failure(self) -> None:
        """What was typed is neither in the error nor in its traceback."""
        checker = self.make_checker()
        for name in (self.good[0], b"nobody-of-that-name"):
            failure = self.refused(checker, name, _CANARY)
            trace = failure.getTraceback()
            text = repr(failure) + str(failure.value) + repr(failure.value) + trace
            assert _CANARY.decode() not in text
            assert _CANARY.decode() not in repr(checker)
