"""`python -m masquerade`."""

from masquerade.cli.main import main

main()
