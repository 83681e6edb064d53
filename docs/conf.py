"""Sphinx builds the site from here: `make docs`. What the package says of itself is generated first, by generate.py beside this file."""

import re
import sys
import tomllib
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import generate  # noqa: E402
import pictures  # noqa: E402

project = "dcasekit"
author = "The dcasekit developers"
copyright = author
version = release = re.search(r'__version__ = "(.*)"', (HERE.parent / "src/dcasekit/__init__.py").read_text())[1]
description = tomllib.loads((HERE.parent / "pyproject.toml").read_text())["project"]["description"]

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_gallery.gen_gallery",
    "sphinx_codeautolink",
]
exclude_patterns = ["_build", "gallery/*", "examples/*", "recipes_intro.md"]
default_role = "py:obj"
nitpicky = False
suppress_warnings = [
    "config.cache",  # sphinx-gallery's settings hold functions
    "codeautolink.match_name",  # of the gallery, where sphinx-gallery has put the same link
    "codeautolink.match_block",  # examples whose doctest flags Sphinx takes off
    "ref.python",  # an attribute such as `labels` is one of several classes: it gets no link
]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_class_signature = "mixed"
napoleon_google_docstring = False
napoleon_use_param = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
maximum_signature_line_length = 90
python_display_short_literal_types = True
viewcode_line_numbers = False

codeautolink_warn_on_missing_inventory = False
codeautolink_warn_on_failed_resolve = False
codeautolink_concat_default = True

html_theme = "pydata_sphinx_theme"
html_title = "dcasekit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "header_links_before_dropdown": 6,
    "show_toc_level": 2,
    "navigation_with_keys": False,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "show_prev_next": True,
}
html_sidebars = {"index": [], "tour": []}

sphinx_gallery_conf = {
    "examples_dirs": ["gallery"],
    "gallery_dirs": ["generated/gallery"],
    "filename_pattern": r"/[^_]\w*\.py",
    "image_scrapers": ("matplotlib", pictures.AudioScraper()),
    "abort_on_example_error": True,
    "only_warn_on_example_error": False,
    "remove_config_comments": True,
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 5,
    "within_subsection_order": "FileNameSortKey",
    "reset_modules": ("matplotlib",),
    "capture_repr": (),
    "plot_gallery": True,
    "copyfile_regex": r"",
    "show_signature": False,
    "write_computation_times": False,
}


def setup(app):
    """Generate pages before Sphinx looks for them, and read the descriptions of parameters as dcasekit writes them."""
    generate.write_pages(HERE)
    pictures.draw_data_flow(HERE / "generated" / "data_flow.svg")
    app.connect("autodoc-process-docstring", generate.read_descriptions, priority=100)
    app.connect("autodoc-process-signature", generate.shorten_signature)
    app.connect("autodoc-skip-member", generate.skip_inherited)
