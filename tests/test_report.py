import base64
import hashlib
import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest
import torch

from fokker import __version__, draw
from fokker.errors import DataError, RunError
from fokker.report import Frames, Pictures, Table, Text, write_report

NASTY = '<script>alert("1")</script> & \'"'
VOID = {"meta", "img", "input"}


class Page(HTMLParser):
    """What a browser makes of a page: elements with their attributes and text, in their order."""

    def __init__(self, path):
        super().__init__()
        self.open, self.elements, self.source = [], [], path.read_text(encoding="utf-8")
        self.feed(self.source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        element = {"tag": tag, "text": "", "inside": [e["tag"] for e in self.open], **dict(attrs)}
        self.elements.append(element)
        if tag not in VOID:
            self.open.append(element)

    def handle_endtag(self, tag):
        assert self.open.pop()["tag"] == tag

    def handle_data(self, data):
        for element in self.open:
            element["text"] += data

    def all(self, tag, **attributes):
        found = (e for e in self.elements if e["tag"] == tag)
        return [e for e in found if all(e.get(k.rstrip("_")) == v for k, v in attributes.items())]

    def texts(self, tag, **attributes):
        return [e["text"].strip() for e in self.all(tag, **attributes)]


@pytest.fixture
def write(tmp_path):
    def write(*sections, title="A run", plan=None):
        write_report(tmp_path / "report.html", title=title, plan=plan or {}, sections=sections)
        return Page(tmp_path / "report.html")

    return write


def picture(seed=0):
    return draw.image_grid(torch.rand(1, 1, 4, 6, generator=torch.Generator().manual_seed(seed)), width=6)


def decoded(image):
    assert image["src"].startswith("data:image/png;base64,")
    return base64.b64decode(image["src"].partition(",")[2])


def test_page_holds_everything_it_shows(write):
    page = write(Pictures("P", [("one", picture())]), Frames("F", [("two", picture(1))]))
    assert not re.search(r"https?:|//\w", page.source)
    for element in page.elements:
        assert "href" not in element or element["href"].startswith("#")
        assert "src" not in element or element["src"].startswith("data:")
        assert not [name for name in element if name.startswith("on") or name == "style"]


def test_policy_admits_the_style_and_the_script_and_no_other(write):
    page = write(Text("T", "text"))
    (policy,) = (e["content"] for e in page.all("meta") if e.get("http-equiv") == "Content-Security-Policy")
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    for tag in ("style", "script"):
        (text,) = re.findall(f"<{tag}>(.*?)</{tag}>", page.source, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_words_are_words(write):
    page = write(
        Text(NASTY, NASTY),
        Table(NASTY, [NASTY], [[NASTY]], NASTY),
        Pictures(NASTY, [(NASTY, picture())], NASTY),
        Frames(NASTY, [(NASTY, picture())], NASTY),
        title=NASTY,
        plan={NASTY: NASTY, "group": {NASTY: NASTY}},
    )
    assert len(page.all("script")) == 1
    assert page.texts("title") == page.texts("h1") == [NASTY]
    assert page.texts("h2") == [NASTY] * 4 + ["Plan"]
    assert page.texts("p") == [NASTY] * 4
    assert [e["alt"] for e in page.all("img")] == page.texts("figcaption") == [NASTY] * 2
    assert page.texts("td") == [NASTY] * 3
    assert page.texts("th") == [NASTY, NASTY, "group", NASTY]
    assert page.all("input")[0]["aria-label"] == NASTY


def test_every_section_can_be_reached_from_the_top(write):
    page = write(Text("Loss", "a"), Text("Samples", "b"), plan={"seed": 0})
    targets = {e["id"]: e["text"] for e in page.all("section")}
    links = [(e["href"].removeprefix("#"), e["text"]) for e in page.all("a")]
    assert [text for _, text in links] == ["Loss", "Samples", "Plan"]
    assert all(targets[place].strip().startswith(text) for place, text in links)
    assert [e["text"] for e in write(Text("Loss", "a")).all("a")] == ["Loss"]  # no plan, no link


def test_pictures_come_from_memory_and_from_files(write, tmp_path):
    picture(1).save(tmp_path / "one.png")
    page = write(Pictures("P", [("zero", picture()), ("one", tmp_path / "one.png"), ("two", picture(2).png)]))
    assert [decoded(image) for image in page.all("img")] == [picture(k).png for k in range(3)]
    assert [(e["alt"], e["width"], e["height"]) for e in page.all("img")] == [
        ("zero", "6", "4"),
        ("one", "6", "4"),
        ("two", "6", "4"),
    ]
    assert page.texts("figcaption") == ["zero", "one", "two"]


def test_frames_start_at_the_last_and_are_seen_without_the_script_too(write):
    page = write(Frames("F", [(f"t = {k}", picture(k)) for k in range(5)]))
    (slider,) = page.all("input", type="range")
    assert (slider["min"], slider["max"], slider["value"]) == ("0", "4", "4")
    (controls,) = page.all("div", class_="controls")
    assert "hidden" in controls
    figures = page.all("figure")
    assert len(figures) == 5 and not any("hidden" in figure for figure in figures)
    assert [decoded(image) for image in page.all("img")] == [picture(k).png for k in range(5)]


def test_numbers_have_four_digits_and_stand_at_the_right(write):
    rows = [["ddpm", 1000, 0.0123456, True], ["ode", None, 123456.789, None]]
    page = write(Table("T", ["sampler", "nfe", "distance", "exact"], rows))
    assert page.texts("td") == ["ddpm", "1000", "0.01235", "true", "ode", "", "1.235e+05", ""]
    assert page.texts("td", class_="number") == ["1000", "0.01235", "1.235e+05"]
    assert page.texts("th", class_="number") == ["nfe", "distance"]
    assert write(Table("T", ["a", "b"], [])).texts("th") == ["a", "b"]


def test_empty_lines_part_paragraphs(write):
    assert write(Text("T", "one\nline\n\n\n\ntwo\n\n")).texts("p") == ["one\nline", "two"]


def test_plan_is_grouped_and_complete(write):
    plan = {
        "data": {"name": "digits", "transforms": ["range:low=-1", "dequantise"]},
        "seed": 0,
        "network": {"name": "unet", "attention": {"at": [8, 16], "heads": None}, "empty": {}},
        "train": {"compile": False, "lr": 2e-4, "stages": [{"steps": 5}]},
    }
    page = write(plan=plan)
    rows = [(e["text"], e.get("scope")) for e in page.all("th")]
    assert rows == [
        ("seed", "row"),
        ("data", "rowgroup"),
        ("name", "row"),
        ("transforms", "row"),
        ("network", "rowgroup"),
        ("name", "row"),
        ("attention.at", "row"),
        ("attention.heads", "row"),
        ("empty", "row"),
        ("train", "rowgroup"),
        ("compile", "row"),
        ("lr", "row"),
        ("stages", "row"),
    ]
    expected = ["0", "digits", "range:low=-1, dequantise", "unet", "8, 16", "none", "none", "false", "0.0002"]
    assert page.texts("td") == [*expected, '{"steps": 5}']


def test_page_reads_on_a_phone_by_day_and_by_night(write):
    page = write(Table("T", ["a"], [[1]]))
    assert page.all("meta", name="viewport")[0]["content"] == "width=device-width, initial-scale=1"
    assert page.all("meta", name="color-scheme")[0]["content"] == "light dark"
    assert "prefers-color-scheme: dark" in page.source
    assert page.all("table")[0]["inside"][-1] == "div"  # which scrolls, so that the page does not


def test_page_says_who_made_it(write):
    assert write().texts("footer") == [f"Made by fokker {__version__}."]


def test_same_report_is_the_same_bytes(write):
    sections = [Pictures("P", [("a", picture())]), Text("T", "text")]
    assert write(*sections).source == write(*sections).source


def test_unreadable_pictures_are_named_and_leave_the_old_page(write, tmp_path):
    old = write(Text("T", "old")).source
    (tmp_path / "torn.png").write_bytes(b"\x89PNG")
    for path, reason in ((tmp_path / "gone.png", "cannot be read: No such file"), (tmp_path / "torn.png", "not a PNG")):
        with pytest.raises(DataError, match=rf"{path.name} .*{reason}"):
            write(Text("T", "new"), Pictures("P", [("a", path)]))
    with pytest.raises(DataError, match="a picture of the report is not a PNG file"):
        write(Pictures("P", [("a", b"GIF89a")]))
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == old
    assert sorted(p.name for p in tmp_path.iterdir()) == ["report.html", "torn.png"]


def test_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"report\.html cannot be written"):
        write_report(tmp_path / "file" / "report.html", title="T", plan={}, sections=[])


def test_impossible_sections_are_refused():
    with pytest.raises(ValueError, match="a row of 'T' has 1 cells for 2 columns"):
        Table("T", ["a", "b"], [[1, 2], [3]])
    with pytest.raises(ValueError, match="'F' has no frames"):
        Frames("F", [])


def test_reports_are_written_without_matplotlib_or_torch(tmp_path):
    script = f"""
import sys
from fokker.report import Text, write_report
write_report({str(tmp_path / "r.html")!r}, title="T", plan={{}}, sections=[Text("T", "text")])
print({{"matplotlib", "torch"}} & set(sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
