"""Generated from proto/bioelx/v1/linker.proto by proto/generate.py; do not edit."""
