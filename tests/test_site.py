"""The site of the documentation: built as `make docs` builds it, and searched in a browser."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from browser import chromium, screenshot

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for module in ("sphinx", "myst_parser", "pydata_sphinx_theme"):
        pytest.importorskip(module, reason="the site needs the extra docs")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-c", "docs", "-d", out / "doctrees", "-W", "-q"]
    built = subprocess.run(
        [*command, "-b", "html", ".", out / "html"],
        cwd=ROOT, capture_output=True, text=True, timeout=400,
    )  # fmt: skip
    assert built.returncode == 0, built.stderr
    return out / "html"


def test_a_search_on_the_site_finds_the_page_and_the_python_name(site: Path) -> None:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=site))
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}"
    with chromium() as browser:
        page = browser.new_page()
        # The root leads to the first page.
        page.goto(f"{address}/")
        page.wait_for_url("**/docs/index.html")
        screenshot(page, "site")
        for words, target in (
            ("time constant persistence", "docs/persistence.html"),
            ("StrainReceiver", "docs/api/transport.html#rtelasto.transport.StrainReceiver"),
        ):
            page.goto(f"{address}/search.html?q={words}")
            page.wait_for_selector(f"#search-results a[href*='{target.partition('#')[0]}']")
            found = page.eval_on_selector_all("#search-results a", "all => all.map(a => a.href)")
            assert any(target in link for link in found), found
    server.shutdown()
    server.server_close()
