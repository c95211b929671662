"""Speed and memory, each beside a named alternative in one run: `python -m fashionrec_assets_tests.benchmarks.<name>`.

Belongs here: what would make a test slow or flaky. Does not belong here: anything that passes or fails.
"""
