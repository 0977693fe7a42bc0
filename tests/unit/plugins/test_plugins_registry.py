"""The registry: what it finds, what it refuses, and that looking costs nothing."""

import importlib
import subprocess
import sys
import types
from importlib import metadata

import attrs
import pytest
from zope.interface import implementer
from zope.interface.verify import verifyObject

from twisted_xfer.errors import PluginError
from twisted_xfer.interfaces import API_VERSION, IListenerPlugin, IPluginRecord
from twisted_xfer.plugins import PluginRecord, Registry, is_frozen_with_defaults


@attrs.frozen
class Options:
    path: str = ""


@implementer(IListenerPlugin)
class Plugin:
    api_version = API_VERSION
    options = Options

    def __init__(self, name="good", **changes):
        self.name = name
        vars(self).update(changes)

    def describe(self):
        return "A listener."

    def open(self, options, host):
        raise NotImplementedError


@attrs.define
class Changeable:
    path: str = ""


@attrs.frozen
class WithoutDefault:
    path: str


@pytest.fixture
def targets(monkeypatch):
    """A module that records can name."""
    module = types.ModuleType("xfer_test_targets")
    module.good = Plugin()
    module.misnamed = Plugin("another")
    module.old = Plugin("old", api_version=0)
    module.loose = Plugin("loose", options=Changeable)
    module.demanding = Plugin("demanding", options=WithoutDefault)
    module.nothing = object()
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def record(name, target="good", kind="listener"):
    return PluginRecord(kind, name, f"xfer_test_targets:{target}", f"Summary of {name}.")


def test_a_record_provides_its_interface():
    """What a drop-in holds is found by IPluginRecord."""
    verifyObject(IPluginRecord, record("good"))


@pytest.mark.parametrize(
    "arguments",
    [
        ("listner", "a", "m:a"),
        ("listener", "", "m:a"),
        ("listener", "a", "m.a"),
        ("listener", "a", "m:"),
        ("listener", "a", ":a"),
        ("listener", "a", "m:a.b"),
    ],
)
def test_a_wrong_record_is_refused_where_it_is_written(arguments):
    """A typing error in a drop-in fails in the drop-in, not at the first use."""
    with pytest.raises(ValueError, match=r".+"):
        PluginRecord(*arguments)


def test_get_imports_and_verifies(targets):
    """The named plugin comes back, the same each time."""
    registry = Registry([record("good")])
    assert registry.get("listener", "good") is targets.good
    assert registry.get("listener", "good") is targets.good


@pytest.mark.parametrize(
    ("name", "target", "told"),
    [
        ("good", "missing", "cannot import"),
        ("good", "misnamed", "calls itself 'another'"),
        ("old", "old", "plugin API 0"),
        ("loose", "loose", "frozen"),
        ("demanding", "demanding", "default"),
        ("good", "nothing", "IListenerPlugin"),
    ],
)
def test_a_plugin_that_is_not_what_it_says_is_refused(targets, name, target, told):
    """Each broken promise is named when the plugin is asked for."""
    with pytest.raises(PluginError) as caught:
        Registry([record(name, target)]).get("listener", name)
    assert told in caught.value.detail


def test_a_module_that_cannot_be_imported_is_named(targets):
    """The detail tells the target and the reason."""
    registry = Registry([PluginRecord("listener", "gone", "xfer_no_such_module:x")])
    with pytest.raises(PluginError) as caught:
        registry.get("listener", "gone")
    assert "xfer_no_such_module:x" in caught.value.detail
    assert "ModuleNotFoundError" in caught.value.detail


def test_an_unknown_name_lists_what_exists(targets):
    """The nearest name is proposed, and all are listed."""
    registry = Registry([record("good"), record("other"), record("elsewhere", kind="quota")])
    with pytest.raises(PluginError) as caught:
        registry.get("listener", "godo")
    assert "did you mean 'good'?" in caught.value.detail
    assert "good, other" in caught.value.detail
    assert "elsewhere" not in caught.value.detail


def test_an_unknown_name_among_none(targets):
    """A kind without plugins says so."""
    with pytest.raises(PluginError) as caught:
        Registry([]).get("storage", "local")
    assert caught.value.detail == "no such storage plugin. There are: none"


