"""A rendered QR is read back by an independent reader, in every format."""

from __future__ import annotations

import base64
import io
import re
import xml.etree.ElementTree as ET
from typing import Any, get_args

import pytest
import zxingcpp
from PIL import Image, ImageOps

from towerd.protocol.types import QrFormat
from towerd.qr import Rendered, render

KEY = base64.b64encode(bytes(range(32))).decode()
PAYLOAD = f"https://wa.me/settings/linked_devices#2@{'Ab/9' * 20},{KEY},{KEY},{KEY},1"
SVG = "{http://www.w3.org/2000/svg}"


def draw(format_: QrFormat, **options: Any) -> Rendered:
    return render(PAYLOAD, format_, **({"scale": 4, "border": 4, "invert": False} | options))


def read(image: Image.Image) -> str:
    """Read a symbol that is dark on light."""
    found = zxingcpp.read_barcodes(image.convert("L"), try_invert=False)
    assert len(found) == 1, "no symbol, or more than one"
    return str(found[0].text)


def image_of_png(rendered: Rendered) -> Image.Image:
    assert rendered.encoding == "base64"
    return Image.open(io.BytesIO(base64.b64decode(rendered.data, validate=True))).convert("L")


def image_of_text(text: str) -> Image.Image:
    """Rebuild what a light-on-dark terminal shows: block characters are light, the rest is dark."""
    halves = {"█": (255, 255), "▀": (255, 0), "▄": (0, 255), " ": (0, 0)}
    lines = text.splitlines()
    assert len({len(line) for line in lines}) == 1, "lines of different lengths"
    image = Image.new("L", (len(lines[0]), 2 * len(lines)))
    for row, line in enumerate(lines):
        for column, character in enumerate(line):
            upper, lower = halves[character]
            image.putpixel((column, 2 * row), upper)
            image.putpixel((column, 2 * row + 1), lower)
    return image.resize((image.width * 4, image.height * 4), Image.Resampling.NEAREST)


_STEP = re.compile(r"([Mmhv])\s*(-?[\d.]+)(?:[ ,]+(-?[\d.]+))?")


def image_of_svg(text: str) -> Image.Image:
    """Draw the runs of modules that the path strokes, in the path's own units."""
    root = ET.fromstring(text)
    paths = root.findall(f".//{SVG}path") or root.findall(".//path")
    strokes = [path for path in paths if path.get("stroke")]
    fills = [path for path in paths if path.get("fill")]
    assert len(strokes) == 1, "one path of modules is expected"
    scale = re.search(r'transform="scale\(([\d.]+)\)"', text)
    side = round(float(root.attrib["width"]) / float(scale[1] if scale else 1))
    shades = {"#000": 0, "black": 0, "#fff": 255, "white": 255}
    background = shades[fills[0].attrib["fill"]] if fills else 255
    image = Image.new("L", (side, side), background)
    x = y = 0.0
    for command, first, second in _STEP.findall(strokes[0].attrib["d"]):
        match command:
            case "M":
                x, y = float(first), float(second)
            case "m":
                x, y = x + float(first), y + float(second)
            case "h":
                for offset in range(round(float(first))):
                    image.putpixel((int(x) + offset, int(y)), shades[strokes[0].attrib["stroke"]])
                x += float(first)
    return image.resize((side * 4, side * 4), Image.Resampling.NEAREST)


def picture(rendered: Rendered, format_: QrFormat) -> Image.Image:
    """Return what a camera would see."""
    match format_:
        case "png":
            return image_of_png(rendered)
        case "datauri":
            head, _, body = rendered.data.partition(",")
            assert head == "data:image/png;base64"
            return Image.open(io.BytesIO(base64.b64decode(body, validate=True))).convert("L")
        case "terminal":
            return image_of_text(rendered.data)
        case "svg":
            return image_of_svg(rendered.data)
        case "html":
            found = re.search(r"<svg.*</svg>", rendered.data, re.DOTALL)
            assert found is not None
            return image_of_svg(found[0])
        case _:
            raise AssertionError(format_)


DRAWN: list[QrFormat] = ["terminal", "png", "svg", "html", "datauri"]


def test_formats_drawn_and_raw_are_all_there_are() -> None:
    assert {*DRAWN, "raw"} == set(get_args(QrFormat))


@pytest.mark.parametrize("format_", DRAWN)
def test_symbol_reads_back_as_the_payload(format_: QrFormat) -> None:
    assert read(picture(draw(format_), format_)) == PAYLOAD


@pytest.mark.parametrize("format_", DRAWN)
def test_inverted_symbol_reads_back_only_after_swapping_dark_and_light(format_: QrFormat) -> None:
    inverted = picture(draw(format_, invert=True), format_)
    assert zxingcpp.read_barcodes(inverted, try_invert=False) == []
    assert read(ImageOps.invert(inverted)) == PAYLOAD


@pytest.mark.parametrize("format_", DRAWN)
@pytest.mark.parametrize("border", [1, 2, 4, 32])
def test_border_is_as_wide_as_asked(format_: QrFormat, border: int) -> None:
    bare, framed = (picture(draw(format_, border=width), format_).width // 4 for width in (0, border))
    assert framed - bare == 2 * border


@pytest.mark.parametrize("scale", [1, 2, 8, 64])
def test_png_is_scaled_as_asked(scale: int) -> None:
    modules = image_of_png(draw("png", scale=1)).width
    image = image_of_png(draw("png", scale=scale))
    assert image.size == (modules * scale, modules * scale)


def test_raw_is_the_payload_itself() -> None:
    assert draw("raw") == Rendered(media_type="text/plain", encoding="utf-8", data=PAYLOAD)


@pytest.mark.parametrize(
    ("format_", "media_type", "encoding"),
    [
        ("terminal", "text/plain", "utf-8"),
        ("png", "image/png", "base64"),
        ("svg", "image/svg+xml", "utf-8"),
        ("html", "text/html", "utf-8"),
        ("datauri", "text/plain", "utf-8"),
    ],
)
def test_media_type_and_encoding(format_: QrFormat, media_type: str, encoding: str) -> None:
    rendered = draw(format_)
    assert (rendered.media_type, rendered.encoding) == (media_type, encoding)


def test_terminal_text_has_no_colour_codes_and_fits_in_as_few_characters_as_can_be() -> None:
    text = draw("terminal").data
    assert set(text) <= set("█▀▄ \n")
    lines = text.splitlines()
    assert len(lines) == (len(lines[0]) + 1) // 2


def test_svg_is_a_document_of_its_own() -> None:
    text = draw("svg").data
    assert text.startswith('<?xml version="1.0" encoding="utf-8"?>\n<svg ')
    assert ET.fromstring(text).tag == f"{SVG}svg"


def test_page_is_one_document_that_loads_nothing_from_elsewhere() -> None:
    text = draw("html").data
    assert text.count("<svg") == 1
    assert not re.search(r"(?:src|href)=|@import|url\(", text)
    assert "Linked devices" in text


def test_secret_does_not_stand_in_the_representation() -> None:
    assert PAYLOAD not in repr(draw("raw"))


@pytest.mark.parametrize("format_", get_args(QrFormat))
def test_same_arguments_give_the_same_result(format_: QrFormat) -> None:
    assert draw(format_) == draw(format_)
