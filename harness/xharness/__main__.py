"""`python -m xharness` runs the command line."""

from xharness.cli.main import main

if __name__ == "__main__":
    main()
