"""Reports: one HTML page that holds everything it shows.

Pictures are inside the page, style and script too, and a content security policy lets nothing else in: the page can be
mailed, archived, and read without a network. It reads without its script as well; the script adds the slider that
scrubs through frames.
"""

import base64
import hashlib
import json
import os
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import fokker
from fokker.errors import DataError
from fokker.partial import Partial

if TYPE_CHECKING:
    from fokker.draw.picture import Picture

__all__ = ["Cell", "Frames", "Image", "Pictures", "Section", "Table", "Text", "write_report"]

Image: TypeAlias = "Picture | bytes | os.PathLike[str]"
"""A picture, the bytes of a PNG file, or where one is."""

Cell: TypeAlias = str | int | float | bool | None
"""What a table can hold; numbers are written with four digits."""


@dataclass(frozen=True, eq=False)
class Text:
    """Words.

    Args:
        title: Heading.
        text: Plain text; an empty line parts paragraphs.
    """

    title: str
    text: str


@dataclass(frozen=True, eq=False)
class Table:
    """Numbers and names in rows.

    Args:
        title: Heading.
        columns: Names of the columns.
        rows: As many cells each as there are columns.
        note: A sentence above the table.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def __post_init__(self) -> None:
        for row in self.rows:
            if len(row) != len(self.columns):
                raise ValueError(f"a row of '{self.title}' has {len(row)} cells for {len(self.columns)} columns")


@dataclass(frozen=True, eq=False)
class Pictures:
    """Pictures with their captions, side by side where there is room.

    Args:
        title: Heading.
        pictures: Caption and picture.
        note: A sentence above them.
    """

    title: str
    pictures: Sequence[tuple[str, Image]]
    note: str = ""


@dataclass(frozen=True, eq=False)
class Frames:
    """Pictures one after another, with a slider.

    Args:
        title: Heading.
        frames: Caption and picture, in their order, best of one size; one at least.
        note: A sentence above them.
    """

    title: str
    frames: Sequence[tuple[str, Image]]
    note: str = ""

    def __post_init__(self) -> None:
        if not self.frames:
            raise ValueError(f"'{self.title}' has no frames")


Section: TypeAlias = Text | Table | Pictures | Frames
"""Any part of a report."""


def write_report(
    path: str | os.PathLike[str], *, title: str, plan: Mapping[str, object], sections: Sequence[Section]
) -> None:
    """Write a report; what is there already is replaced once the new page is whole.

    Args:
        path: The page.
        title: Its title.
        plan: What was done, by name; mappings inside become groups. Left out if empty.
        sections: In the order in which they are read. Pictures are read one at a time.

    Raises:
        DataError: If a picture is missing or not a PNG file.
        RunError: If the page cannot be written.
    """
    with Partial(Path(path)) as file:
        for piece in _page(title, plan, sections):
            file.write(piece.encode())


def _page(title: str, plan: Mapping[str, object], sections: Sequence[Section]) -> Iterator[str]:
    yield (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta name="color-scheme" content="light dark">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<header><h1>{escape(title)}</h1>\n"
    )
    names = [section.title for section in sections] + ["Plan"] * bool(plan)
    links = "".join(f'<li><a href="#part{k}">{escape(name)}</a></li>' for k, name in enumerate(names))
    yield f"<nav><ul>{links}</ul></nav></header>\n<main>\n"
    for k, section in enumerate(sections):
        yield f'<section id="part{k}">\n<h2>{escape(section.title)}</h2>\n'
        yield from _body(section)
        yield "</section>\n"
    if plan:
        yield f'<section id="part{len(sections)}">\n<h2>Plan</h2>\n{_plan(plan)}</section>\n'
    yield (
        f"</main>\n<footer>Made by fokker {escape(fokker.__version__)}.</footer>\n"
        f"<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )


def _body(section: Section) -> Iterator[str]:
    if isinstance(section, Text):
        yield from _paragraphs(section.text)
        return
    yield from _paragraphs(section.note)
    match section:
        case Table():
            head = ""
            for k, name in enumerate(section.columns):
                side = ' class="number"' if any(_is_number(row[k]) for row in section.rows) else ""
                head += f'<th scope="col"{side}>{escape(name)}</th>'
            yield f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
            for row in section.rows:
                yield "<tr>" + "".join(map(_cell, row)) + "</tr>\n"
            yield "</tbody>\n</table></div>\n"
        case Pictures():
            yield '<div class="pictures">\n'
            for caption, image in section.pictures:
                yield f"<figure>{_image(caption, image)}<figcaption>{escape(caption)}</figcaption></figure>\n"
            yield "</div>\n"
        case Frames():
            last = len(section.frames) - 1
            yield (
                f'<div class="scrub">\n<div class="controls" hidden><button type="button">Play</button>'
                f'<input type="range" min="0" max="{last}" value="{last}" aria-label="{escape(section.title)}">'
                f'<output></output></div>\n<div class="frames">\n'
            )
            for caption, image in section.frames:
                yield f"<figure>{_image(caption, image)}<figcaption>{escape(caption)}</figcaption></figure>\n"
            yield "</div>\n</div>\n"


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        if part.strip():
            yield f"<p>{escape(part.strip())}</p>\n"


def _cell(value: Cell) -> str:
    if _is_number(value):
        return (
            f'<td class="number">{value:.4g}</td>' if isinstance(value, float) else f'<td class="number">{value}</td>'
        )
    return f"<td>{escape('' if value is None else _word(value))}</td>"


def _is_number(value: Cell) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _plan(plan: Mapping[str, object]) -> str:
    """Single values first, then each mapping under its name, with dotted names for what lies deeper."""
    single = {key: value for key, value in plan.items() if not isinstance(value, Mapping)}
    groups = [(key, value) for key, value in plan.items() if isinstance(value, Mapping)]
    text = '<div class="wide"><table class="plan">\n'
    for name, group in [("", single), *groups]:
        rows = _flat(group)
        if not rows and not name:
            continue
        text += "<tbody>\n"
        if name:
            text += f'<tr><th scope="rowgroup" colspan="2">{escape(name)}</th></tr>\n'
        text += "".join(f'<tr><th scope="row">{escape(k)}</th><td>{escape(_word(v))}</td></tr>\n' for k, v in rows)
        text += "</tbody>\n"
    return text + "</table></div>\n"


def _flat(group: Mapping[str, object], prefix: str = "") -> list[tuple[str, object]]:
    rows: list[tuple[str, object]] = []
    for key, value in group.items():
        if isinstance(value, Mapping) and value:
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _word(value: object) -> str:
    """A value as a reader knows it from a configuration."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "none"
    if isinstance(value, (list, tuple)):
        return ", ".join(map(_word, value)) if value else "none"
    if isinstance(value, Mapping):
        return json.dumps(value, default=str) if value else "none"
    return str(value)


