"""The page: complete in itself, safe whatever compounds are called, and honest about what is not known."""

import re
from html.parser import HTMLParser

import pytest
from report_lab import EVIL, ReportLab

from controller.report.structures import draw_structure, sanitised
from controller.reporting import write_report

SECTIONS = ["hits", "rounds", "calibration", "plates", "top", "chain", "log", "settings"]


class Read(HTMLParser):
    """Collects what a browser would see."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    lab = ReportLab(tmp_path_factory.mktemp("page") / "lab").build()
    out = lab.folder / "reports"
    write_report(lab, out)
    return out


@pytest.fixture(scope="module")
def page(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def read(page):
    return Read(page)


def test_sections_in_order(read):
    assert [a["id"] for tag, a in read.tags if tag == "section"] == SECTIONS


def test_nothing_is_loaded_and_nothing_runs(read, page):
    assert not [tag for tag, _ in read.tags if tag in ("script", "link", "iframe", "object", "embed", "base", "form")]
    assert not [a for _, a in read.tags if any(name.startswith("on") for name in a)]
    sources = [a["src"] for tag, a in read.tags if tag == "img"]
    assert sources
    assert all(s.startswith(("data:image/png;base64,", "data:image/jpeg;base64,")) for s in sources)
    assert all(a["href"].startswith("#") for tag, a in read.tags if tag == "a")
    assert not re.search(r"url\(|@import", page)
    policy = next(a["content"] for tag, a in read.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy.startswith("default-src 'none'")
    assert "script-src" not in policy


def test_an_evil_compound_id_is_shown_and_never_lives(read, page):
    assert "<script" not in page
    assert "&lt;script&gt;alert(&#34;x&#34;)&lt;/script&gt;&#39;&amp;" in page
    assert EVIL in "".join(read.text)


def test_every_figure_lies_beside_the_page_as_png(folder):
    names = {p.name for p in folder.glob("*.png")}
    kinds = ("layout", "response", "flags", "controls", "fields")
    per_plate = {f"NP-000{n}-{kind}.png" for n in (1, 2) for kind in kinds}
    calibration = {f"calibration-{group}.png" for group in ("exploit", "explore", "cross-validation")}
    assert names == {"hits.png", "hits-by-reason.png", "coverage.png", *calibration, *per_plate}
    assert all((folder / name).read_bytes().startswith(b"\x89PNG") for name in names)


def test_what_is_not_known_is_said_with_the_reason(read):
    text = " ".join("".join(read.text).split())
    assert "not determined" in text
    assert "Similarity search: not available: a real lab" in text
    assert "the first plate is picked without a belief" in text


def test_what_was_foreseen_and_what_may_be_called_a_hit_are_told(read):
    text = " ".join("".join(read.text).split())
    assert "All rounds so far, as promised before measuring" in text
    assert "Drift: none noticed" in text
    assert "after bets on 33 compounds picked by lot" in text
    assert "for picks" in text
    assert "2 of 512, of which at most 20 % false on average: C1001, " in text
    assert "probabilities of a hit: Venn-Abers on 300 compounds, 4 hits" in text


def test_the_head_says_the_result_with_its_uncertainty(read):
    text = " ".join("".join(read.text).split())
    assert "In 2 rounds the campaign tested 687 of 1,200 compounds (57.2 %) and called 24 hits" in text
    assert "(95 % intervals)" in text


def test_top_hits_are_drawn(read):
    assert sum(tag == "svg" for tag, _ in read.tags) == 12
    assert "id chain down to the pixels" in "".join(read.text)


@pytest.mark.parametrize("stop", ["pick", "layout", "run-0", "normalise"])
def test_a_running_campaign_has_a_page_too(tmp_path, stop):
    lab = ReportLab(tmp_path / "lab", rounds=1, stop_before=stop).build()
    text = "".join(Read(write_report(lab, tmp_path / "out").read_text(encoding="utf-8")).text)
    assert "No plate has been measured yet" in text
    assert "No compound has been called a hit yet" in text


def test_a_failed_plate_is_shown_as_failed(tmp_path):
    lab = ReportLab(tmp_path / "lab", failed_plate="discard", with_images=False).build()
    text = "".join(Read(write_report(lab, tmp_path / "out").read_text(encoding="utf-8")).text)
    assert "failed and discarded" in text
    assert "Z' 0.10 below 0.30" in text


def test_a_structure_is_an_svg_without_anything_else():
    svg = draw_structure("C[C@H](N)c1ccc(O)cc1.[Na+]")
    assert svg is not None
    tags = set(re.findall(r"<(\w+)", svg))
    assert tags <= {"svg", "path", "ellipse", "polygon", "g", "text", "tspan"}
    assert draw_structure("not a structure") is None
    assert draw_structure("") is None


def test_an_svg_is_stripped_to_what_is_allowed():
    dirty = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1" onload="alert(1)"><script>alert(1)</script>'
        '<path d="M0 0" style="fill:url(http://x)" onclick="a()"/><image href="http://x"/>'
        "<foreignObject><p>x</p></foreignObject></svg>"
    )
    assert sanitised(dirty) == '<svg viewBox="0 0 1 1" role="img"><path d="M0 0" /></svg>'


@pytest.mark.parametrize("bad", ['<!DOCTYPE svg [<!ENTITY a "b">]><svg/>', "<html/>"])
def test_what_is_no_plain_svg_is_refused(bad):
    with pytest.raises(ValueError, match="SVG"):
        sanitised(bad)
