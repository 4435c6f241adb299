"""The OpenRPC document, made from the table of methods."""

from __future__ import annotations

from functools import cache
from typing import Any

import msgspec

from towerd import __version__
from towerd.protocol.errors import ERRORS
from towerd.protocol.methods import METHODS, Method
from towerd.protocol.types import Wire

_REF = "#/components/schemas/{name}"


@cache
def document() -> dict[str, Any]:
    """Return the OpenRPC 1.3 document of all methods."""
    structs = [one.result for one in METHODS.values() if _is_wire(one.result)]
    _, components = msgspec.json.schema_components(structs, ref_template=_REF)
    return {
        "openrpc": "1.3.2",
        "info": {"title": "towerd", "version": __version__},
        "methods": [_method(name, method) for name, method in sorted(METHODS.items())],
        "components": {
            "schemas": components | _inside_params(),
            "errors": {
                slug: {"code": kind.code, "message": kind.meaning, "data": {"exit": int(kind.exit)}}
                for slug, kind in ERRORS.items()
            },
        },
    }


def _is_wire(result: object) -> bool:
    return isinstance(result, type) and issubclass(result, Wire)


def _inside_params() -> dict[str, Any]:
    """Return the schemas of what parameters are made of, where they are objects themselves."""
    return {
        name: schema
        for method in METHODS.values()
        for name, schema in msgspec.json.schema(method.params, ref_template=_REF)["$defs"].items()
        if name != method.params.__name__
    }


def _method(name: str, method: Method) -> dict[str, Any]:
    schema = msgspec.json.schema(method.params, ref_template=_REF)
    described = schema["$defs"][method.params.__name__]
    required = set(described.get("required", ()))
    result = {"$ref": _REF.format(name=method.result.__name__)} if _is_wire(method.result) else {}
    return {
        "name": name,
        "summary": method.summary,
        "paramStructure": "by-name",
        "params": [
            {"name": field, "required": field in required, "schema": content}
            for field, content in described.get("properties", {}).items()
        ],
        "result": {"name": "result", "schema": result or {"type": "object"}},
        "x-right": method.right,
    }
