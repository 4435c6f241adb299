"""Renders a QR payload as terminal text, PNG, SVG, HTML, raw text or data URI.

The one rule: a pure function of its arguments; nothing is kept, nothing is logged.
"""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass, field
from typing import Literal

import segno

from towerd.protocol.types import QrFormat

_MEDIA_TYPES: dict[str, str] = {
    "terminal": "text/plain",
    "raw": "text/plain",
    "datauri": "text/plain",
    "png": "image/png",
    "svg": "image/svg+xml",
    "html": "text/html",
}

_PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Link this phone</title>
<meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width, initial-scale=1">
<style>body{{font:18px/1.5 system-ui,sans-serif;text-align:center;margin:2em;background:#fff;color:#111}}
svg{{max-width:92vmin;height:auto}}</style></head>
<body><h1>Link this phone</h1>
<p>On the phone: WhatsApp &gt; Linked devices &gt; Link a device, then scan.</p>
{svg}
</body></html>
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rendered:
    """A rendered QR: `data` is text, or base64 where `encoding` says so."""

    media_type: str
    encoding: Literal["base64", "utf-8"]
    data: str = field(repr=False)


def render(payload: str, format_: QrFormat, *, scale: int, border: int, invert: bool) -> Rendered:
    """Render a payload.

    Args:
        payload: the text to encode.
        format_: one of the formats of the protocol.
        scale: pixels per module, for images.
        border: quiet zone in modules; 4 is what ISO/IEC 18004 asks for.
        invert: swap dark and light, for terminals and cameras that need it.
    """
    if format_ == "raw":
        return Rendered(media_type=_MEDIA_TYPES[format_], encoding="utf-8", data=payload)
    # Level L: the screen is not smudged, and a smaller symbol scans from further away.
    code = segno.make_qr(payload, error="l", boost_error=False)
    dark, light = ("white", "black") if invert else ("black", "white")
    if format_ == "terminal":
        data, encoding = _terminal(code, border=border, invert=invert), "utf-8"
    elif format_ == "datauri":
        data = code.png_data_uri(scale=scale, border=border, dark=dark, light=light)
        encoding = "utf-8"
    elif format_ == "png":
        image = io.BytesIO()
        code.save(image, kind="png", scale=scale, border=border, dark=dark, light=light)
        data, encoding = base64.b64encode(image.getvalue()).decode(), "base64"
    else:
        svg = code.svg_inline(scale=scale, border=border, dark=dark, light=light)
        if format_ == "svg":
            svg = svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1)
            data = '<?xml version="1.0" encoding="utf-8"?>\n' + svg + "\n"
        else:
            data = _PAGE.format(svg=svg)
        encoding = "utf-8"
    return Rendered(
        media_type=_MEDIA_TYPES[format_],
        encoding="base64" if encoding == "base64" else "utf-8",
        data=data,
    )


def _terminal(code: segno.QRCode, *, border: int, invert: bool) -> str:
    """Draw with half blocks, two modules a character, in plain text without colour codes.

    A terminal is taken to be light on dark: the block characters draw the light modules.
    """
    rows = [[bool(module) is invert for module in row] for row in code.matrix_iter(border=border)]
    if len(rows) % 2:
        rows.append([invert] * len(rows[0]))
    glyphs = {(True, True): "█", (True, False): "▀", (False, True): "▄", (False, False): " "}
    lines = (
        "".join(glyphs[upper, lower] for upper, lower in zip(above, below, strict=True))
        for above, below in zip(rows[::2], rows[1::2], strict=True)
    )
    return "\n".join(lines) + "\n"
