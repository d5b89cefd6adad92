"""Asking the embedded archive over HTTP, as an independent client does."""

import io
import zipfile

import requests

LNQ = "Mediastinal-Lymph-Node-SEG"
NC = "SYNTHETIC-NonCommercial"


def ask(archive, path, base="archive", **query):
    """GET below one of the archive's bases."""
    return requests.get(archive.bases[base] + path, params=query, timeout=60)


def series(archive, **query):
    """Rows of ``getSeries``."""
    return ask(archive, "/v4/getSeries", **query).json()


def image(archive, uid, name="getImage", **query):
    """Reply and zip of a download."""
    reply = ask(archive, f"/v4/{name}", SeriesInstanceUID=uid, **query)
    assert reply.status_code == 200
    return reply, zipfile.ZipFile(io.BytesIO(reply.content))


def ct_of(archive, collection):
    """First CT of a collection."""
    return series(archive, Collection=collection, Modality="CT")[0]["SeriesInstanceUID"]
