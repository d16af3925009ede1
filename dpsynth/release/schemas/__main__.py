"""Write the published JSON Schemas anew: `python -m dpsynth.release.schemas`."""

from pathlib import Path

from dpsynth.release.schemas import NAMES, schema_text


def main(folder: Path) -> None:
    """Write one file for each kind into `folder`."""
    for name in NAMES:
        (folder / f"{name}.schema.json").write_text(schema_text(name), encoding="utf-8")


if __name__ == "__main__":
    main(Path(__file__).parent)
