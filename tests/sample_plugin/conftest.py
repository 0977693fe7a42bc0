"""These tests are for where the distribution is installed."""

from importlib.metadata import packages_distributions

collect_ignore = [] if "acme_xfer" in packages_distributions() else ["tests"]
