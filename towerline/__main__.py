"""The command `towerline`, which is the same as `python -m towerline`."""

from towerline.pipeline.environment import EndInterrupted

# Before the imports that take time.
EndInterrupted("towerline").install()

from towerline.serving.cli import main  # noqa: E402

if __name__ == "__main__":
    main()
