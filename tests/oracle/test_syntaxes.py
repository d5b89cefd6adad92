"""Every transfer syntax, written by pydicom or GDCM, read by ours and by others."""

import base64

import numpy as np
import pydicom
import pytest
from pydicom.encaps import encapsulate

from dicom_factory import BIG, EXPLICIT, Stack, noise, recode, save
from napari_tcia.errors import UnsupportedData
from napari_tcia.volume import read_volume
from oracle.readers import by_dcm2niix, by_highdicom, by_simpleitk, onto

SHAPE = (3, 64, 48)
DEFLATED = "1.2.840.10008.1.2.1.99"
JPEG = "1.2.840.10008.1.2.4."
LOSSLESS = {
    "Implicit VR Little Endian": pydicom.uid.ImplicitVRLittleEndian,
    "Explicit VR Little Endian": EXPLICIT,
    "Explicit VR Big Endian": BIG,
    "Deflated": DEFLATED,
    "RLE": pydicom.uid.RLELossless,
    "JPEG Lossless": f"{JPEG}57",
    "JPEG Lossless SV1": f"{JPEG}70",
    "JPEG-LS": f"{JPEG}80",
    "JPEG 2000": f"{JPEG}90",
}
LOSSY = {
    "JPEG Baseline": (f"{JPEG}50", {"lossy": True}),
    "JPEG Extended": (f"{JPEG}51", {"lossy": True}),
    "JPEG-LS near-lossless": (f"{JPEG}81", {"jls_error": 3}),
    "JPEG 2000": (f"{JPEG}91", {"j2k_cr": [4]}),
}
KINDS = [("i2", 16), ("i2", 12), ("u2", 16), ("u2", 12), ("u1", 8)]


def series(folder, kind, bits, syntax, **options):
    stored = noise(SHAPE, dtype="u2")
    if kind == "u1":
        stored = stored % 250
    stored = (stored - 1000 * (kind == "i2")).astype(kind)
    plain = syntax in (*list(LOSSLESS.values())[:3],)
    stack = Stack(
        stored,
        intercept=-24.0,
        bits_stored=bits,
        syntax=syntax if plain else EXPLICIT,
        extra={"SliceThickness": "1.0", "PatientPosition": "HFS"},
    )
    for file in stack.write(folder):
        if not plain:
            recode(file, syntax, **options)
            assert pydicom.dcmread(file).file_meta.TransferSyntaxUID == syntax
    return stack


@pytest.mark.parametrize(("kind", "bits"), KINDS)
@pytest.mark.parametrize("syntax", LOSSLESS.values(), ids=LOSSLESS)
def test_lossless(tmp_path, syntax, kind, bits):
    stack = series(tmp_path, kind, bits, syntax)
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "pass"
    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, stack.rescaled)
    others = [by_simpleitk(tmp_path), by_highdicom(tmp_path)]
    found = by_dcm2niix(tmp_path)
    if syntax == DEFLATED:
        assert not found  # dcm2niix reads none that are deflated
    else:
        others.append(found[""])
    for other in others:
        np.testing.assert_array_equal(onto(other, volume.affine), volume.array)


@pytest.mark.parametrize(
    ("name", "kind", "bits"),
    [
        (name, *kind)
        for name in LOSSY
        for kind in KINDS
        if kind == ("u1", 8) or "JPEG 2000" in name or "JPEG-LS" in name
    ],
)
def test_lossy(tmp_path, name, kind, bits):
    """The same values as others decode, and a word that they are approximate."""
    syntax, options = LOSSY[name]
    stack = series(tmp_path, kind, bits, syntax, **options)
    volume = read_volume(tmp_path)
    if syntax != f"{JPEG}91":  # which may also be lossless
        codes = {c.code: c.verdict for c in volume.passport.checks}
        assert codes["lossy_compression"] == "warn"
    difference = np.abs(volume.array - stack.rescaled).max()
    assert difference > 0
    assert difference <= (3 if "JPEG-LS" in name else np.ptp(stack.rescaled))
    for other in (by_simpleitk(tmp_path), by_highdicom(tmp_path)):
        np.testing.assert_array_equal(onto(other, volume.affine), volume.array)
    (found,) = by_dcm2niix(tmp_path).values()
    # dcm2niix has an inverse DCT of its own, which rounds otherwise.
    off = np.abs(onto(found, volume.affine) - volume.array).max()
    assert off <= (2 if kind == "u1" else 0)


@pytest.mark.parametrize("kind", ["i2", "u2"])
def test_jpeg_extended_of_12_bits_is_refused_by_name(tmp_path, kind):
    """No decoder of a permissive licence does it rightly."""
    stack = series(tmp_path, kind, 12, f"{JPEG}51", lossy=True)
    for allow_fail in (False, True):
        with pytest.raises(UnsupportedData, match="JPEG Extended with 12 bits"):
            read_volume(tmp_path, allow_fail=allow_fail)
    assert by_simpleitk(tmp_path).array.shape == stack.stored.shape


def test_every_slice_in_another_syntax(tmp_path):
    """Whatever its neighbours are encoded as."""
    syntaxes = list(LOSSLESS.values())[3:]
    stack = Stack(noise((3 * len(syntaxes), 32, 36)), syntax=EXPLICIT)
    order = np.random.default_rng(4).permutation(len(stack.stored))
    for k, file in enumerate(stack.write(tmp_path)):
        if order[k] < len(syntaxes):
            recode(file, syntaxes[order[k]])
    volume = read_volume(tmp_path)
    assert volume.passport.verdict == "pass"
    np.testing.assert_array_equal(volume.array, stack.stored)


HIGH_THROUGHPUT = """
/0//UQApQAAAAAAKAAAACAAAAAAAAAAAAAAACgAAAAgAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwA
AgABAAUEBEAB/1wAEyCIkJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoA
AAAAAJYAAf+TwAAmG/oFB3QAAMAAEoDCAQd0AMAAEsAAE8AAEoDqAId0AG5k9QMBdACmAYd0AMAAFRAA
BXwAATgNNILzAGOUAAfZyB5sxDAb+QCEA362AB0w/gBiNADAACsgABa0AAJgSGT+fAT536bwi3YAzovL
+eLSLnEJjrg0L+7goPmKBzZ4AM3sAUR1AP/Z
"""
"""8 rows of 10 columns, each 37 more than the one before, up to 1999; by OpenJPH."""


@pytest.mark.parametrize("number", [201, 203])
def test_high_throughput_jpeg_2000(tmp_path, number):
    values = (np.arange(80).reshape(1, 8, 10) * 37 % 1999).astype("u2")
    dataset = Stack(values, syntax=EXPLICIT).dataset(0)
    dataset.file_meta.TransferSyntaxUID = f"{JPEG}{number}"
    dataset.PixelData = encapsulate([base64.b64decode(HIGH_THROUGHPUT)])
    dataset["PixelData"].is_undefined_length = True
    save(dataset, tmp_path / "a.dcm")
    np.testing.assert_array_equal(read_volume(tmp_path).array, values)
