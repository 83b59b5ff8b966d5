"""Structures as inline SVG, rebuilt from a list of allowed elements and attributes."""

import re
from typing import Any
from xml.etree import ElementTree

from rdkit import Chem, rdBase
from rdkit.Chem.Draw import rdMolDraw2D

_SVG = "http://www.w3.org/2000/svg"
_ALLOWED = {
    "svg": {"viewBox", "width", "height"},
    "path": {"d", "style", "fill", "stroke"},
    "ellipse": {"cx", "cy", "rx", "ry", "style", "fill"},
    "polygon": {"points", "style", "fill"},
    "g": set(),
    "text": {"x", "y", "style", "fill"},
    "tspan": {"style"},
}
"""What of rdkit's SVG is kept; nothing here can load, link or run anything."""
_SAFE_STYLE = re.compile(r"^[\w\s:;.#,%-]*$")


def draw_structure(smiles: str, width: int = 190, height: int = 130) -> str | None:
    """Draw a structure as an SVG element; None when the SMILES cannot be read."""
    with rdBase.BlockLogs():
        molecule = Chem.MolFromSmiles(smiles) if smiles else None
    if molecule is None:
        return None
    drawer = rdMolDraw2D.MolDraw2DSVG(width, height)
    options: Any = drawer.drawOptions()
    options.clearBackground = False
    options.bondLineWidth = 1.3
    options.padding = 0.04
    options.maxFontSize = 13
    options.addStereoAnnotation = False
    rdMolDraw2D.PrepareAndDrawMolecule(drawer, molecule)
    drawer.FinishDrawing()
    return sanitised(drawer.GetDrawingText())


def sanitised(svg: str) -> str:
    """Keep of an SVG what is allowed and write it anew.

    Raises:
        ValueError: the text is not one SVG element.
    """
    if "<!DOCTYPE" in svg or "<!ENTITY" in svg:
        raise ValueError("an SVG with a document type is not embedded")
    root = ElementTree.fromstring(svg.encode())  # noqa: S314 - drawn by rdkit, and entities are refused above
    kept = _kept(root)
    if kept is None or kept.tag != "svg":
        raise ValueError("not an SVG")
    kept.set("role", "img")
    return ElementTree.tostring(kept, encoding="unicode")


def _kept(element: ElementTree.Element) -> ElementTree.Element | None:
    name = element.tag.removeprefix(f"{{{_SVG}}}")
    if name not in _ALLOWED:
        return None
    attributes = {k: v for k, v in element.attrib.items() if k in _ALLOWED[name]}
    attributes = {k: v for k, v in attributes.items() if k != "style" or _SAFE_STYLE.match(v)}
    made = ElementTree.Element(name, attributes)
    made.text = element.text
    made.extend(child for e in element if (child := _kept(e)) is not None)
    return made
