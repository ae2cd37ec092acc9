"""``python -m ops.cli``: the same as the console script."""

from ops.cli import main

if __name__ == "__main__":
    main()
