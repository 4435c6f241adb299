"""The shapes that the type checker sees are those of the wire."""

from __future__ import annotations

import msgspec
import pytest

from towerctl import results
from towerd.protocol import methods, types
from towerd.protocol.states import STATES

SHAPES = [
    shape for shape in vars(results).values() if isinstance(shape, type) and hasattr(shape, "__total__")
]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_shape_has_the_fields_of_its_structure(shape: type) -> None:
    structure = getattr(types, shape.__name__, None) or getattr(methods, shape.__name__)
    fields = {field.encode_name for field in msgspec.structs.fields(structure)}
    assert set(shape.__annotations__) == fields
    optional = {
        field.encode_name for field in msgspec.structs.fields(structure) if field.default is msgspec.UNSET
    }
    not_required = {name for name, kind in shape.__annotations__.items() if "NotRequired" in str(kind)}
    assert not_required == optional


def test_every_result_has_a_shape() -> None:
    known = {shape.__name__ for shape in SHAPES}
    wanted = {method.result.__name__ for method in methods.METHODS.values()} - {"Empty", "dict"}
    assert wanted - {name for name in wanted if "[" in name} <= known


def test_the_help_of_wait_names_every_state() -> None:
    from towerctl.commands.waiting import wait

    assert wait.help is not None
    assert all(state in wait.help for state in STATES)
