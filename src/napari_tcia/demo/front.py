"""The pages that a browser sees: what this archive is, and how to connect to it.

Plain HTML without scripts; links are relative, and no page names the address it
comes from, which the browser shows anyway.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from napari_tcia.demo.citations import LANDING, apa
from napari_tcia.demo.holdings import HOLDINGS, Holding, parts
from napari_tcia.demo.manifests import MANIFESTS
from napari_tcia.demo.messages import Reply, Request, not_found, page
from napari_tcia.demo.policy import POLICY
from napari_tcia.demo.twin import Twin

_SYNTHETIC = (
    "<p><strong>SYNTHETIC.</strong> Everything here is made by a program: phantoms, "
    "not patients, in the formats of The Cancer Imaging Archive, to which this "
    "archive does not belong.</p>"
)
_SUPPLEMENTS = (
    "MED_ABD_LYMPH_ANNOTATIONS.zip",
    "MED_ABD_LYMPH_CANDIDATES.zip",
    "MED_ABD_LYMPH_MASKS.zip",
)


def front(twin: Twin, request: Request, prefixes: Mapping[str, str]) -> Reply:
    """``/``, and ``/collection/<slug>/`` for every collection.

    Parameters
    ----------
    twin : Twin
    request : Request
    prefixes : mapping
        Path below which each service answers.
    """
    if request.method not in ("GET", "HEAD"):
        return Reply(status=405, headers={"Allow": "GET, HEAD"})
    if request.parts == ():
        return _front(twin, prefixes)
    if len(request.parts) == 2 and request.parts[0] == LANDING.strip("/"):
        for holding in HOLDINGS:
            if holding.slug == request.parts[1]:
                return _landing(holding)
    return not_found()


def _front(twin: Twin, prefixes: Mapping[str, str]) -> Reply:
    rows = "".join(_row(twin, holding) for holding in HOLDINGS)
    variables = "\n".join(
        f"NAPARI_TCIA_{name.upper()}=ADDRESS{prefix}"
        for name, prefix in prefixes.items()
    )
    files = "".join(
        f'<li><a href="files/{name}">{name}</a></li>'
        for name in (*_SUPPLEMENTS, *MANIFESTS)
    )
    body = f"""<h1>Embedded archive of napari-tcia</h1>
{_SYNTHETIC}
<h2>Collections</h2>
<table border="1" cellpadding="4"><thead><tr><th>Collection</th><th>Patients</th>
<th>Series</th><th>Terms</th></tr></thead><tbody>{rows}</tbody></table>
<p>Before pixels are fetched, the licence of the collection and this policy are to
be accepted:</p>
<details><summary>Data usage policy</summary><pre>{escape(POLICY)}</pre></details>
<h2>Connect</h2>
<p>Set these variables, with the address of this page as your browser shows it (http,
host and port, no slash at the end) in place of ADDRESS, and start napari.</p>
<pre>{variables}</pre>
<p>napari-tcia speaks plain http to its own machine only. If this page comes from
another machine, bring the port to yours first: <code>ssh -N -L
PORT:localhost:PORT HOST</code> with the port and host of this page. ADDRESS is
then <code>http://localhost:PORT</code>.</p>
<h2>Files</h2>
<ul>{files}</ul>"""
    return page("SYNTHETIC embedded archive of napari-tcia", body)


def _row(twin: Twin, holding: Holding) -> str:
    series = [
        one
        for one in twin.series.values()
        if one.case.identity.collection == holding.name
    ]
    patients = {one.case.identity.patient_id for one in series}
    return (
        f'<tr><td><a href="{LANDING.lstrip("/")}{holding.slug}/">'
        f"{escape(holding.name)}</a></td>"
        f"<td>{len(patients)}</td><td>{len(series)}</td>"
        f"<td>{escape(_terms(holding))}</td></tr>\n"
    )


def _terms(holding: Holding) -> str:
    labels = [part.licence_label or "no licence named" for part in parts(holding)]
    return ", ".join(dict.fromkeys(labels))


def _landing(holding: Holding) -> Reply:
    body = (
        f"<h1>{escape(holding.title)}</h1>\n{_SYNTHETIC}"
        f"<p>{apa(holding)}</p><p>Terms: {escape(_terms(holding))}</p>"
        '<p><a href="../../">All collections</a></p>'
    )
    return page(escape(holding.name), body)
