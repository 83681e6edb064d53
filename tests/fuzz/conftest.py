"""What is no test here is run by `fuzz.py` in processes of its own."""

collect_ignore_glob = ["*_cases.py", "fuzz.py", "mutations.py"]
