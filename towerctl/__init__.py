"""The command line of towerd: a client without state of its own."""
