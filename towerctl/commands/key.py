"""`key`: making and changing the key of sealed stores."""

from __future__ import annotations

import click

from towerctl import keys
from towerctl.app import App
from towerctl.exits import Failure
from towerctl.options import command
from towerctl.output import Line, Result

VERBS = ("generate", "rotate")


@command(
    "key",
    examples=["towerctl key generate -o store.key", "towerctl key rotate --new-key store.key"],
)
@click.option("-o", "--output", metavar="FILE", help="with generate: where to write the key")
@click.option("--new-key", metavar="FILE", help="with rotate: the new key")
@click.argument("verb", metavar="VERB", type=click.Choice(VERBS))
@click.pass_obj
def key(app: App, *, verb: str, output: str | None, new_key: str | None) -> Result:
    """Look after the key of sealed stores: generate, rotate.

    generate writes a new key to a file; the daemon is not asked. rotate seals all stores with another key:
    that in FILE, or the one that the daemon now finds where it looks for its key. It may be run again.
    """
    if verb == "generate":
        return _generate(output, new_key)
    if output is not None:
        raise Failure("usage", "--output goes with key generate")
    secret = keys.read(new_key) if new_key is not None else None
    client = app.connect()
    with app.waiting(client, "sealing"):
        answer = keys.rotate(client, secret)
    failures = keys.unfinished(answer)
    summary = Failure("store-damaged", "not all stores could be sealed with the key") if failures else None
    return Result(answer, keys.rotated, failures=failures, summary=summary)


def _generate(output: str | None, new_key: str | None) -> Result:
    if new_key is not None:
        raise Failure("usage", "--new-key goes with key rotate")
    if output is None:
        raise Failure("usage", "key generate needs the file to write", hint="towerctl key generate -o FILE")
    keys.generate(output)
    return Result({"file": output}, lambda _: [Line(f"wrote a new key to {output}")])
