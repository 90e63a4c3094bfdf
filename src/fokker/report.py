"""Reports: one self-contained HTML page of tables, pictures and trajectories to scrub through.

Pictures are embedded, style and script are inline, and nothing is fetched: the page can be mailed or archived.
"""

import base64
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from fokker.draw import Picture
from fokker.partial import Partial

__all__ = ["Frames", "Pictures", "Section", "Table", "Text", "write_report"]

_STYLE = """
:root { color-scheme: light dark; --ink: #1d2129; --soft: #5b6472; --line: #d9dde3; --paper: #ffffff; --card: #f6f7f9; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --soft: #9aa3af; --line: #363c45; --paper: #15181c; --card: #1e2227; }
}
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 62rem; padding: 1.5rem 1rem 4rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.7rem; margin: 0 0 1rem; } h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
p { color: var(--soft); margin: .3rem 0 .8rem; max-width: 46rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; }
th, td { text-align: left; padding: .25rem .9rem .25rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
th { color: var(--soft); font-weight: 600; }
.pictures { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-start; }
figure { margin: 0; background: var(--card); border-radius: .5rem; padding: .6rem; max-width: 100%; }
figure img { display: block; max-width: 100%; height: auto; background: #ffffff; border-radius: .25rem; }
figcaption { font-size: .85rem; color: var(--soft); padding-top: .4rem; }
details summary { cursor: pointer; color: var(--soft); }
input[type=range] { width: 100%; }
"""

_SCRIPT = """
for (const box of document.querySelectorAll('.frames')) {
  const images = box.querySelectorAll('img'), caption = box.querySelector('figcaption');
  const show = k => { images.forEach((image, i) => image.hidden = i != k); caption.textContent = images[k].alt; };
  const slider = box.querySelector('input');
  slider.addEventListener('input', () => show(+slider.value));
  show(+slider.value);
}
"""


class Section(ABC):
    """A part of a report."""

    title: str

    @abstractmethod
    def html(self) -> str:
        """Its content as HTML, without the title."""


@dataclass(frozen=True)
class Text(Section):
    """Words.

    Args:
        title: Heading.
        text: A paragraph; plain text.
    """

    title: str
    text: str

    def html(self) -> str:
        """A paragraph."""
        return f"<p>{escape(self.text)}</p>"


@dataclass(frozen=True)
class Table(Section):
    """Rows under headings.

    Args:
        title: Heading.
        columns: Headings of the columns.
        rows: Cells; numbers are shown to four digits.
        text: A paragraph above it.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Any]]
    text: str = ""

    def html(self) -> str:
        """A table that scrolls sideways on a narrow screen."""
        head = "".join(f"<th>{escape(c)}</th>" for c in self.columns)
        body = "".join("<tr>" + "".join(f"<td>{escape(_shown(v))}</td>" for v in row) + "</tr>" for row in self.rows)
        text = f"<p>{escape(self.text)}</p>" if self.text else ""
        return f'{text}<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


@dataclass(frozen=True)
class Pictures(Section):
    """Pictures side by side, as many as fit.

    Args:
        title: Heading.
        pictures: Captions and pictures.
        text: A paragraph above them.
    """

    title: str
    pictures: Sequence[tuple[str, Picture]]
    text: str = ""

    def html(self) -> str:
        """Figures with captions."""
        figures = "".join(
            f"<figure>{_image(picture, caption)}<figcaption>{escape(caption)}</figcaption></figure>"
            for caption, picture in self.pictures
        )
        text = f"<p>{escape(self.text)}</p>" if self.text else ""
        return f'{text}<div class="pictures">{figures}</div>'


@dataclass(frozen=True)
class Frames(Section):
    """Pictures one after another, to scrub through with a slider; the last one is shown first.

    Args:
        title: Heading.
        frames: Captions and pictures, at least one.
        text: A paragraph above them.
    """

    title: str
    frames: Sequence[tuple[str, Picture]]
    text: str = ""

    def html(self) -> str:
        """All frames, of which the script shows one."""
        last = len(self.frames) - 1
        images = "".join(_image(picture, caption, hidden=k != last) for k, (caption, picture) in enumerate(self.frames))
        text = f"<p>{escape(self.text)}</p>" if self.text else ""
        slider = (
            f'<input type="range" min="0" max="{last}" value="{last}" aria-label="{escape(self.title, quote=True)}">'
        )
        caption = escape(self.frames[last][0])
        return f'{text}<figure class="frames">{images}{slider}<figcaption>{caption}</figcaption></figure>'


def write_report(path: Path, *, title: str, plan: Mapping[str, Any], sections: Sequence[Section]) -> None:
    """Write a report, whole or not at all.

    Args:
        path: The HTML file.
        title: Of the page.
        plan: What was done, nested tables allowed; shown folded below the title.
        sections: The content in its order.

    Raises:
        RunError: If the file cannot be written.
    """
    rows = "".join(f"<tr><th>{escape(k)}</th><td>{escape(_shown(v))}</td></tr>" for k, v in _flat(plan))
    parts = "".join(f"<section><h2>{escape(s.title)}</h2>{s.html()}</section>\n" for s in sections)
    page = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<details><summary>Plan</summary><div class="scroll"><table><tbody>{rows}</tbody></table></div></details>\n'
        f"{parts}<script>{_SCRIPT}</script>\n</body>\n</html>\n"
    )
    with Partial(path) as file:
        file.write(page.encode())


def _image(picture: Picture, caption: str, *, hidden: bool = False) -> str:
    data = base64.b64encode(picture.png).decode()
    width, height = picture.size
    hide = " hidden" if hidden else ""
    return (
        f'<img src="data:image/png;base64,{data}" alt="{escape(caption, quote=True)}" '
        f'width="{width}" height="{height}"{hide}>'
    )


def _flat(plan: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    rows: list[tuple[str, Any]] = []
    for key, value in plan.items():
        if isinstance(value, Mapping):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", value))
    return rows


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value)
