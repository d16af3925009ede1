"""dpsynth itself, by the name of a generator, with every default; run like any rival."""

from typing import Any

from public_domain import Watch, read_job

from dpsynth import Schema, Synthesizer
from dpsynth.writing import write_frame


def main() -> None:
    job, meta = read_job()
    watch = Watch()
    settings = Synthesizer(
        epsilon=job["epsilon"],
        delta=job["delta"],
        schema=declared(meta),
        generator=job["settings"]["generator"],
    )
    model = settings.fit(job["train"])
    watch.lap("fit")
    write_frame(model.sample(job["rows"], seed=job["seed"]), job["synthetic"], overwrite=True)
    watch.lap("sample")
    watch.say()


def declared(meta: dict[str, Any]) -> Schema:
    """The schema that the table's owner would declare."""
    columns = []
    for name, facts in meta["columns"].items():
        given = ("kind", "lower", "upper", "categories")
        known = {key: facts[key] for key in given if key in facts}
        columns.append({"name": name, **known, "nullable": bool(facts.get("missing", True))})
    return Schema.from_dict({"columns": columns})


if __name__ == "__main__":
    main()
