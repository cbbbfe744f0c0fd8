"""Sphinx configuration: Markdown pages, and the API from the docstrings."""

project = "DDS"
copyright = "the DDS authors"  # noqa: A001 -- the name Sphinx reads
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = "DDS: Decentralized DNN Surgery"
exclude_patterns = ["_build"]
autodoc_member_order = "bysource"
autodoc_typehints = "description"
nitpicky = False
