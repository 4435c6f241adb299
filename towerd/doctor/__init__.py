"""What `towerctl doctor` asks of the daemon: a table of checks, each a function that says what it sees."""
