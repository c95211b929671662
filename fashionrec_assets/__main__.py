"""`python -m fashionrec_assets` is `fashionrec`."""

from fashionrec_assets.cli import main

main()
