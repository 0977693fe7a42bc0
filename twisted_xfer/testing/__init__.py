"""The kit to test plugins with, and what our own tests use. Shipped, and stable as an API.

Import what you need from its modules, as some need pytest or Twisted's TLS:

- ``wires`` drives a pure wire in every way that a network can cut its bytes;
- ``host`` is a daemon in memory, ``memory_reactor`` the reactor that a test turns by hand;
- ``protocols`` connects protocols without a network;
- ``faults`` are storages and peers that misbehave at a chosen byte;
- ``contracts_protocol``, ``contracts_listener``, ``contracts_storage``, ``contracts_checker`` and
  ``contracts_certificate`` are suites of tests that every plugin of the kind passes.
"""

__all__: list[str] = []
