"""``python -m xharness`` is the command ``xharness``."""

from xharness.cli.main import main

if __name__ == "__main__":
    main()
