"""The timeecho protocol."""
