"""`python -m workbench` is the command `dpo-workbench`."""

from workbench.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
