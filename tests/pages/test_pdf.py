"""The book as one page to be printed: two pages by hand."""

import shutil

import pytest
from bs4 import BeautifulSoup

from trusteq.errors import ArtefactError
from trusteq.pages.pdf import one_page, print_book

PAGE = "<html><head><title>{}</title></head><body><nav>left out</nav><article>{}</article></body></html>"
FIRST = '<h1 id="top">A</h1><a href="runs/b.html#top">b</a><a href="#top">up</a><a href="https://x.org/c.html">c</a>'
SECOND = '<h1 id="top">B</h1><a href="../a.html">a</a><img src="../_images/p.png"/>'
SECOND += '<svg viewBox="0 0 1 1"><path id="m"/><use href="#m"/></svg>'


@pytest.fixture
def html(tmp_path):
    (tmp_path / "html" / "runs").mkdir(parents=True)
    (tmp_path / "html" / "a.html").write_text(PAGE.format("A", FIRST))
    (tmp_path / "html" / "runs" / "b.html").write_text(PAGE.format("B MathJax", SECOND))
    (tmp_path / "toc.yml").write_text("root: a\nparts: [{caption: P, chapters: [{file: runs/b}]}]")
    return tmp_path / "html"


def test_pages_stand_in_one_with_their_links(html):
    page = BeautifulSoup(one_page(html, ["a", "runs/b"]), "html.parser")
    assert [article["id"] for article in page.find_all("article")] == ["a", "runs/b"]
    assert [heading["id"] for heading in page.find_all("h1")] == ["a#top", "runs/b#top"]
    links = [link["href"] for link in page.find_all("a")]
    assert links == ["#runs/b#top", "#a#top", "https://x.org/c.html", "#a"]
    assert page.img["src"] == "_images/p.png"
    assert page.path["id"] == "m" and page.use["href"] == "#m"
    assert "MathJax" in page.head.get_text() and "left out" not in page.get_text()


def test_a_book_that_is_not_built_is_said(html, tmp_path):
    with pytest.raises(ArtefactError, match="no built book; make one with trusteq book"):
        print_book(tmp_path / "nowhere", tmp_path / "toc.yml", tmp_path / "book.pdf")


def test_without_a_browser_nothing_is_printed(html, tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(ArtefactError, match="install Chromium"):
        print_book(html, tmp_path / "toc.yml", tmp_path / "book.pdf")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="chromium, which prints the book, is missing")
def test_the_book_is_printed(html, tmp_path):
    print_book(html, tmp_path / "toc.yml", tmp_path / "book.pdf")
    printed = (tmp_path / "book.pdf").read_bytes()
    assert printed.startswith(b"%PDF") and printed.count(b"/Type /Page\n") == 2
    assert not (html / "printed.html").exists()
