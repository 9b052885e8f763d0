"""`python -m rayflow.cli`: the command line without the installed script."""

from rayflow.cli.root import main

main()