def test_two_of_a_name_stop_the_start_and_both_are_told():
    """A doubled name is never resolved by chance; the same name in two kinds is fine."""
    one, two = (PluginRecord("listener", "json", target) for target in ("one.mod:a", "two.mod:b"))
    with pytest.raises(PluginError) as caught:
        Registry([one, two])
    assert "one.mod:a" in caught.value.detail
    assert "two.mod:b" in caught.value.detail
    Registry([one, PluginRecord("protocol", "json", "two.mod:b")])


def test_the_same_record_seen_twice_is_one():
    """A record imported into a second drop-in is no duplicate."""
    one = record("good")
    assert Registry([one, one]).names("listener") == ["good"]


@pytest.fixture
def drop_ins(tmp_path, monkeypatch):
    """A package of drop-ins of its own, as twisted.plugins is one."""
    folder = tmp_path / "xfer_test_dropins"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("xfer_test_dropins")]:
        del sys.modules[name]


def write_drop_in(folder, file, target):
    (folder / file).write_text(
        "from twisted_xfer.plugins.records import PluginRecord\n"
        f"it = PluginRecord('listener', 'json', {target!r}, 'JSON lines.')\n"
    )


def test_discovery_reads_drop_ins(drop_ins):
    """Records are found in the package of drop-ins."""
    write_drop_in(drop_ins, "acme_xfer.py", "acme.mod:plugin")
    registry = Registry.discover(importlib.import_module("xfer_test_dropins"))
    assert registry.names("listener") == ["json"]


def test_doubled_drop_ins_are_told_by_file(drop_ins):
    """Both files are named, and the distribution where there is one."""
    write_drop_in(drop_ins, "acme_xfer.py", "acme.mod:plugin")
    write_drop_in(drop_ins, "other_xfer.py", "attrs:define")
    with pytest.raises(PluginError) as caught:
        Registry.discover(importlib.import_module("xfer_test_dropins"))
    assert str(drop_ins / "acme_xfer.py") in caught.value.detail
    assert str(drop_ins / "other_xfer.py") in caught.value.detail
    assert f"attrs {attrs.__version__}" in caught.value.detail


def test_report_tells_all_and_what_is_wrong(targets):
    """A usable plugin has no problem; a broken one is listed with its own."""
    registry = Registry([record("good"), record("old", "old")])
    good, old = registry.report()
    assert good == ("listener", "good", "", "Summary of good.", "")
    assert old.name == "old"
    assert "plugin API 0" in old.problem


def test_report_names_the_distribution():
    """The distribution that installed the target is told with its version."""
    (line,) = Registry([PluginRecord("listener", "x", "attrs:define")]).report()
    assert line.distribution == f"attrs {attrs.__version__}"


def test_an_editable_install_is_found_by_its_name(monkeypatch):
    """Such a distribution lists no files, so the name of the package has to do."""
    monkeypatch.setattr(metadata, "packages_distributions", dict)
    (line,) = Registry([PluginRecord("listener", "x", "zope_interface:x")]).report()
    assert line.distribution == f"zope.interface {metadata.version('zope.interface')}"


def test_frozen_with_defaults():
    """Only frozen attrs classes without mandatory fields pass, slotted or not."""
    assert is_frozen_with_defaults(Options)
    assert is_frozen_with_defaults(attrs.frozen(slots=False)(type("Empty", (), {})))
    assert not is_frozen_with_defaults(Changeable)
    assert not is_frozen_with_defaults(attrs.define(slots=False)(type("Open", (), {})))
    assert not is_frozen_with_defaults(WithoutDefault)
    assert not is_frozen_with_defaults(dict)
    assert not is_frozen_with_defaults(Options())


def test_records_import_nothing_heavy():
    """Each ``twistd`` command imports all drop-ins, so records must stay light."""
    code = (
        "import sys, twisted_xfer.plugins.records\n"
        "heavy = [name for name in sys.modules if name.partition('.')[0] in ('OpenSSL', 'cryptography', 'argon2')]\n"
        "heavy += [name for name in sys.modules if name.startswith('twisted_xfer.')"
        " and name.split('.')[1] not in ('errors', 'paths', 'sansio', 'values', 'interfaces', 'plugins')]\n"
        "heavy += [name for name in ('twisted.internet.reactor',) if name in sys.modules]\n"
        "print(*heavy)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.split() == []
