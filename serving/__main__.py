"""The door of the command line."""

from serving.cli import main

if __name__ == "__main__":
    main()
