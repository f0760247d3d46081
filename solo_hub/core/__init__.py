"""The ground: records, settings, plugins, files, console. Imports nothing of the other rooms."""
