"""JSON-RPC on the Unix socket: server, dispatch, and one thin handler per method."""
