"""An emulated OMERO's objects as its JSON API writes them; from omero-documentation, developers/json-api.rst.

Null fields are left out; ``omero:details`` are short, as the documentation shortens them.
"""

from collections.abc import Mapping
from typing import Any

from sim.wire.omero_store import StoredImage, StoredNotes, StoredPlate, StoredWell

SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"
Json = dict[str, Any]
_PERMISSIONS = {"canDelete": True, "canAnnotate": True, "canLink": True, "canEdit": True}


def named(kind: str, number: int, name: str, base: str) -> Json:
    """Write a Screen or an ExperimenterGroup."""
    return {
        "@id": number,
        "@type": f"{SCHEMA}#{kind}",
        "Name": name,
        f"url:{kind.lower()}": f"{base}/m/{kind.lower()}s/{number}/",
        "omero:details": _details(),
    }


def plate(stored: StoredPlate, base: str) -> Json:
    """Write a Plate as a list shows it."""
    url = f"{base}/m/plates/{stored.id}/"
    return {
        "@id": stored.id,
        "@type": f"{SCHEMA}#Plate",
        "Name": stored.name,
        "Rows": 8,
        "Columns": 12,
        "RowNamingConvention": "letter",
        "ColumnNamingConvention": "number",
        "url:plate": url,
        "url:plateacquisitions": f"{url}plateacquisitions/",
        "url:wells": f"{url}wells/",
        "omero:details": _details(stored.group),
    }


def well(stored: StoredWell, runs: tuple[int, ...], base: str, now: float, *, has_pixels: bool) -> Json:
    """Write a Well with the fields that are listed now."""
    said: Json = {
        "@id": stored.id,
        "@type": f"{SCHEMA}#Well",
        "Column": stored.column,
        "Row": stored.row,
        "url:well": f"{base}/m/wells/{stored.id}/",
        "omero:details": _details(),
    }
    samples = [
        _sample(each, runs[n % len(runs)] if runs else None, base, now, has_pixels=has_pixels)
        for n, each in enumerate(stored.images)
        if each.listed_at <= now
    ]
    return {**said, "WellSamples": samples} if samples else said


def _sample(stored: StoredImage, run: int | None, base: str, now: float, *, has_pixels: bool) -> Json:
    said: Json = {
        "@id": stored.id + 500_000,
        "@type": f"{SCHEMA}#WellSample",
        "PositionX": {"Symbol": "reference frame", "Value": 21864.47, "@type": "TBD#LengthI", "Unit": "REFERENCEFRAME"},
        "Image": image(stored, base, now, has_pixels=has_pixels, has_channels=False),
        "omero:details": _details(),
    }
    if run is not None:
        said["PlateAcquisition"] = {"@id": run, "@type": f"{SCHEMA}#PlateAcquisition", "MaximumFieldCount": 4}
    return said


def image(stored: StoredImage, base: str, now: float, *, has_pixels: bool = True, has_channels: bool = True) -> Json:
    """Write an Image; one whose pixels are still imported has none."""
    said: Json = {
        "@id": stored.id,
        "@type": f"{SCHEMA}#Image",
        "Name": stored.name,
        "url:image": f"{base}/m/images/{stored.id}/",
        "omero:series": 0,
        "omero:details": _details(),
    }
    if stored.acquired_ms is not None:
        said["AcquisitionDate"] = stored.acquired_ms
    if has_pixels and stored.ready_at <= now:
        said["Pixels"] = _pixels(stored, has_channels=has_channels)
    return said


def _pixels(stored: StoredImage, *, has_channels: bool) -> Json:
    n_t, n_c, n_z, height, width = stored.stack.shape
    said: Json = {
        "@id": stored.id + 800_000,
        "@type": f"{SCHEMA}#Pixels",
        "SizeX": width,
        "SizeY": height,
        "SizeZ": n_z,
        "SizeC": n_c,
        "SizeT": n_t,
        "Type": {"@id": 6, "@type": "TBD#PixelsType", "value": stored.stack.dtype.name.replace("float32", "float")},
        "omero:sha1": "eae01c54191fd9cf4b09e3651e1899d677375b7d",
        "SignificantBits": 16,
        "omero:details": _details(),
    }
    if stored.pixel_um is not None:
        length = {"Symbol": "µm", "Value": stored.pixel_um, "@type": "TBD#LengthI", "Unit": "MICROMETER"}
        said |= {"PhysicalSizeX": length, "PhysicalSizeY": length}
    if has_channels:
        said["Channels"] = [_channel(stored, n) for n in range(n_c)]
    return said


def _channel(stored: StoredImage, n: int) -> Json:
    said: Json = {
        "@id": stored.id * 10 + n,
        "@type": f"{SCHEMA}#Channel",
        "Color": 65535,
        "SamplesPerPixel": 1,
        "omero:LogicalChannelId": stored.id * 10 + n,
        "omero:details": {},
    }
    return {**said, "Name": stored.channels[n]} if stored.channels[n] else said


def notes(stored: StoredNotes, names: Mapping[int, str]) -> Json:
    """Write a key-value annotation as webclient/api/annotations/ does."""
    parent: Json = {"id": stored.on_id, "class": stored.on}
    if stored.on_id in names:
        parent["name"] = names[stored.on_id]
    return {
        "id": stored.id,
        "ns": stored.namespace,
        "name": None,
        "description": None,
        "owner": {"id": 3},
        "date": "2026-01-05T08:00:00Z",
        "permissions": _PERMISSIONS,
        "link": {
            "id": stored.link,
            "owner": {"id": 3},
            "parent": parent,
            "date": "2026-01-05T08:00:00Z",
            "permissions": _PERMISSIONS,
        },
        "class": "MapAnnotationI",
        "values": [list(pair) for pair in stored.values],
    }


def _details(group: int | None = None) -> Json:
    said: Json = {"@type": "TBD#Details", "permissions": {"@type": "TBD#Permissions", "perm": "rwra--"}}
    return said if group is None else {**said, "group": {"@id": group, "@type": f"{SCHEMA}#ExperimenterGroup"}}
