"""What an evaluation leaves behind: files to compute with, and tables and pages to read."""
