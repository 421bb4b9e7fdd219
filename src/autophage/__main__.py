"""`python -m autophage` is the command line."""

from autophage.cli import main

if __name__ == "__main__":
    main()