def _image(caption: str, image: Image) -> str:
    png, name = _png(image)
    if png[:8] != b"\x89PNG\r\n\x1a\n" or len(png) < 24:
        raise DataError(f"{name} is not a PNG file: leave it out of the report or draw it again.")
    width, height = struct.unpack(">II", png[16:24])  # the browser keeps the place before it has drawn the picture
    data = base64.b64encode(png).decode()
    return f'<img alt="{escape(caption)}" width="{width}" height="{height}" src="data:image/png;base64,{data}">'


def _png(image: Image) -> tuple[bytes, str]:
    if isinstance(image, bytes):
        return image, "a picture of the report"
    if isinstance(image, os.PathLike):
        try:
            return Path(image).read_bytes(), os.fspath(image)
        except OSError as error:
            raise DataError(f"{os.fspath(image)} cannot be read: {error.strerror}.") from error
    return image.png, "a picture of the report"


def _policy() -> str:
    """Which sources the page may use: pictures inside it, and the very style and script below."""
    style, script = (base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (_STYLE, _SCRIPT))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style}'; script-src 'sha256-{script}'; "
        f"base-uri 'none'; form-action 'none'"
    )


_STYLE = """
:root { --paper: #fff; --ink: #262626; --muted: #666; --line: #ddd; --quiet: #f5f6f7; --accent: #0072b2; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #16181b; --ink: #e4e5e7; --muted: #a0a4a9; --line: #3a3e44; --quiet: #1f2226; --accent: #63b6e6; }
}
* { box-sizing: border-box; }
html { scroll-behavior: smooth; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
p { max-width: 44rem; margin: .5rem 0; white-space: pre-line; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; list-style: none; margin: 0; padding: 0; }
.pictures { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(min(100%, 18rem), 1fr)); }
figure { margin: 0; }
.pictures figure:only-child { grid-column: 1 / -1; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
@media (prefers-color-scheme: dark) { img { padding: 6px; } }
figcaption, footer { color: var(--muted); font-size: .875rem; margin-top: .3rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9375rem; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem 1rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
thead th { color: var(--muted); font-weight: 600; }
table:not(.plan) { white-space: nowrap; }
.number { text-align: right; }
.plan th { font-weight: 400; color: var(--muted); }
.plan th[scope=rowgroup] { font-weight: 600; color: var(--ink); padding-top: 1rem; }
.frames { display: flex; gap: .5rem; overflow-x: auto; }
.frames figure { flex: none; }
.ready .frames { display: block; }
.ready figcaption { display: none; }
[hidden] { display: none !important; }
.controls { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center; margin: .5rem 0; max-width: 44rem; }
.controls input { flex: 1 1 12rem; min-width: 0; height: 2.2rem; accent-color: var(--accent); }
.controls output { min-width: 6rem; font-variant-numeric: tabular-nums; }
button { font: inherit; min-width: 5rem; padding: .3rem .9rem; color: var(--ink); background: var(--quiet);
  border: 1px solid var(--line); border-radius: 4px; cursor: pointer; }
footer { margin: 3rem 0 1rem; }
"""

_SCRIPT = """
for (const scrub of document.querySelectorAll(".scrub")) {
  const frames = [...scrub.querySelectorAll("figure")];
  const [controls, button, slider, output] =
    [".controls", "button", "input", "output"].map(name => scrub.querySelector(name));
  let timer = 0;
  const show = () => {
    frames.forEach((frame, k) => { frame.hidden = k !== slider.valueAsNumber; });
    output.textContent = slider.ariaValueText = frames[slider.valueAsNumber].textContent;
  };
  const stop = () => { clearInterval(timer); timer = 0; button.textContent = "Play"; };
  const step = () => {
    slider.valueAsNumber += 1;
    show();
    if (slider.valueAsNumber >= frames.length - 1) stop();
  };
  button.addEventListener("click", () => {
    if (timer) return stop();
    if (slider.valueAsNumber >= frames.length - 1) slider.valueAsNumber = 0;
    show();
    button.textContent = "Pause";
    timer = setInterval(step, Math.max(60, 4000 / frames.length));
  });
  slider.addEventListener("input", () => { stop(); show(); });
  controls.hidden = false;
  scrub.classList.add("ready");
  show();
}
"""
