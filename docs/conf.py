"""How Sphinx builds the manual."""

from __future__ import annotations

import datetime as dt

import twisted_xfer

project = "twisted-xfer"
author = "The twisted-xfer maintainers"
copyright = f"{dt.datetime.now(tz=dt.UTC).year}, {author}"  # noqa: A001 - the name that Sphinx reads
release = version = twisted_xfer.__version__

extensions = ["sphinx.ext.doctest"]
exclude_patterns = ["_build"]
nitpicky = True
html_theme = "furo"
html_title = f"twisted-xfer {release}"
highlight_language = "text"
smartquotes = False
doctest_test_doctest_blocks = "default"
