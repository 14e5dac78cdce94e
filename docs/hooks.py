"""What the documentation site takes from outside of docs/: other folders' pages, the notebook, a page for each room.

Pages link as they do on GitHub, relative to their file. Here such a link goes to the page of the site if there is one,
and else to the file in the repository; a link to nothing is a warning, and in a strict build a failure.
"""

from __future__ import annotations

import ast
import json
import logging
import posixpath
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

log = logging.getLogger("mkdocs.hooks")

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "harness" / "xharness"
NOTEBOOK = "examples/first_hour.ipynb"
PAGES = {
    "tasks/README.md": "tasks.md",
    "model_cards/README.md": "model_cards.md",
    "harness/README.md": "layout.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    NOTEBOOK: "first_hour.md",
}
"""File of the repository -> the page of the site that shows it."""
SOURCES = {page: source for source, page in PAGES.items()}
ROOMS = "reference/rooms"

# A link's target: after ](, and not a web address or an anchor of the same page.
_LINK = re.compile(r"(?<=\]\()(?![a-z]+:|#)([^)#\s]+)(#[^)\s]*)?(?=\))")
# Code, in a block or in a line; links in it are none.
_CODE = re.compile(r"^(```|~~~).*?^\1|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add the rooms to the navigation, below the reference."""
    (reference,) = (entry["Reference"] for entry in config.nav or [] if "Reference" in entry)
    reference.append({"Rooms": [{room: f"{ROOMS}/{room}.md"} for room in rooms()]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/."""
    for source, page in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=notebook_text(text) if source == NOTEBOOK else text))
    made = {**room_pages(), "reference/cli.md": command_page(), "reference/errors.md": error_page()}
    for page, text in made.items():
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Make links that lead out of docs/ work on the site."""
    here = page.file.src_uri
    source = SOURCES.get(here, f"docs/{here}")
    text, start = [], 0
    for code in [*_CODE.finditer(markdown), None]:
        end = code.start() if code else len(markdown)
        text.append(_LINK.sub(lambda m: _target(m, source, here, str(config.repo_url)), markdown[start:end]))
        if code:
            text.append(code.group())
            start = code.end()
    return "".join(text)


def _target(link: re.Match[str], source: str, here: str, repository: str) -> str:
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), link[1]))
    anchor = link[2] or ""
    page = PAGES.get(path) or (path.removeprefix("docs/") if path.startswith("docs/") else None)
    if page:
        # Whether it exists, with the anchor, is for MkDocs to say.
        return posixpath.relpath(page, posixpath.dirname(here) or ".") + anchor
    if not (ROOT / path).exists():
        log.warning("%s: there is no '%s' to link to", source, path)
    return f"{repository}/blob/main/{path}{anchor}"


def notebook_text(text: str) -> str:
    """Return a notebook as Markdown: its prose, its code, and what the code put out."""
    return "\n\n".join(part for cell in json.loads(text)["cells"] for part in _cell(cell)) + "\n"


def _cell(cell: dict[str, Any]) -> list[str]:
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return [source]
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            image = "".join(data["image/png"]).replace("\n", "")
            parts.append(f'<img alt="what the code above draws" src="data:image/png;base64,{image}">')
        else:
            shown = "".join(output.get("text") or data.get("text/plain", []))
            parts.append(f"```text\n{shown.rstrip()}\n```")
    return parts


def room_pages() -> dict[str, str]:
    """Return page -> text: for each room of the package its first sentence, its modules and their public names."""
    pages = {}
    for room in rooms():
        rows, entries = [], []
        for path in sorted((PACKAGE / room).rglob("*.py")):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
            tree = ast.parse(path.read_text(encoding="utf-8"))
            if any(isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AnnAssign | ast.Assign) for node in tree.body):
                # On one line, and without a bar, which would end the cell of the table.
                first = _docstring(tree).split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
                short = name.removeprefix(f"xharness.{room}.").removeprefix("xharness.")
                rows.append(f"| [`{short}`](#{name}) | {first} |")
                entries.append(f"::: {name}")
        about = _docstring(ast.parse((PACKAGE / room / "__init__.py").read_text(encoding="utf-8")))
        table = "\n".join(["| module | what it is for |", "|---|---|", *rows])
        first = about.split("\n\n")[0]
        pages[f"{ROOMS}/{room}.md"] = "\n\n".join([f"# {room}", first, table, *entries]) + "\n"
    return pages


def error_page() -> str:
    """Return the table of exit codes that the module of errors opens with, and each error."""
    tree = ast.parse((PACKAGE / "errors.py").read_text(encoding="utf-8"))
    first, _, table = _docstring(tree).partition("\n\n")
    entries = [f"::: xharness.errors.{node.name}" for node in tree.body if isinstance(node, ast.ClassDef)]
    return "\n\n".join(["# Errors", first, f"```text\n{table}\n```", *entries]) + "\n"


def command_page() -> str:
    """Return the help of every command, as the terminal shows it."""
    sys.path.insert(0, str(PACKAGE.parent))
    from xharness.cli.main import cli

    text = [
        "# Command line",
        "Results go to stdout, everything else to stderr. A failure's exit code is that of its [error](errors.md).",
    ]
    for context in _contexts(click.Context(cli, info_name="xharness", terminal_width=100, **cli.context_settings)):
        text += [f"## {context.command_path}", f"```text\n{context.get_help()}\n```"]
    return "\n\n".join(text) + "\n"


def _contexts(context: click.Context) -> Iterator[click.Context]:
    yield context
    if isinstance(context.command, click.Group):
        for name in context.command.list_commands(context):
            command = context.command.get_command(context, name)
            if command is not None and not command.hidden:
                yield from _contexts(click.Context(command, info_name=name, parent=context))


def _docstring(tree: ast.Module) -> str:
    return ast.get_docstring(tree) or ""


def rooms() -> list[str]:
    """Return the folders of the package that are packages themselves."""
    return sorted(p.parent.name for p in PACKAGE.glob("*/__init__.py"))
