"""Model containers: one contract for every backend. The classes are in `base`, `torch`, `keras` and `sklearn`."""
