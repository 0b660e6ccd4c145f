"""`python -m vidcascade`."""

from vidcascade.cli.main import main

main()
