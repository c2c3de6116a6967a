"""The process behind one page of `web`: the app, drawing into textual-serve's pipe.

python -m workbench.cli.web_app
"""

from __future__ import annotations

import os

from workbench.base.paths import Paths


def main() -> int:
    """Run the app until the page is closed or the person leaves it."""
    os.umask(0o077)
    from workbench.tui.app import WorkbenchApp

    app = WorkbenchApp(Paths.from_environment())
    code = app.run()
    return app.return_code or code or 0


if __name__ == "__main__":
    raise SystemExit(main())
