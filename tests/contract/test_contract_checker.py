"""The checkers' contract, over ours and over Twisted's own."""

import pytest
from twisted.cred.checkers import FilePasswordDB, InMemoryUsernamePasswordDatabaseDontUse

from twisted_xfer.accounts.certificate_file import CertificateFile
from twisted_xfer.accounts.chain import ChainChecker
from twisted_xfer.accounts.users_file import UsersFile
from twisted_xfer.interfaces import CertificateFacts
from twisted_xfer.runtime.blocking import InlineBlocking
from twisted_xfer.testing.contracts_certificate import CertificateContract
from twisted_xfer.testing.contracts_checker import CheckerContract


@pytest.fixture(scope="module")
def cheap_hash():
    import argon2

    cheap = argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    return cheap.hash(b"correct horse")


class TestMemory(CheckerContract):
    """Twisted's memory checker."""

    good = (b"alice", b"secret")

    def make_checker(self):
        checker = InMemoryUsernamePasswordDatabaseDontUse()
        checker.addUser(b"alice", b"secret")
        return checker


class TestChain(CheckerContract):
    """A chain whose second checker knows the user."""

    good = (b"alice", b"secret")

    def make_checker(self):
        first = InMemoryUsernamePasswordDatabaseDontUse()
        first.addUser(b"bob", b"other")
        return ChainChecker([first, TestMemory().make_checker()])


class TestFile(CheckerContract):
    """Twisted's password file."""

    good = (b"alice", b"secret")

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.path = tmp_path / "passwords"
        self.path.write_bytes(b"alice:secret\n")

    def make_checker(self):
        return FilePasswordDB(str(self.path))


class TestUsersToml(CheckerContract):
    """Our users file, in TOML."""

    good = (b"alice", b"correct horse")
    name = "users.toml"

    def text(self, stored):
        return f'[users.alice]\npassword = "{stored}"\n[users.nopassword]\n'

    @pytest.fixture(autouse=True)
    def place(self, tmp_path, cheap_hash):
        self.path = tmp_path / self.name
        self.path.write_text(self.text(cheap_hash))
        self.path.chmod(0o600)

    def make_checker(self):
        return UsersFile(str(self.path), seconds=lambda: 0.0, blocking=InlineBlocking())


class TestUsersLines(TestUsersToml):
    """Our users file, one line each."""

    name = "users"

    def text(self, stored):
        return f"# comment\nalice:{stored}:/srv/alice:read\n"


class TestCertificateFile(CertificateContract):
    """``--auth certificate:FILE``."""

    good = (b"alice", CertificateFacts("Alice", ("alice@example.com",), "ab" * 32))
    text = '"cn:Alice" = "alice"\n"san:bob@example.com" = "bob"\n'

    @pytest.fixture(autouse=True)
    def place(self, tmp_path):
        self.path = tmp_path / "certificates.toml"
        self.path.write_text(self.text)
        self.path.chmod(0o600)

    def make_checker(self):
        return CertificateFile(str(self.path))


class TestCertificatesOfUsers(TestCertificateFile):
    """Our users file."""

    text = f'[users.alice]\ncertificates = ["sha256:{"ab" * 32}"]\n[users.bob]\ncertificates = "cn:Bob"\n'

    def make_checker(self):
        return UsersFile(str(self.path), seconds=lambda: 0.0, blocking=InlineBlocking())


class TestCertificatesInAChain(TestCertificateFile):
    """A chain whose second checker knows the certificate."""

    def make_checker(self):
        first = self.path.with_name("first.toml")
        first.write_text('"cn:Bob" = "bob"')
        return ChainChecker([CertificateFile(str(first)), CertificateFile(str(self.path))])
