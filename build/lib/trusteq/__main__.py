"""`python -m trusteq` is the command `trusteq`."""

from trusteq.cli import main

main()
