"""Whose face could be seen: data of head and neck, and what the policy says of it.

TCIA's Data Usage Policy forbids images that let somebody be recognised, and
names facial images. A slice shows no face; a 3D rendering of a head does.
"""

from __future__ import annotations

import re

FACE_CLAUSE = (
    "A 3D view of a head can show a face. TCIA's Data Usage Policy, which you "
    "accepted or are bound by, forbids making or using a face, or anything like it, "
    "to find out who a participant is."
)

_HEAD = re.compile(
    r"head|brain|face|facial|skull|orbit|sinus|jaw|mandib|maxill|ear\b|iac\b"
    r"|neck|pharyn|laryn|oral|tongue|thyroid|parotid|whole ?body"
)
_TRUNK = re.compile(r"chest|thora|lung|mediastin|abd|pelvi|breast|liver|prostat")
_ABOVE_NECK = re.compile(r"head|brain|face|facial|skull|whole ?body")
_COLLECTION = re.compile(
    r"\bhead\b|\bneck\b|\bhn|hnsc|brain|gbm|glio|\blgg\b|astrocytoma|mening"
    r"|vestibular|schwannoma|remind|pituitar|pharyn|laryn|oral|thca|uvm"
)
_NO_PATIENT = re.compile(r"phantom|\bdro\b|mouse|icdc|pdmr")


def may_show_face(collection: str, body_part: str = "", location: str = "") -> bool:
    """Whether a 3D rendering of a series may show a face.

    What was examined decides where the series says it; chest and abdomen
    never count, even with the neck at their upper end. Else what the
    collection is about decides, by its cancer location and its name.

    Parameters
    ----------
    collection : str
        As TCIA writes it.
    body_part : str
        BodyPartExamined (DICOM PS3.16 annex L): "HEADNECK", "CHEST" ...
    location : str
        Cancer location that the Collection Manager gives, "Head-Neck".
    """
    part = re.sub(r"[^a-z]+", " ", body_part.casefold()).strip()
    if part and (_TRUNK.search(part) or _HEAD.search(part)):
        seen = _ABOVE_NECK if _TRUNK.search(part) else _HEAD
        return bool(seen.search(part))
    about = re.sub(r"[^a-z]+", " ", location.casefold()).strip()
    if about and (_TRUNK.search(about) or _HEAD.search(about)):
        return bool(_HEAD.search(about))
    name = re.sub(r"[^a-z0-9]+", " ", collection.casefold()).strip()
    return bool(_COLLECTION.search(name)) and not _NO_PATIENT.search(name)
