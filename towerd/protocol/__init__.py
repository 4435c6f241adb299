"""The wire contract between towerd and its clients.

Importing this package costs nothing; `types` and `methods` load msgspec and are for the daemon, `errors`,
`framing` and `version` use the standard library alone and are for the command line too.
"""
