"""The version of the RPC contract: fields are added in minors, never dropped; a major breaks clients."""

API_MAJOR = 1
API_MINOR = 0
