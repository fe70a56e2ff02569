"""`slidelake stats`: mean, variance, principal components and clusters of all features of a space."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.table import Table

from slidelake.errors import UsageError
from slidelake.services.cli.session import Session, command

if TYPE_CHECKING:
    from slidelake.store import PCA, Cohort, KMeans, Statistics

#: Points of the picture: enough to see clouds, few enough to see points.
SAMPLE = 4000
SCREE = 20


def register(app: typer.Typer) -> None:
    @command(app, "stats", epilog="Example: slidelake stats --kmeans 8 --plot stats.png --store lake")
    def stats(
        session: Session,
        space: Annotated[
            str | None, typer.Option("--space", help="Which one, where there are several.")
        ] = None,
        pca: Annotated[int, typer.Option("--pca", min=1, help="Principal components to name.")] = 2,
        kmeans: Annotated[int, typer.Option("--kmeans", min=0, help="Clusters to find; 0: none.")] = 0,
        weight: Annotated[
            str, typer.Option("--weight", help="patch: each patch counts the same; slide: each slide does.")
        ] = "patch",
        quality: Annotated[
            list[str] | None,
            typer.Option("--quality", help="COLUMN=LEAST:MOST of the grid, 0 to 255; tissue=128: blur=:200."),
        ] = None,
        snapshot: Annotated[
            str | None, typer.Option("--snapshot", help="The lake as this snapshot pinned it.")
        ] = None,
        seed: Annotated[int, typer.Option("--seed", help="Of clusters and samples.")] = 0,
        plot: Annotated[
            Path | None, typer.Option("--plot", metavar="FILE.png", help="Draw them.", dir_okay=False)
        ] = None,
        save: Annotated[
            Path | None,
            typer.Option("--save", metavar="FILE.npz", help="Keep mean and covariance.", dir_okay=False),
        ] = None,
    ) -> int:
        """Mean, variance, principal components and k-means clusters of a space, in bounded memory."""
        if plot is not None and plot.suffix.lower() != ".png":
            raise UsageError(f"{plot} is no .png", remedy="Name a file that ends in .png.")
        chosen = session.lake().cohort(space, quality=_quality(quality or []), snapshot=snapshot)
        if pca > chosen.dim:
            raise UsageError(f"--pca {pca}", remedy=f"The features have {chosen.dim} dimensions.")
        with session.errors.status(f"reading {len(chosen):,} patches of {len(chosen.slides):,} slides"):
            found = chosen.statistics(weight)
            axes = found.pca(min(max(pca, SCREE if plot else pca, 2), chosen.dim))
            clusters = chosen.kmeans(kmeans, seed=seed, weight=weight) if kmeans else None
        if save is not None:
            save.parent.mkdir(parents=True, exist_ok=True)
            found.save(save)
        result = _result(chosen, found, axes, clusters, pca)
        if plot is not None:
            _plot(chosen, axes, clusters, seed, plot)
        session.emit({"ok": True, "exit_code": 0, **result, **_files(plot=plot, save=save)})
        _say(session, result)
        for path in (plot, save):
            if path is not None:
                session.say(f"wrote {path}")
        return 0


def _quality(texts: list[str]) -> dict[str, tuple[int | None, int | None]]:
    bounds: dict[str, tuple[int | None, int | None]] = {}
    for text in texts:
        name, equals, ends = text.partition("=")
        if name in bounds:
            raise UsageError(
                f"--quality names {name} twice", remedy=f"Write both ends in one: {name}=LEAST:MOST."
            )
        least, colon, most = ends.partition(":")
        try:
            bounds[name] = (int(least) if least else None, int(most) if most else None)
        except ValueError:
            colon = ""
        if not (name and equals and colon):
            raise UsageError(
                f"--quality {text}", remedy="Write COLUMN=LEAST:MOST, as tissue=128: or blur=:200."
            )
    return bounds


def _result(
    chosen: "Cohort", found: "Statistics", axes: "PCA", clusters: "KMeans | None", pca: int
) -> dict[str, Any]:
    variance = float(np.trace(found.covariance))
    result: dict[str, Any] = {
        "space": found.space,
        "weight": found.weight,
        "slides": found.slides,
        "patients": len(chosen.patients),
        "patches": found.rows,
        "left_out": int(chosen.slides["patches"].sum()) - found.rows,
        "dim": chosen.dim,
        "mean_length": float(np.linalg.norm(found.mean)),
        "variance": variance,
        "explained_variance": axes.explained_variance[:pca].tolist(),
        "explained_variance_ratio": axes.explained_variance_ratio[:pca].tolist(),
        "kmeans": None,
    }
    if clusters is not None:
        result["kmeans"] = {
            "k": len(clusters.counts),
            "counts": clusters.counts.tolist(),
            "inertia": clusters.inertia,
            "iterations": clusters.iterations,
            "converged": clusters.converged,
        }
    return result


def _files(**paths: Path | None) -> dict[str, str | None]:
    return {name: str(path) if path is not None else None for name, path in paths.items()}


def _say(session: Session, result: dict[str, Any]) -> None:
    left_out = f" ({result['left_out']:,} left out)" if result["left_out"] else ""
    session.say(
        f"{result['space']}: {result['patches']:,} patches{left_out} of {result['slides']:,} slides, "
        f"{result['patients']:,} patients; {result['dim']} dimensions"
    )
    session.say(f"length of the mean {result['mean_length']:.4g}, variance {result['variance']:.4g}")
    table = Table(title="principal components")
    for column in ("component", "variance", "share", "together"):
        table.add_column(column, justify="right")
    together = 0.0
    pairs = zip(result["explained_variance"], result["explained_variance_ratio"], strict=True)
    for n, (variance, share) in enumerate(pairs):
        together += share
        table.add_row(str(n + 1), f"{variance:.4g}", f"{share:.1%}", f"{together:.1%}")
    session.say(table)
    if result["kmeans"]:
        found = result["kmeans"]
        table = Table(title=f"{found['k']} clusters")
        for column in ("cluster", "patches", "share"):
            table.add_column(column, justify="right")
        for n, count in enumerate(found["counts"]):
            table.add_row(str(n + 1), f"{count:,}", f"{count / result['patches']:.1%}")
        session.say(table)
        rest = "at rest" if found["converged"] else "not yet at rest"
        passes = "1 pass" if found["iterations"] == 1 else f"{found['iterations']} passes"
        session.say(f"inertia {found['inertia']:.5g} after {passes}, {rest}")


def _plot(chosen: "Cohort", axes: "PCA", clusters: "KMeans | None", seed: int, path: Path) -> None:
    from slidelake.services.statistics_plot import Picture, draw

    numbers, rows = chosen.sample(SAMPLE, seed=seed)
    points = axes.transform(rows)[:, :2]
    if points.shape[1] < 2:
        points = np.column_stack([points, np.zeros(len(points))])
    if clusters is not None:
        what, groups = "cluster", clusters.labels(rows).astype(np.int64)
        names = [f"cluster {n + 1}" for n in range(len(clusters.counts))]
    else:
        what, groups = "slide", chosen.slide_of(numbers).astype(np.int64)
        names = chosen.slides["slide_id"].tolist()
    patients = "1 patient" if len(chosen.patients) == 1 else f"{len(chosen.patients):,} patients"
    title = f"{len(chosen):,} patches of {len(chosen.slides):,} slides, {patients}"
    draw(Picture(title, chosen.space, axes.explained_variance_ratio, points, groups, names, what), path)
