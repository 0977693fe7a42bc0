"""Contract suite for checkers of client certificates: subclass, say how to make yours, and run.

::

    class TestMyChecker(CertificateContract):
        def make_checker(self):
            return MyChecker(...)

        good = (b"alice", CertificateFacts("Alice", ("alice@example.com",), "ab" * 32))
"""

from __future__ import annotations

from typing import Any, ClassVar

import attrs
from twisted.cred.checkers import ANONYMOUS, ICredentialsChecker
from twisted.cred.error import UnauthorizedLogin
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import Account, CertificateFacts, ClientCertificate, IClientCertificate

#: A certificate that is nobody's.
STRANGER = CertificateFacts("stranger of nobody", ("stranger@nobody.invalid",), "5e" * 32)
#: Longer than any name in a certificate: it must be refused, not fail.
HUGE = 100_000


class CertificateContract:
    """What every checker of client certificates must do, whatever stands behind it.

    Attributes:
        good: a user name as bytes, and what a certificate says that is this user's and nobody else's.
    """

    good: ClassVar[tuple[bytes, CertificateFacts]]

    def make_checker(self) -> Any:
        """A checker that knows ``good``.

        Raises:
            NotImplementedError: not overridden.
        """
        raise NotImplementedError

    def settle(self, deferred: Deferred[Any]) -> None:
        """Wait until ``deferred`` has fired; override where answers take turns of a loop."""

    def ask(self, checker: Any, username: bytes, certificate: CertificateFacts) -> Any:
        """The answer of ``checker``: its avatar id or a Failure."""
        box: list[Any] = []
        deferred = maybeDeferred(checker.requestAvatarId, ClientCertificate(username, certificate))
        deferred.addBoth(box.append)
        self.settle(deferred)
        assert box, "the checker did not answer: override settle() if it needs a loop to turn"
        return box[0]

    def refused(self, checker: Any, username: bytes, certificate: CertificateFacts) -> Failure:
        """The failure with which ``checker`` refuses; it must be UnauthorizedLogin."""
        answer = self.ask(checker, username, certificate)
        assert isinstance(answer, Failure), f"logged in as {answer!r}"
        # Anything else is taken for a broken checker and closes the whole chain.
        assert isinstance(answer.value, UnauthorizedLogin), f"refused with {answer.type!r}"
        return answer

    def test_interface(self) -> None:
        """It is an ICredentialsChecker for client certificates."""
        checker = self.make_checker()
        verifyObject(ICredentialsChecker, checker)
        assert IClientCertificate in checker.credentialInterfaces

    def test_good_certificate_names_the_user(self) -> None:
        """The avatar id is the user's name as bytes or text, or an Account of that name; also when none is asked for."""
        name, certificate = self.good
        checker = self.make_checker()
        for asked in (name, b"", name):
            answer = self.ask(checker, asked, certificate)
            if isinstance(answer, Account):
                answer = answer.username
            assert answer in {name, name.decode("utf-8", "surrogateescape")}, repr(answer)
            assert answer != ANONYMOUS

    def test_another_user_with_a_good_certificate(self) -> None:
        """Nobody becomes somebody else, and nobody learns who exists."""
        checker = self.make_checker()
        name, certificate = self.good
        unknown = self.refused(checker, b"nobody-of-that-name", certificate)
        wrong = self.refused(checker, name, STRANGER)
        assert str(unknown.value) == str(wrong.value)
        for other in (name + b"x", name[:-1], name.swapcase() + b"!", name + b"\0"):
            if other:
                self.refused(checker, other, certificate)

    def test_a_stranger(self) -> None:
        """Refused for a user, for none, and after a good login."""
        checker = self.make_checker()
        name, certificate = self.good
        self.ask(checker, name, certificate)
        self.refused(checker, name, STRANGER)
        self.refused(checker, b"", STRANGER)

    def test_a_certificate_that_says_nothing(self) -> None:
        """No name fits no rule."""
        checker = self.make_checker()
        for asked in (self.good[0], b""):
            self.refused(checker, asked, CertificateFacts("", (), STRANGER.fingerprint))

    def test_nearly_the_same(self) -> None:
        """A name is the name to the letter, and a fingerprint is never half of one."""
        checker = self.make_checker()
        name, certificate = self.good
        near = attrs.evolve(
            certificate,
            common_name=f"{certificate.common_name}x",
            names=tuple(f"x{one}" for one in certificate.names),
            fingerprint=certificate.fingerprint[:-1] + ("1" if certificate.fingerprint[-1] == "0" else "0"),
        )
        self.refused(checker, name, near)

    def test_odd_names(self) -> None:
        """Empty, not UTF-8, with NUL, with separators, huge: refused, never an error of another kind."""
        checker = self.make_checker()
        for text in (b"\xff\xfe", b"a\0b", b"a:b", b"../a", b"a\nb", b"%s{0}", b"*", b"x" * HUGE):
            self.refused(checker, text, self.good[1])
            shown = text.decode("utf-8", "surrogateescape")
            self.refused(checker, self.good[0], CertificateFacts(shown, (shown,), STRANGER.fingerprint))
