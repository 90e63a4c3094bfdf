"""`python -m fokker` is the command `fokker`."""

from fokker.cli.main import main

__all__: list[str] = []

if __name__ == "__main__":
    main()
