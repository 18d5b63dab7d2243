"""A gateway of another distribution, as a test installs it: settings, form, doctor check, task and command."""
