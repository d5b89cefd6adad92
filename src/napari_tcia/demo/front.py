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

_SECURE = """<p><code>certificate.pem</code> is the certificate of this archive, or of
whoever signed it, as a PEM file. Get it from the person who runs the archive, not from
a page. While the variable names it, other https addresses are not trusted: use this
terminal for the class alone.</p>"""
_PLAIN = """<p>This archive speaks plain http, and napari-tcia speaks that to its own
machine only. If this page comes from another machine, bring the port to yours:</p>
<pre>ssh -N -L PORT:localhost:PORT HOST</pre>
<p>with the port and host of this page; HOST:PORT above is then
<code>localhost:PORT</code>. For a class, whoever runs the archive had better serve
https under the NAME by which the others know that machine:</p>
<pre>openssl req -x509 -newkey rsa:2048 -nodes -days 30 -subj /CN=NAME \\
  -addext subjectAltName=DNS:NAME -keyout key.pem -out certificate.pem
napari-tcia serve --host 0.0.0.0 --certificate certificate.pem --key key.pem</pre>
<p>and hand out <code>certificate.pem</code> and <code>https://NAME:PORT/</code>, with
the port that the program printed.</p>"""


def front(
    twin: Twin, request: Request, prefixes: Mapping[str, str], secure: bool = False
) -> Reply:
    """``/``, and ``/collection/<slug>/`` for every collection.

    Parameters
    ----------
    twin : Twin
    request : Request
    prefixes : mapping
        Path below which each service answers.
    secure : bool
        Whether the archive speaks https.
    """
    if request.method not in ("GET", "HEAD"):
        return Reply(status=405, headers={"Allow": "GET, HEAD"})
    if request.parts == ():
        return _front(twin, prefixes, secure)
    if len(request.parts) == 2 and request.parts[0] == LANDING.strip("/"):
        for holding in HOLDINGS:
            if holding.slug == request.parts[1]:
                return _landing(holding)
    return not_found()


def _front(twin: Twin, prefixes: Mapping[str, str], secure: bool) -> Reply:
    rows = "".join(_row(twin, holding) for holding in HOLDINGS)
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
<p>Paste this into a terminal, with the address of this page as your browser shows it
in place of HOST:PORT.</p>
{_paste(prefixes, secure)}
{_SECURE if secure else _PLAIN}
<h2>Files</h2>
<ul>{files}</ul>"""
    return page("SYNTHETIC embedded archive of napari-tcia", body)


def _paste(prefixes: Mapping[str, str], secure: bool) -> str:
    """What to paste into bash and into PowerShell."""
    address = f"{'https' if secure else 'http'}://HOST:PORT"
    names = {
        f"NAPARI_TCIA_{name.upper()}": f"$ADDRESS{prefix}"
        for name, prefix in prefixes.items()
    }
    if secure:
        names["REQUESTS_CA_BUNDLE"] = "certificate.pem"
    bash = [
        f"ADDRESS={address}",
        *(f"export {name}={value}" for name, value in names.items()),
        "napari",
    ]
    powershell = [
        f'$ADDRESS = "{address}"',
        *(f'$env:{name} = "{value}"' for name, value in names.items()),
        "napari",
    ]
    return "".join(
        f"<h3>{shell}</h3>\n<pre>{escape(chr(10).join(lines), quote=False)}</pre>\n"
        for shell, lines in (("bash, zsh", bash), ("PowerShell", powershell))
    )


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
