"""The command `towerline`, which is the same as `python -m towerline`."""

from towerline.pipeline.environment import EndInterrupted


def main() -> None:
    """Runs the command line."""
    EndInterrupted("towerline").install()
    # NumPy and Arrow take most of the time until the first answer.
    from towerline.serving import cli

    cli.main()


if __name__ == "__main__":
    main()
