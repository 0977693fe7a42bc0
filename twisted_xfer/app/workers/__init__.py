"""More processes than one: the parent binds, its children adopt the sockets and serve."""
