"""The views, a file each: ``TITLE`` and ``ORDER`` in the navigation, ``layout(site, query)``, ``register(app, site)``."""
