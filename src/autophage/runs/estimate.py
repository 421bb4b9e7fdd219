"""What a run will cost, read off its plans before it starts."""

from __future__ import annotations

from autophage.loop import Loop


def estimate(loop: Loop) -> dict[str, int]:
    """What a run would cost, read off the workflows' plans: for the whole run, all replicates together."""
    trained = sampled = 0
    for name, agent in loop.agents.items():
        real = loop.real[name]
        sizes = [real]
        trained += real
        for t in range(1, loop.spec.generations):
            plan = agent.workflow.plan(t, real)
            sizes.append(plan.new)
            sampled += plan.new
            if plan.size is not None:
                trained += plan.size
                continue
            for row in plan.rows:
                if row.count is not None:
                    trained += row.count
                else:
                    trained += real if row.origin == "real" else sum(sizes[row.first + 1 : row.last + 2])
    R = loop.spec.replicates
    # Statistics drawn from their law cost no records; deep runs keep their samples, in the type of the data.
    exact = all(path == "statistics" for path in loop.paths.values())
    return {
        "fits": loop.spec.generations * len(loop.agents) * R,
        "records_trained": trained * R,
        "records_sampled": 0 if exact else sampled * R,
        "bytes_on_disk": 0 if loop.batched else sampled * R * loop.source.dim * _bytes(loop),
    }


def _bytes(loop: Loop) -> int:
    """Bytes of one number of a record."""
    return 8 if loop.source.unlimited else loop.source.train().fields["x"].dtype.itemsize
