"""Plugins for twisted-xfer, one of each kind."""
