"""Language models behind the `Engine` protocol of `solo_hub.core.plugins`."""
