"""The handlers, by family; the sorted table of all of them is in `table`."""
