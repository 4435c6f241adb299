"""Webhooks: events sent to other programs over HTTP, signed, until they have taken them."""
