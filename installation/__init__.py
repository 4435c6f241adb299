"""Putting TOWER on a machine: wheels from the package index, a tree of files, the service, a Debian package.

The one rule: it runs with the Python that TOWER will run with, and needs nothing but its standard library.
"""
