"""From which distribution a plugin comes."""

from importlib import metadata

import pytest

from twisted_xfer.plugins.origin import distribution_of


def install(site, name, *files):
    """A distribution as pip leaves it behind."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    for file in files:
        (site / file).parent.mkdir(parents=True, exist_ok=True)
        (site / file).write_text("")
    (info / "RECORD").write_text("".join(f"{file},,\n" for file in files))


@pytest.fixture
def site(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    install(tmp_path, "origin-base", "origin_base/__init__.py", "origin_base/deep/tool.py")
    install(tmp_path, "origin-more", "origin_more.py", "origin_base/plugins/more.py")
    return tmp_path


def test_one_that_has_the_package_alone(site):
    """Its name and version, also for a module without a package."""
    assert distribution_of("origin_more:plugin") == "origin-more 1.0"


def test_among_several_the_one_with_the_module(site):
    """A drop-in in another's package does not make that package one's own."""
    assert sorted(set(metadata.packages_distributions()["origin_base"])) == ["origin-base", "origin-more"]
    assert distribution_of("origin_base.deep.tool:plugin") == "origin-base 1.0"
    assert distribution_of("origin_base:plugin") == "origin-base 1.0"
    assert distribution_of("origin_base.plugins.more:plugin") == "origin-more 1.0"


def test_not_installed():
    """A module that only lies on the path is from nowhere."""
    assert distribution_of("no_such_package.module:plugin") == ""


def test_twisted_is_twisted():
    """Every distribution with a drop-in has a part of its package."""
    assert distribution_of("twisted.cred.strcred").lower().startswith("twisted 2")
