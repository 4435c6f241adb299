"""The shapes that the type checker sees are those of the wire."""

from __future__ import annotations

import inspect

import msgspec
import pytest

from towerctl import results
from towerctl.client import Client
from towerd.protocol import daemon_types, importing, methods, types
from towerd.protocol.states import STATES

SHAPES = [
    shape for shape in vars(results).values() if isinstance(shape, type) and hasattr(shape, "__total__")
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_shape_has_the_fields_of_its_structure(shape: type) -> None:
    homes = (types, daemon_types, methods, importing)
    structure = next(getattr(home, shape.__name__) for home in homes if hasattr(home, shape.__name__))
    fields = {field.encode_name for field in msgspec.structs.fields(structure)}
    # The wire may have more: minors add fields, which a client ignores.
    assert set(shape.__annotations__) <= fields
    optional = {
        field.encode_name for field in msgspec.structs.fields(structure) if field.default is msgspec.UNSET
    }
    not_required = {name for name, kind in shape.__annotations__.items() if "NotRequired" in str(kind)}
    assert not_required == optional & set(shape.__annotations__)


@pytest.mark.parametrize("name", [name for name in vars(Client) if "_" in name.strip("_") and name[0] != "_"])
def test_a_method_of_the_client_is_one_of_the_wire(name: str) -> None:
    family, verb = name.split("_", 1)
    method = methods.METHODS[f"{family}.{verb}"]
    assert inspect.signature(getattr(Client, name)).return_annotation == f"results.{method.result.__name__}"


def test_the_help_of_wait_names_every_state() -> None:
    from towerctl.commands.waiting import wait

    assert wait.help is not None
    assert all(state in wait.help for state in STATES)
