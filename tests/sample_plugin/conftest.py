"""These tests are for where the distribution is installed."""

from importlib.util import find_spec

collect_ignore = [] if find_spec("acme_xfer") else ["tests"]
