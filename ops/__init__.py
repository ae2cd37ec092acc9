"""What keeps it running: settings, logs, clients, lifecycle, the CLI, dev servers and the sandbox."""
