"""`python -m million_ird`, for environments whose programs are not on the path."""

from million_ird.cli.app import main

if __name__ == "__main__":
    main()
