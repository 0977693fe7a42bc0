"""What the tests of accounts share: a recording bus, a tiny storage, ways to take answers."""

from twisted.internet.defer import Deferred, fail, succeed
from twisted.python.failure import Failure
from zope.interface import implementer

from twisted_xfer.errors import NotFound
from twisted_xfer.interfaces import FileInfo, IEvents, IHasFileno, IReadFile, IStorage, IUpload, LoginContext

CONTEXT = LoginContext("ftp", "s1", "192.0.2.7", secure=False)


@implementer(IEvents)
class Bus:
    """Records events; ``vetoes`` is raised by ask() when it is set."""

    def __init__(self, active=True):
        self.active = active
        self.asks = False
        self.vetoes = None
        self.events = []
        self.asked = []

    def emit(self, event_id, **fields):
        self.events.append((event_id, fields))

    def ask(self, event_id, **fields):
        self.asked.append((event_id, fields))
        if self.vetoes is not None:
            return fail(self.vetoes)
        return succeed(None)

    def ids(self):
        return [event_id for event_id, _ in self.events]


@implementer(IReadFile)
class Reading:
    def __init__(self, name, data, offset):
        self.info = FileInfo(name, "file", len(data))
        self.offset = offset
        self.mode = "image"
        self._data = data
        self.closed = []

    def read(self, size):
        piece = self._data[self.offset : self.offset + size]
        self.offset += len(piece)
        return piece

    def advance(self, size):
        self.offset += size

    def close(self, reason=None):
        self.closed.append(reason)


@implementer(IHasFileno)
class PlainReading(Reading):
    def fileno(self):
        return 99


@implementer(IUpload)
class Writing:
    def __init__(self, storage, path, offset, data=b""):
        self.storage = storage
        self.path = path
        self.offset = offset
        self.mode = "image"
        self.data = bytearray(data)
        self.calls = []
        self.fails = None

    def reserve(self, size):
        return size

    def write(self, data):
        self.data += data
        self.offset += len(data)
        return self.storage.answer(None)

    def advance(self, size):
        self.data += b"\0" * size
        self.offset += size

    def commit(self, expected=None):
        self.calls.append("commit")
        if self.fails is not None:
            return self.storage.answer_error(self.fails)
        self.storage.files[self.path] = bytes(self.data)
        return self.storage.answer(FileInfo(self.path.name, "file", len(self.data)))

    def suspend(self, reason=None):
        self.calls.append("suspend")
        return self.storage.answer(None)

    def abort(self, reason=None):
        self.calls.append("abort")
        return self.storage.answer(None)


@implementer(IHasFileno)
class PlainWriting(Writing):
    def fileno(self):
        return 98


@implementer(IStorage)
class Tree:
    """Files in a dict. ``style`` is how it answers: value, deferred or coroutine."""

    capabilities = frozenset({"append", "resume"})

    def __init__(self, files=None, style="value", plain=False):
        self.files = dict(files or {})
        self.style = style
        self.plain = plain
        self.calls = []
        self.views = []
        self.closed = 0
        self.opened = None
        self.no_home = None

    def answer(self, value):
        if self.style == "deferred":
            return succeed(value)
        if self.style == "coroutine":

            async def come():
                return value

            return come()
        return value

    def answer_error(self, error):
        if self.style == "value":
            raise error
        if self.style == "deferred":
            return fail(error)

        async def come():
            raise error

        return come()

    def view(self, home, *, owner, create=False):
        self.views.append((home, owner, create))
        if self.no_home is not None:
            return self.answer_error(self.no_home)
        return self.answer(self)

    def stat(self, path):
        if path not in self.files:
            return self.answer_error(NotFound(bytes(path)))
        return self.answer(FileInfo(path.name, "file", len(self.files[path])))

    def list(self, path):
        return self._did("list", path)

    def open_read(self, path, offset=0):
        kind = PlainReading if self.plain else Reading
        self.opened = kind(path.name, self.files[path], offset)
        return self.answer(self.opened)

    def open_write(self, path, intent):
        old = self.files.get(path, b"")
        offset = len(old) if intent.append else intent.offset
        kind = PlainWriting if self.plain else Writing
        self.opened = kind(self, path, offset, old[:offset])
        return self.answer(self.opened)

    def _did(self, *call):
        self.calls.append(call)
        return self.answer(None)

    def make_directory(self, path):
        return self._did("make_directory", path)

    def remove(self, path):
        self.files.pop(path, None)
        return self._did("remove", path)

    def remove_directory(self, path):
        return self._did("remove_directory", path)

    def rename(self, source, target):
        return self._did("rename", source, target)

    def set_times(self, path, mtime_ns):
        return self._did("set_times", path, mtime_ns)

    def set_mode(self, path, mode):
        return self._did("set_mode", path, mode)

    def close(self):
        self.closed += 1


def result(call, *args, **kwargs):
    """The value of an answer that is there, whatever its shape; its error is raised."""
    answer = call(*args, **kwargs)
    if hasattr(answer, "send"):
        answer = Deferred.fromCoroutine(answer)
    if isinstance(answer, Deferred):
        box = []
        answer.addBoth(box.append)
        if not box:
            raise AssertionError("not answered yet")
        if isinstance(box[0], Failure):
            box[0].raiseException()
        return box[0]
    return answer
