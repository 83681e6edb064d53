"""What small trees of the datasets look like: one file per dataset, with its name."""
