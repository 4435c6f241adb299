"""What `towerctl doctor` looks at by itself, so that it has an answer when the daemon has none."""
