"""One file per format of annotation files, found by its stem; see `base` for what such a file holds."""
