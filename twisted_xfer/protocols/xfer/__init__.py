"""The native protocol: one side sends files or trees, the other stores them, both can prove it."""
