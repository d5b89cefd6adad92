"""The embedded archive's own terms."""

from __future__ import annotations

from napari_tcia.demo.holdings import HOLDINGS, OTHER_LICENCE
from napari_tcia.demo.messages import Reply, Request, Row, not_found

POLICY = """\
Data usage policy of the napari-tcia embedded archive

This archive is SYNTHETIC. Its images show analytic phantoms, not patients, and
this text belongs to it alone; it stands where an archive of patient data shows
the policy that its users must accept.

1. Do not try to find out who a patient is, and do not contact one.
2. Do not pass data on in a way that would let others do so.
3. Name the collection you used, and the archive, in everything you publish.
4. A program that passes data on must show these terms and the credit to its
   users, and must ask the same of them.
5. Keep to the licence of each collection besides.
"""
_LICENCES = {
    ("by", "3.0"): "Attribution 3.0 Unported",
    ("by", "4.0"): "Attribution 4.0 International",
    ("by-nc", "3.0"): "Attribution-NonCommercial 3.0 Unported",
    ("by-nc", "4.0"): "Attribution-NonCommercial 4.0 International",
}
_STAND_IN = """\
{name}

This text is a SYNTHETIC stand-in. It belongs to the napari-tcia embedded archive
and stands where Creative Commons publishes the text of its licence of that name.

1. You may copy and change what is licensed{purpose}.
2. You must give credit, link to the licence, and say what you changed.
3. Nothing is warranted.
"""
SHORT_NAMES = {
    one.licence_name: one.licence_short for one in (*HOLDINGS, OTHER_LICENCE)
}
"""Short name of each licence, by the name in listings."""


def licence_text(row: Row) -> bytes:
    """The LICENSE member of a zip; empty for a series that names no licence.

    Parameters
    ----------
    row : Row
        v4 row of the series.
    """
    if "LicenseName" not in row:
        return b""
    short = SHORT_NAMES.get(row["LicenseName"], row["LicenseName"])
    return (
        f"License Information. The {row['Collection']} collection is distributed "
        f"under the {short} at {row['LicenseURI']} By downloading the data, you "
        f"agree to abide by terms of this license.\n{POLICY}"
    ).encode()


def licence_page(request: Request) -> Reply:
    """``/licences/by/3.0/legalcode.txt``: what stands in for the official text."""
    family, version, *rest = (*request.parts, "", "")
    name = _LICENCES.get((family, version))
    if name is None or rest[:1] != ["legalcode.txt"]:
        return not_found()
    purpose = ", but not for profit" if "NonCommercial" in name else ""
    text = _STAND_IN.format(name=name, purpose=purpose)
    return Reply(text.encode(), "text/plain; charset=utf-8")
