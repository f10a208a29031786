"""The site that `make docs` builds; why it is built this way: decisions/007-the-site.md."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version as installed_version
from pathlib import Path

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROOT = Path(__file__).parents[1]

project = "rtelasto"
author = "the rtelasto authors"
copyright = f"{author}. For research only, not a medical device"
release = version = installed_version("rtelasto")
extensions = [
    "cyclopts.ext.sphinx",
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
    "sphinxcontrib.mermaid",
]
# The source is the whole checkout, so that links between pages are the same here and on a forge.
root_doc = "docs/index"
include_patterns = [
    "docs/**.md",
    "*.md",
    "benchmarks/**.md",
    "bridge/**.md",
    "engines/models/*.md",
    "examples/*.md",
    "tests/vectors/README.md",
]

html_theme = "pydata_sphinx_theme"
html_title = f"{project} {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
# What stands at the root of the site: the way to docs/index.html.
html_extra_path = ["site"]
html_theme_options = {
    "navbar_align": "left",
    "show_prev_next": False,
    "footer_start": ["copyright"],
    "footer_end": [],
}

# Headings have the anchors of a forge, and fences mean what they mean there.
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# The only diagram is as tall as a screen.
mermaid_height = "60rem"

napoleon_google_docstring = False
napoleon_use_ivar = True
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autosummary_generate = False
# `--flag` is not a dash.
smartquotes = False
# Where the live page is while `run` serves it.
linkcheck_ignore = [r"http://127\.0\.0\.1"]

# Names of this project lead somewhere; those of other projects would need a network.
nitpicky = True
nitpick_ignore_regex = [(r"py:.*", r"(?!rtelasto\b).*")]
# Returned by public calls, without being public themselves.
nitpick_ignore = [
    ("py:class", "rtelasto.cpu.measured_average.MeasuredAverage"),
    ("py:class", "rtelasto.cpu.pattern_average.PatternAverage"),
    ("py:class", "rtelasto.cpu.stretching.elongation.ElongationFit"),
    ("py:class", "rtelasto.live.worker.Addresses"),
    ("py:class", "rtelasto.pipeline.recent_frames.RecentFrames"),
]

# `rtelasto` repeats names of its folders, and modules hold what a folder exports: a name is described
# once, on the page of its folder, and every other way to call it leads there.
_FOLDERS = [
    import_module(f"rtelasto.{path.parent.name}")
    for path in ROOT.glob("rtelasto/*/__init__.py")
    if "lazy_names(" in path.read_text(encoding="utf-8")
]
_HOMES = {
    f"rtelasto.{name}": f"{folder.__name__}.{name}"
    for folder in _FOLDERS
    for name in folder.__all__
}


def _is_described_elsewhere(
    app: Sphinx, what: str, name: str, obj: object, skip: bool, options: object
) -> bool | None:
    at_root = app.env.current_document.docname == "docs/api/rtelasto"
    return True if at_root and f"rtelasto.{name}" in _HOMES else None


def _resolve_at_home(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.TextElement
) -> nodes.Element | None:
    home = _HOMES.get(node["reftarget"])
    if home is None:
        return None
    python = env.get_domain("py")
    return python.resolve_xref(env, node["refdoc"], app.builder, "obj", home, node, content)


def setup(app: Sphinx) -> None:
    app.connect("autodoc-skip-member", _is_described_elsewhere)
    app.connect("missing-reference", _resolve_at_home)
