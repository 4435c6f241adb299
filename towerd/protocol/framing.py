"""How messages lie on the socket: one JSON object (or batch array) per line, UTF-8, ended by a newline."""

from __future__ import annotations

MAX_REQUEST_BYTES = 1024 * 1024
"""A longer request line is answered with an error and the connection is closed."""

MAX_SOCKET_PATH_BYTES = 107
"""Length of sun_path in unix(7), less the NUL."""
