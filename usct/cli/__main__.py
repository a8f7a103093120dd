"""`python -m usct.cli`, for when the command is not on the path."""

from usct.cli import main

main()
