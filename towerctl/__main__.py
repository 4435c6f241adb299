"""`python -m towerctl` is `towerctl`."""

from towerctl.cli import main

if __name__ == "__main__":
    main()
