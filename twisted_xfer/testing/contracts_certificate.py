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
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from twisted_xfer.interfaces import Account, CertificateFacts, ClientCertificate, IClientCertificate
from twisted_xfer.testing.contracts_checker import AsksChecker

#: A certificate that is nobody's.
STRANGER = CertificateFacts("stranger of nobody", ("stranger@nobody.invalid",), "5e" * 32)
#: Longer than any name in a certificate: it must be refused, not fail.
HUGE = 100_000


class CertificateContract(AsksChecker):
    """What every checker of client certificates must do, whatever stands behind it.

    Attributes:
        good: a user name as bytes, and what a certificate says that is this user's and nobody else's.
    """

    good: ClassVar[tuple[bytes, CertificateFacts]]

    def ask(self, checker: Any, username: bytes, certificate: CertificateFacts) -> Any:
        """The answer of ``checker``: its avatar id or a Failure."""
        return self.answer(checker, ClientCertificate(username, certificate))

    def refused(self, checker: Any, username: bytes, certificate: CertificateFacts) -> Failure:
        """The failure with which ``checker`` refuses; it must be UnauthorizedLogin."""
        return self.refusal(checker, ClientCertificate(username, certificate))

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
