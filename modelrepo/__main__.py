"""`python -m modelrepo`: the command line."""

from modelrepo.cli.main import main

if __name__ == "__main__":
    main()
