"""A WhatsApp server that the real client library pairs with, logs in to and survives faults against.

For tests and rehearsals from a checkout only; nothing here is part of the installed daemon. README.md begins.
"""
