"""`python -m bioelx` is the command `bioelx`."""

from bioelx.cli import main

if __name__ == "__main__":
    main()
