"""Foundations: records, settings, plugins, files, console. Imports no other package of solo_hub."""
