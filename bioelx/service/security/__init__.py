"""Who may reach the server and call it; docs/threat-model.md says against whom."""
