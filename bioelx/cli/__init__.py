"""The command line, one file a group of commands."""

from bioelx.cli.app import main

__all__ = ["main"]
