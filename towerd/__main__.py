"""The command towerd: options, checks, and the exit status.

The one rule: everything is checked before anything starts, and every refusal is one clear line.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from sessions.keys import KeyFileError
from sessions.library import library_version
from towerd import __version__, logs
from towerd.access import unknown_names
from towerd.accounts.transactions import RegistryError
from towerd.clock import SystemClock
from towerd.config import Config
from towerd.config_files import ConfigError, config_files, read_config
from towerd.daemon import Daemon
from towerd.declarations import DIRECTORY, Reader
from towerd.key_source import KeySource
from towerd.lock import StateHeldError, hold
from towerd.memory import share_one_arena
from towerd.paths import Paths, PathsError, find_config, find_credentials, find_paths
from towerd.protocol.errors import TowerError
from towerd.sealed import SealingError, open_stores
from towerd.settings import Settings
from towerd.supervision.nursery import Nursery
from towerd.systemd import ActivationError, Systemd, find_systemd

log = logging.getLogger(__name__)

EXIT_STOPPED = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_STATE_HELD = 75
EXIT_CONFIG = 78
"""75 and 78 are EX_TEMPFAIL and EX_CONFIG of sysexits.h."""


def parser() -> argparse.ArgumentParser:
    """Return the options of towerd."""
    options = argparse.ArgumentParser(
        prog="towerd",
        description="Keeps WhatsApp linked-device sessions alive and serves JSON-RPC on a Unix socket.",
        epilog="See towerd(8). The command line is towerctl(1).",
    )
    options.add_argument("--socket", metavar="PATH", help="where to listen (TOWER_SOCKET)")
    options.add_argument("--state-dir", metavar="DIR", help="where accounts and stores lie (TOWER_STATE_DIR)")
    options.add_argument("--config", metavar="FILE", help="configuration to read (TOWER_CONFIG)")
    options.add_argument("--check-config", action="store_true", help="check the configuration and end")
    options.add_argument("--log-level", choices=logs.LEVELS, default="info", help="how much to log (info)")
    version = f"towerd {__version__} (neonize {library_version()})"
    options.add_argument("--version", action="version", version=version)
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    """Run towerd; return its exit status."""
    options = parser().parse_args(arguments)
    try:
        config_path, is_named = find_config(options.config)
        reading = read_config(config_path, must_exist=is_named)
        named_in = reading.sources.get("stores.key_file")
        source = KeySource.of(reading.config, find_credentials(), named_in=named_in)
        if options.check_config:
            source.read()
            return _tell_config(config_path, reading.config)
        paths = find_paths(socket=options.socket, state_dir=options.state_dir, config=options.config)
    except PathsError as error:
        return _refuse(str(error), EXIT_USAGE)
    except (ConfigError, KeyFileError) as error:
        with contextlib.suppress(ActivationError):
            find_systemd().turn_away()
        return _refuse(str(error), EXIT_CONFIG)
    logs.configure(options.log_level)
    # A hung event loop that systemd's watchdog aborts leaves its stacks in the journal.
    faulthandler.enable()
    os.umask(0o077)
    share_one_arena()
    try:
        systemd = find_systemd()
        return _serve(paths, Settings(reading), source, systemd)
    except ActivationError as error:
        return _refuse(str(error), EXIT_FAILED)
    except SealingError as error:
        systemd.turn_away()
        return _refuse(str(error), EXIT_CONFIG)
    except StateHeldError as error:
        return _refuse(str(error), EXIT_STATE_HELD)
    except (RegistryError, TowerError) as error:
        return _refuse(f"the account database cannot be used: {error}", EXIT_FAILED)
    except OSError as error:
        return _refuse(f"{error.filename or paths.state_dir}: {error.strerror or error}", EXIT_FAILED)


def _tell_config(config_path: Path, config: Config) -> int:
    files = [str(file) for file in config_files(config_path)]
    sys.stdout.write(f"{', '.join(files)}: ok\n" if files else "no configuration: defaults\n")
    for words in unknown_names(config.access):
        sys.stderr.write(f"towerd: warning: {words}\n")
    declared = Reader(owner_uid=os.getuid()).read_directory(config_path.parent / DIRECTORY)
    declared.refuse_doubles({})
    # Not a reason to refuse: such a file is left alone, and everything else starts.
    for mistake in (one for mistakes in declared.mistakes.values() for one in mistakes):
        sys.stderr.write(f"towerd: warning: {mistake}\n")
    return EXIT_STOPPED


def _serve(paths: Paths, settings: Settings, source: KeySource, systemd: Systemd) -> int:
    paths.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = hold(paths.lock)
    try:
        clock = SystemClock()
        stores = open_stores(paths, source, clock=clock)

        async def run() -> None:
            with contextlib.closing(Nursery()) as nursery:
                nursery.prepare()
                await Daemon(
                    paths, settings, clock=clock, spawner=nursery, stores=stores, systemd=systemd
                ).run()

        asyncio.run(run())
    finally:
        os.close(descriptor)
    return EXIT_STOPPED


def _refuse(message: str, status: int) -> int:
    for line in message.splitlines():
        sys.stderr.write(f"towerd: {line}\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
